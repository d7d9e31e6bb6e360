"""From encodings to features: which layer is read, how it is scaled, and how it is shortened."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from skdim._model.averaging import (
    N_COMPARED,
    N_REMEMBERED,
    Neighbors,
    NeighborsLayer,
    bandwidth,
    means_of_similar,
    strength,
)
from skdim._model.closeness import N_REFERENCE, project
from skdim._model.components import damp, damped_directions, in_parts, principal_directions
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

# Variance of all units of the hidden layer together, at most: for so much, the regularisation of
# linear classifiers is made. With a variance of 1 for each of thousands of units, it does nothing.
LARGEST_VARIANCE = 256


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
    shift : ndarray of shape (n_compared, n_features), float32, or None
        From the mean of similar samples to what is added to features.
    neighbors : Neighbors or None
        The samples whose mean this is; outputs share them.
    """

    layer: str
    mean: np.ndarray
    scale: np.ndarray
    damped: np.ndarray | None = None
    rotation: np.ndarray | None = None
    shift: np.ndarray | None = None
    neighbors: Neighbors | None = None

    @property
    def has_fixed(self) -> bool:
        """Whether fixed features of an encoder are among the units."""
        return self.layer == "hidden"

    @property
    def by_itself(self) -> "Readout":
        """The same output of a sample by itself, not averaged with others."""
        return self._replace(shift=None, neighbors=None)

    @property
    def n_features(self) -> int:
        """Length of a feature vector."""
        return len(self.mean) if self.rotation is None else self.rotation.shape[1]

    def state(self) -> dict[str, Any]:
        """Everything but the neighbours."""
        state = self._asdict()
        del state["neighbors"]
        return state

    @classmethod
    def from_state(cls, state: Mapping[str, Any], neighbors: Neighbors | None) -> "Readout":
        """Build the readout of a `state`, and let outputs that are averaged share neighbours."""
        return cls(**state, neighbors=None if state["shift"] is None else neighbors)

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
        added = None
        if self.neighbors is not None and self.shift is not None:
            added = exact_product(self.neighbors.mean_of_similar(units), self.shift)
        if self.damped is not None:
            units -= exact_product(exact_product(units, self.damped), self.damped.T)
        if self.rotation is not None:
            units = exact_product(units, self.rotation)
        if added is not None:
            units += added
        check_finite(units)
        return units


