"""From encodings to features: which layer is read, how it is scaled, and how it is shortened."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from skdim._model.closeness import N_REFERENCE, project
from skdim._model.components import damp, damped_directions, principal_directions
from skdim._model.inference import EncodedBatches, exact_product
from skdim._runtime.distributed import SINGLE_PROCESS, ProcessGroup
from skdim._runtime.surroundings import torch_defaults
from skdim.encoders import Encoding

# The layer of each output.
OUTPUTS = {"components": "hidden", "code": "code", "hidden": "hidden", "local": "local"}
LAYERS = ("code", "hidden", "local")

# Largest number of samples from which readouts are learned: more would hardly change a variance.
N_READ = 10_000

# Variance of all fixed features, over that of all trained units of the hidden layer, at most.
LARGEST_RATIO = 4


class Readout(NamedTuple):
    """How one output is read from encodings.

    Attributes
    ----------
    layer : str in `LAYERS`
    mean, scale : ndarray of shape (n_units,), float32
        Each unit is standardised by them.
    damped : ndarray of shape (n_units, n_directions), float32, or None
        Standardised units are shortened along these directions, in which views of one sample
        differ; see `skdim._model.components`.
    rotation : ndarray of shape (n_units, n_features), float32, or None
        From units to features; None if features are the units.
    """

    layer: str
    mean: np.ndarray
    scale: np.ndarray
    damped: np.ndarray | None = None
    rotation: np.ndarray | None = None

    @property
    def has_fixed(self) -> bool:
        """Whether fixed features of an encoder are among the units."""
        return self.layer == "hidden"

    @property
    def n_features(self) -> int:
        """Length of a feature vector."""
        return len(self.mean) if self.rotation is None else self.rotation.shape[1]

    def read(self, batches: EncodedBatches) -> np.ndarray:
        """Return features of shape (n, n_features), float32."""
        return np.concatenate([self.features_of_batch(n, encoding) for n, encoding in batches])

    def features_of_batch(self, n: int, encoding: Encoding) -> np.ndarray:
        """Return the features of the first n samples of a padded batch."""
        return self.features_of_units(take_layer(self.layer, n, encoding))

    def features_of_units(self, units: np.ndarray) -> np.ndarray:
        """From the units (n, n_units) of the layer to features (n, n_features), float32.

        Raises
        ------
        ValueError
            If they are not finite.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found below
            units = units - self.mean
            units /= self.scale
        if self.damped is not None:
            units -= exact_product(exact_product(units, self.damped), self.damped.T)
        if self.rotation is not None:
            units = exact_product(units, self.rotation)
        check_finite(units)
        return units


class ReadoutLayer(nn.Module):
    """What `Readout.read` does, for gradients or an exported graph."""

    mean: Tensor
    scale: Tensor
    damped: Tensor | None
    rotation: Tensor | None

    def __init__(self, readout: Readout):
        super().__init__()
        self.layer = readout.layer
        for name in ("mean", "scale", "damped", "rotation"):
            array = getattr(readout, name)
            self.register_buffer(name, None if array is None else torch.from_numpy(array))

    def forward(self, encoding: Encoding) -> Tensor:
        """From an encoding to features (n, n_features)."""
        units = (units_of(self.layer, encoding) - self.mean) / self.scale
        if self.damped is not None:
            units = units - units @ self.damped @ self.damped.T
        return units if self.rotation is None else units @ self.rotation


def check_finite(features: np.ndarray) -> None:
    """Raise ValueError if features of samples, or scores of them, are not finite."""
    if not np.isfinite(features).all():
        raise ValueError(
            "X must hold samples like those of 'fit'. Got some whose features are not finite "
            "numbers: their values are too large."
        )


def units_of(layer: str, encoding: Encoding) -> Tensor:
    """Units (n, n_units) of one layer; fixed features follow the units of "hidden"."""
    if layer == "local":
        return encoding.local_maps[-1].flatten(1)
    if layer == "hidden" and encoding.fixed is not None:
        return torch.cat([encoding.hidden, encoding.fixed], 1)
    return getattr(encoding, layer)


def take_layer(layer: str, n: int, encoding: Encoding) -> np.ndarray:
    """Units of the first n samples of a padded batch: (n, n_units), float32."""
    return units_of(layer, encoding)[:n].float().cpu().numpy()


