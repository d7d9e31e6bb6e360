"""What a fit has learned, in one object that encodes, scores, moves and can be saved."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skdim._files.conversion import as_arrays, as_tensors, as_writable
from skdim._model.averaging import Neighbors
from skdim._model.closeness import closeness, draw_reference, project, threshold
from skdim._model.config import ModelConfig, resolve
from skdim._model.inference import (
    EncodedBatches,
    choose_batch_size,
    concatenate,
    encode_padded,
)
from skdim._model.readout import Readout, check_finite
from skdim._model.scoring import HeldOut
from skdim._model.views import features_of_views
from skdim._names import lookup
from skdim._runtime.seeding import seeded_globally
from skdim._runtime.surroundings import torch_defaults
from skdim._version import __version__, compare_versions
from skdim.augmentation import Augmentation
from skdim.modalities import modality_of
from skdim.objective import DIMObjective
from skdim.sources.comparison import Comparison
from skdim.sources.layout import Layout
from skdim.sources.standardization import Standardization
from skdim.sources.stored import Samples, take_subset

# Samples that are looked at before training goes on.
N_COMPARED_FIRST = 100


@dataclass
class FittedModel:
    """What `DIMTransformer.fit` has learned; complete from the moment it exists.

    Attributes
    ----------
    config : ModelConfig
        Encoder and objective are built from it.
    precision : str
        Precision of training.
    standardization : Standardization
        How samples are standardised, and on which device.
    encoder : nn.Module
        In evaluation mode, on the device.
    objective : DIMObjective or None
        In evaluation mode, on the device; None after the model was trimmed.
    readouts : dict of str to Readout
        How each output is read from encodings.
    reference : ndarray of shape (n_reference, n_projected), float32
        Hidden layers of some samples of ``fit``, for `score_samples`; of none after the model was
        trimmed.
    history : list of dict
        One dict for each epoch.
    n_iter : int
        Number of epochs trained.
    best_epoch : int or None
        The epoch whose weights early stopping took.
    training_state : dict
        States of the optimisers and the generator of ``partial_fit``.
    trained_with : mapping of str to object
        Some parameters of the transformer at the time of training, which are not in a `state`.
    """

    config: ModelConfig
    precision: str
    standardization: Standardization
    encoder: nn.Module
    objective: DIMObjective | None
    readouts: dict[str, Readout]
    reference: np.ndarray
    history: list[dict]
    n_iter: int
    best_epoch: int | None = None
    training_state: dict[str, Any] = field(default_factory=dict)
    trained_with: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of a sample, channels first."""
        return self.config.sample_shape

    @property
    def device(self) -> torch.device:
        """Where encoder and objective are."""
        return self.standardization.device

    @property
    def mean(self) -> np.ndarray:
        """Mean of each channel."""
        return self.standardization.mean

    @property
    def scale(self) -> np.ndarray:
        """Scale of each channel."""
        return self.standardization.scale

    @property
    def is_trimmed(self) -> bool:
        """Whether it holds only what features need."""
        return self.objective is None

    def check_not_trimmed(self, purpose: str) -> DIMObjective:
        """Return the objective; raise ValueError if the model was trimmed."""
        if self.objective is None:
            raise ValueError(
                f"This transformer was trimmed: it holds what 'transform' needs, and not what "
                f"{purpose} needs. Fit it again, or use the one that was not trimmed."
            )
        return self.objective

    def check_layout(self, layout: Layout) -> None:
        """Raise ValueError if samples have another shape than those of ``fit``."""
        if layout.sample_shape == self.sample_shape:
            return
        if layout.x_shape == self.config.layout.x_shape:
            raise ValueError(
                "The 'sample_shape' and 'channel_axis' parameters must read X as in fit: as "
                f"samples of shape {self.sample_shape} (channels first). Got samples of shape "
                f"{layout.sample_shape}, with channel_axis={layout.channel_axis}."
            )
        raise ValueError(
            f"X must hold samples of shape {self.sample_shape} (channels first), as in fit. "
            f"Got samples of shape {layout.sample_shape}."
        )

    # ------------------------------------------------------------ features

    def readout(self, output: str) -> Readout:
        """Return how one output is read; raise ValueError if there is no such output."""
        return lookup(output, self.readouts, "output", or_callable=False)

    def batch_size(self, wanted: int | None = None) -> int:
        """Number of samples that are encoded at once; None leaves it to the device."""
        return choose_batch_size(wanted, self.encoder, self.sample_shape, self.device)

    def encode(
        self, samples: Samples, batch_size: int | None = None, *, with_fixed: bool = False
    ) -> EncodedBatches:
        """Encode samples (n, *sample_shape) in padded batches; fixed features only if wanted."""
        with self._compared(samples) as comparison:
            yield from encode_padded(
                self.encoder,
                samples,
                comparison,
                self.batch_size(batch_size),
                with_fixed=with_fixed,
            )

    @contextmanager
    def _compared(self, samples: Samples) -> Iterator[Comparison]:
        """Warn at the end if samples are unlike those of ``fit``."""
        comparison = Comparison(self.standardization, len(samples), self.config.allow_nan)
        yield comparison
        comparison.warn()

    @torch_defaults()
    def compare(self, samples: Samples) -> None:
        """Warn if the first of samples (n, *sample_shape) are unlike those of ``fit``."""
        some = samples[:N_COMPARED_FIRST]
        with self._compared(some) as comparison:
            comparison(some)

    @torch_defaults()
    def encode_all(self, samples: Samples) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Codes (n, n_code) and local maps (n, n_locations, n_channels) of a few samples."""
        return concatenate(self.encode(samples))

    @torch_defaults()
    def features(self, samples: Samples, output: str, batch_size: int | None = None) -> np.ndarray:
        """Return one output of samples: (n, n_features), float32.

        Raises
        ------
        ValueError
            If features are not finite.
        """
        readout = self.readout(output)
        return readout.read(self.encode(samples, batch_size, with_fixed=readout.has_fixed))

    @torch_defaults()
    def write_features(
        self, samples: Samples, output: str, out: Any, batch_size: int | None = None
    ) -> None:
        """Write one output of samples to ``out[start:stop]``, a batch at a time."""
        start, readout = 0, self.readout(output)
        for n, encoding in self.encode(samples, batch_size, with_fixed=readout.has_fixed):
            out[start : start + n] = readout.features_of_batch(n, encoding)
            start += n

    @torch_defaults()
    def features_of_views(
        self,
        samples: Samples,
        output: str,
        augment: Augmentation | str | None,
        n_views: int,
        max_samples: int | None,
        rng: np.random.RandomState,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Return one output of random views of samples: (n_views, n, n_features), float32."""
        if max_samples is not None:
            chosen = rng.permutation(len(samples))[:max_samples]
            samples = take_subset(samples, np.sort(chosen))
        if isinstance(augment, str):  # "auto", whatever views the encoder was trained on
            augment = modality_of(self.sample_shape).augment
        generator = torch.Generator(self.device).manual_seed(int(rng.randint(2**31 - 1)))
        with self._compared(samples) as standardize:
            return features_of_views(
                self.readout(output),
                self.encoder,
                samples,
                standardize,
                augment,
                n_views,
                generator,
                self.batch_size(batch_size),
            )

    # ------------------------------------------------------------ scores

    @contextmanager
    def held_out(self, samples: Samples) -> Iterator[HeldOut]:
        """At least two samples, in evaluation batches.

        Raises
        ------
        ValueError
            If there is only one sample.
        """
        if len(samples) < 2:
            raise ValueError(
                "X must hold at least 2 samples, so that each has negatives to be compared with. "
                f"Got {len(samples)} sample."
            )
        with self._compared(samples) as comparison:
            yield HeldOut(samples, self.config, comparison)

    @torch_defaults()
    def score(self, samples: Samples) -> float:
        """Return the mean retrieval of samples; see `DIMTransformer.score`."""
        objective = self.check_not_trimmed("scoring")
        with self.held_out(samples) as held_out:
            return held_out.score(self.encoder, objective)

    @torch_defaults()
    def score_terms(self, samples: Samples) -> dict[str, float]:
        """Return every term of the objective; see `DIMTransformer.score_terms`."""
        objective = self.check_not_trimmed("scoring")
        with self.held_out(samples) as held_out:
            return held_out.score_terms(self.encoder, objective)

    @torch_defaults()
    def score_samples(self, samples: Samples, batch_size: int | None = None) -> np.ndarray:
        """Return how close each sample is to those of ``fit``, (n,), float64."""
        self.check_not_trimmed("scoring")
        scores = closeness(self._projected(samples, batch_size), self.reference)
        check_finite(scores)
        return scores

    @torch_defaults()
    def remember(self, samples: Samples, batch_size: int | None = None) -> None:
        """Compare later samples with these, or with some of them, instead of those of ``fit``."""
        self.check_not_trimmed("scoring")
        samples = take_subset(samples, draw_reference(len(samples)))
        self.reference = self._projected(samples, batch_size)

    def _projected(self, samples: Samples, batch_size: int | None) -> np.ndarray:
        """Hidden layers of samples by themselves, shortened: averages would hide outliers."""
        readout = self.readouts["hidden"].by_itself
        return project(readout.read(self.encode(samples, batch_size, with_fixed=True)))

    def threshold(self, contamination: float | str) -> float:
        """Return the score below which a sample is an outlier; see `DIMOutlierDetector`."""
        self.check_not_trimmed("scoring")
        return threshold(closeness(self.reference, self.reference), contamination)

    # ------------------------------------------------------------ device and content

    @torch_defaults()
    def to(self, device: torch.device) -> None:
        """Move encoder and objective to another device."""
        self.standardization = replace(self.standardization, device=device)
        self.encoder.to(device)
        if self.objective is not None:
            self.objective.to(device)

    def trim(self) -> None:
        """Forget everything that features do not need."""
        self.objective = None
        self.training_state, self.reference, self.history = {}, self.reference[:0], []

    # ------------------------------------------------------------ plain state

    def state(self) -> dict[str, Any]:
        """Everything as plain Python and numpy, except custom objects in ``params``."""
        modules = {"encoder": self.encoder, "objective": self.objective}
        weights = {name: part.state_dict() for name, part in modules.items() if part is not None}
        neighbors = self.readouts["hidden"].neighbors
        return {
            "version": __version__,
            "layout": asdict(self.config.layout),
            "given": dict(self.config.params),
            "device": str(self.device),
            "precision": self.precision,
            "mean": self.mean,
            "scale": self.scale,
            "is_complete": self.standardization.is_complete,
            "weights": as_arrays(weights),
            "readouts": {name: readout.state() for name, readout in self.readouts.items()},
            "neighbors": None if neighbors is None else asdict(neighbors),
            "reference": self.reference,
            "history": self.history,
            "n_iter": self.n_iter,
            "best_epoch": self.best_epoch,
            "training_state": as_arrays(self.training_state),
        }

    @classmethod
    @torch_defaults()
    def from_state(
        cls,
        state: Mapping[str, Any],
        device: torch.device,
        trained_with: Mapping[str, Any] | None = None,
    ) -> "FittedModel":
        """Build the model of a `state`, on a device.

        Warns
        -----
        VersionWarning
            If another version of skdim wrote it.
        """
        compare_versions(state["version"])
        state = as_writable(dict(state))
        config = resolve(state["given"], Layout(**state["layout"]))
        weights = as_tensors(state["weights"])
        neighbors = None if state["neighbors"] is None else Neighbors(**state["neighbors"])
        objective = None
        with seeded_globally(0, torch.device("cpu")):  # weights are drawn, and replaced
            encoder = config.build_encoder(device)
            encoder.load_state_dict(weights["encoder"])
            if "objective" in weights:
                objective = config.build_objective(encoder, device)
                objective.load_state_dict(weights["objective"])
                objective.eval()
        return cls(
            config=config,
            precision=state["precision"],
            standardization=Standardization(
                state["mean"], state["scale"], device, state["is_complete"]
            ),
            encoder=encoder.eval(),
            objective=objective,
            readouts={
                name: Readout.from_state(parts, neighbors)
                for name, parts in state["readouts"].items()
            },
            reference=state["reference"],
            history=state["history"],
            n_iter=state["n_iter"],
            best_epoch=state["best_epoch"],
            training_state=as_tensors(state["training_state"]),
            trained_with=trained_with or {},
        )
