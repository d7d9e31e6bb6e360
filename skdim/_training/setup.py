"""What a fit works with: everything that is known before any number of X is used."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from sklearn.utils import check_random_state

from skdim._model.config import ModelConfig, resolve
from skdim._model.fitted import FittedModel
from skdim._runtime.devices import (
    choose_device,
    choose_precision,
)
from skdim._runtime.distributed import (
    SINGLE_PROCESS,
    ProcessGroup,
    explain_lost_process,
    join_process_group,
)
from skdim._training.advice import advise_on_parameters
from skdim._training.batches import count_batches
from skdim.sources._lazy import Samples

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Setup:
    """What a fit works with, known before any number of X is used.

    Attributes
    ----------
    params, defaults : mapping
        Parameters of `DIMTransformer`.
    config : ModelConfig
    device : torch.device
    precision : str
    processes : ProcessGroup
    seed : int
    previous : FittedModel or None
        Whose weights and statistics training starts from.
    one_epoch : bool
        Whether this is one call of ``partial_fit``.
    """

    params: Params
    defaults: Params
    config: ModelConfig
    device: torch.device
    precision: str
    processes: ProcessGroup
    seed: int
    previous: FittedModel | None
    one_epoch: bool

    @property
    def n_axes(self) -> int:
        """Axes of a sample, its channels included."""
        return len(self.config.sample_shape)


def set_up(
    params: Params,
    defaults: Params,
    samples: Samples,
    columns: Mapping[str, Any],
    previous: FittedModel | None,
    *,
    one_epoch: bool,
) -> Setup:
    """Resolve everything that does not depend on numbers in X.

    Parameters
    ----------
    params, defaults : mapping
        Parameters of `DIMTransformer`.
    samples : ndarray or StoredSamples, of shape (n, channels, *sides)
    columns : mapping
        ``n_features_in_`` and, where X had names, ``feature_names_in_``.
    previous : FittedModel or None
    one_epoch : bool

    Raises
    ------
    ValueError, TypeError
        If a parameter is unfit; the message names it.

    Warns
    -----
    IneffectiveParameterWarning
        If a parameter was set that has no effect beside the others.
    """
    seed = int(check_random_state(params["random_state"]).randint(2**31 - 1))
    config = resolve(params, samples.shape[1:], columns.get("feature_names_in_"))
    if previous is None:
        device = choose_device(params["device"])
        precision = choose_precision(params["precision"], device, samples.ndim - 1)
    else:
        previous.config.check_same_encoder(config)
        device, precision = previous.device, previous.precision
    if not one_epoch:
        is_flat = prod(samples.shape[1:]) == columns["n_features_in_"]
        advise_on_parameters(params, defaults, is_flat=is_flat)
    processes = join_process_group(device) if params["distributed"] else SINGLE_PROCESS
    with explain_lost_process(processes, "Start all processes again."):
        check_shards(processes, samples, params["batch_size"])
        seed = processes.broadcast(seed)
    return Setup(params, defaults, config, device, precision, processes, seed, previous, one_epoch)


def check_shards(processes: ProcessGroup, samples: Samples, batch_size: int) -> None:
    """Raise ValueError if processes have different samples, or too few of each batch."""
    processes.check_same((samples.shape, samples.dtype.str), "X")
    smallest = len(samples) // count_batches(len(samples), batch_size)
    if smallest < processes.world_size:
        raise ValueError(
            f"The 'batch_size' parameter must leave every one of {processes.world_size} processes "
            f"a sample of each batch. Got {batch_size}, for {len(samples)} samples."
        )