def choose_samples(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of the samples from which readouts are learned, in order; all, if there are few."""
    return np.sort(rng.permutation(n_samples)[:N_READ])


def fit_readouts(
    batches: EncodedBatches,
    n_components: int | None,
    rng: np.random.Generator,
    changes_between_views: Callable[[Readout], np.ndarray] | None = None,
    processes: ProcessGroup = SINGLE_PROCESS,
) -> tuple[dict[str, Readout], np.ndarray]:
    """Learn how to read every output, in one pass over the samples.

    Also return the hidden layers of some samples as `skdim._model.closeness.project` shortens them.

    Units are standardised; a unit that is constant is 0, for later samples too. Fixed features, if
    an encoder has any, are then scaled, unless all of them together have one to four times the
    variance of all trained units of the hidden layer. In this layer, directions that change from
    view to view are damped; see `skdim._model.components`. Components are its principal components,
    the largest first, on a common scale on which their mean variance is 1.

    Parameters
    ----------
    batches : iterator
        What `skdim._model.inference.encode_padded` yields for this process's part of the samples
        that `choose_samples` chose.
    n_components : int or None
        Number of components, at most that of hidden units; None takes the units instead.
    rng : Generator
        The one that chose the samples.
    changes_between_views : callable (readout) -> ndarray of shape (n_pairs, n_units), or None
        By how much two views of a sample differ in the hidden layer, for some of this process's
        samples. None damps nothing.
    """
    sampled_units: list[np.ndarray] = []
    n_trained = 0
    moments = {layer: _Moments() for layer in LAYERS}
    for n, encoding in batches:
        for layer in LAYERS:
            units = take_layer(layer, n, encoding)
            _check_converged(units, layer)
            moments[layer].add(units)
            if layer == "hidden":
                sampled_units.append(units)
                n_trained = encoding.hidden.shape[1]
    readouts = {layer: moments[layer].standardise(layer, processes) for layer in LAYERS}
    hidden = _balance(readouts["hidden"], n_trained)
    units = np.concatenate(sampled_units)
    sampled_units.clear()
    if not processes.is_single:
        units = np.concatenate(processes.all_gather(units))
    some_units = units[rng.permutation(len(units))[:N_REFERENCE]]
    units -= hidden.mean
    units /= hidden.scale
    if changes_between_views is not None:
        changes = np.concatenate(processes.all_gather(changes_between_views(hidden)))
        hidden = _damped(hidden, units, damped_directions(changes))
    components = hidden
    if n_components is not None:
        rotation = principal_directions(units, n_components)
        if hidden.damped is not None:  # one product instead of three
            damp(rotation.T, hidden.damped)
        components = hidden._replace(damped=None, rotation=rotation)
    reference = project(hidden.features_of_units(some_units))
    return {**readouts, "hidden": hidden, "components": components}, reference


def _damped(hidden: Readout, units: np.ndarray, directions: np.ndarray | None) -> Readout:
    """Shorten standardised units (n, n_units) in place, and read others likewise."""
    if directions is None:
        return hidden
    before = np.square(units, dtype=np.float64).sum()
    damp(units, directions)
    factor = np.float32(np.sqrt(np.square(units, dtype=np.float64).sum() / before))
    units /= factor
    return hidden._replace(scale=hidden.scale * factor, damped=directions)


def _balance(hidden: Readout, n_trained: int) -> Readout:
    """Give all fixed features, which follow the trained units, one to four times their variance."""
    scale = hidden.scale.copy()
    n_fixed = len(scale) - n_trained
    if n_fixed and n_trained:
        # Units are standardised: the ratio of variances is that of their numbers.
        ratio = n_fixed / n_trained
        scale[n_trained:] *= np.sqrt(ratio / np.clip(ratio, 1, LARGEST_RATIO))
    return hidden._replace(scale=scale)


class _Moments:
    """Sums of the units of one layer, and of their squares, as doubles."""

    def __init__(self) -> None:
        self.n_samples, self.sums, self.squares = np.zeros(1), np.zeros(1), np.zeros(1)

    def add(self, units: np.ndarray) -> None:
        """Add those of some samples (n, n_units)."""
        self.n_samples = self.n_samples + len(units)
        self.sums = self.sums + units.sum(0, dtype=np.float64)
        self.squares = self.squares + np.square(units, dtype=np.float64).sum(0)

    def standardise(self, layer: str, processes: ProcessGroup) -> Readout:
        """The readout that gives every unit mean 0 and variance 1; a constant one is 0 for ever."""
        n_samples = processes.sum_arrays(self.n_samples)
        mean = processes.sum_arrays(self.sums) / n_samples
        variance = processes.sum_arrays(self.squares) / n_samples - mean**2
        is_constant = variance <= 1e-10 * np.maximum(mean**2, 1)
        scale = np.sqrt(np.where(is_constant, np.inf, variance))
        return Readout(layer, mean.astype(np.float32), scale.astype(np.float32))


def _check_converged(units: np.ndarray, layer: str) -> None:
    if not np.abs(units).max() < 1e30:  # float32 ends at 3e38
        raise FloatingPointError(
            f"The layer {layer!r} diverged in the last steps of training. Reduce the "
            "'learning_rate' parameter or set precision='float32'."
        )


@torch_defaults()
def linear_layer(coef: np.ndarray, intercept: np.ndarray) -> nn.Linear:
    """A layer whose softmax gives the probabilities of a fitted linear classifier.

    Parameters
    ----------
    coef : ndarray of shape (n_classes, n_features), or (1, n_features) for two classes
    intercept : ndarray of shape (n_classes,) or (1,)
    """
    if len(coef) == 1:  # two classes and one logit: half of it for each, with opposite signs
        coef, intercept = np.vstack([-coef, coef]) / 2, np.hstack([-intercept, intercept]) / 2
    head = nn.Linear(coef.shape[1], len(coef), dtype=torch.float32)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(coef))
        head.bias.copy_(torch.from_numpy(intercept))
    return head