class ReadoutLayer(nn.Module):
    """What `Readout.read` does, for gradients or an exported graph."""

    mean: Tensor
    scale: Tensor
    damped: Tensor | None
    rotation: Tensor | None
    shift: Tensor | None

    def __init__(self, readout: Readout):
        super().__init__()
        self.layer = readout.layer
        for name in ("mean", "scale", "damped", "rotation", "shift"):
            array = getattr(readout, name)
            self.register_buffer(name, None if array is None else torch.from_numpy(array))
        self.neighbors = None if readout.neighbors is None else NeighborsLayer(readout.neighbors)

    def forward(self, encoding: Encoding) -> Tensor:
        """From an encoding to features (n, n_features)."""
        units = features = (units_of(self.layer, encoding) - self.mean) / self.scale
        if self.damped is not None:
            features = features - features @ self.damped @ self.damped.T
        if self.rotation is not None:
            features = features @ self.rotation
        return features if self.neighbors is None else features + self.neighbors(units) @ self.shift


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
    averages_neighbors: bool = False,
    processes: ProcessGroup = SINGLE_PROCESS,
) -> tuple[dict[str, Readout], np.ndarray]:
    """Learn how to read every output, in one pass over the samples.

    Also return the hidden layers of some samples as `skdim._model.closeness.project` shortens them.

    Units are standardised; a unit that is constant is 0, for later samples too. Fixed features, if
    an encoder has any, are then scaled, unless all of them together have one to four times the
    variance of all trained units of the hidden layer. This layer has a variance of at most
    `LARGEST_VARIANCE` in all. Directions that change from view to view are damped in it; see
    `skdim._model.components`. It is averaged over similar samples, if that is wanted; see
    `skdim._model.averaging`. Components are its principal components, the largest first, on a
    common scale on which their mean variance is 1.

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
    averages_neighbors : bool
        Whether outputs of the hidden layer are averaged over similar samples.
    processes : ProcessGroup
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
    remembered = rng.permutation(len(units))[:N_REMEMBERED]
    some_units = units[remembered[:N_REFERENCE]]
    units -= hidden.mean
    units /= hidden.scale
    energy = min(_energy(units), LARGEST_VARIANCE * len(units))
    if changes_between_views is not None:
        changes = np.concatenate(processes.all_gather(changes_between_views(hidden)))
        hidden = _damped(hidden, units, damped_directions(changes))
    averaged_with = remembered if averages_neighbors else None
    hidden, components = _averaged_and_rotated(hidden, units, energy, n_components, averaged_with)
    reference = project(hidden.by_itself.features_of_units(some_units))
    return {**readouts, "hidden": hidden, "components": components}, reference


def _damped(hidden: Readout, units: np.ndarray, directions: np.ndarray | None) -> Readout:
    """Shorten standardised units (n, n_units) in place, and read others likewise."""
    if directions is not None:
        damp(units, directions)
    return hidden._replace(damped=directions)


def _energy(units: np.ndarray) -> float:
    return sum(float(np.square(part, dtype=np.float64).sum()) for part in in_parts(units))


def _averaged_and_rotated(
    hidden: Readout,
    units: np.ndarray,
    energy: float,
    n_components: int | None,
    averaged_with: np.ndarray | None,
) -> tuple[Readout, Readout]:
    """The hidden layer and its principal components, averaged with samples of these indices.

    ``units`` (n, n_units) are what ``hidden`` reads from all samples; they become averages, whose
    squares add up to ``energy``.
    """
    n_compared = 0 if averaged_with is None else N_COMPARED
    directions = principal_directions(units, max(n_components or 0, n_compared))
    if averaged_with is not None:
        hidden = _averaged(hidden, units, directions, averaged_with)
    factor = np.float32(np.sqrt(_energy(units) / energy) if energy else 1.0)
    units /= factor
    hidden = _divided(hidden, factor)
    if n_components is None:
        return hidden, hidden
    return hidden, _rotated(hidden, units, directions[:, :n_components])


def _averaged(
    hidden: Readout, units: np.ndarray, directions: np.ndarray, remembered: np.ndarray
) -> Readout:
    """Add the means of similar samples to units in place, and read others likewise.

    Parameters
    ----------
    hidden : Readout
    units : ndarray of shape (n, n_units)
        What it reads from the samples.
    directions : ndarray of shape (n_units, n_directions)
        Principal directions of units. Those in which samples are compared are rotated in place, so
        that they are principal directions of the averages.
    remembered : ndarray of shape (n_remembered,)
        Indices of the samples with which others are averaged.
    """
    compared = directions[:, :N_COMPARED].copy()
    points = units @ compared
    width = np.float32(bandwidth(points[remembered]))
    samples = points[remembered] / width
    share = strength(len(samples))
    added = means_of_similar(points / width, samples) * (share * width)
    for part, means in zip(in_parts(units), in_parts(added), strict=True):
        part += means @ compared.T
    directions[:, :N_COMPARED] = compared @ principal_directions(points + added, N_COMPARED)
    shift = compared.T * (share * width)
    if hidden.damped is not None:  # so that units need not be damped to be compared
        damp(compared.T, hidden.damped)
    neighbors = Neighbors(compared / width, samples)
    return hidden._replace(shift=shift, neighbors=neighbors)


def _divided(hidden: Readout, factor: np.float32) -> Readout:
    """Read what ``hidden`` reads, divided by a factor."""
    hidden = hidden._replace(scale=hidden.scale * factor)
    if hidden.neighbors is None or hidden.shift is None:
        return hidden
    neighbors = replace(hidden.neighbors, directions=hidden.neighbors.directions * factor)
    return hidden._replace(shift=hidden.shift / factor, neighbors=neighbors)


def _rotated(hidden: Readout, units: np.ndarray, rotation: np.ndarray) -> Readout:
    """Read components of mean variance 1, from what ``hidden`` reads: units (n, n_units)."""
    rotation = rotation / (np.sqrt(np.square(units @ rotation).mean(dtype=np.float64)) or 1.0)
    rotation = rotation.astype(np.float32)
    shift = None if hidden.shift is None else hidden.shift @ rotation
    if hidden.damped is not None:  # one product instead of three
        damp(rotation.T, hidden.damped)
    return hidden._replace(damped=None, rotation=rotation, shift=shift)


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
    # Without first weights: they would come from torch's global generator.
    head: Any = nn.utils.skip_init(nn.Linear, coef.shape[1], len(coef), dtype=torch.float32)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(coef))
        head.bias.copy_(torch.from_numpy(intercept))
    return head
