"""Local scores of a code, as a map below each image or signal."""

import numpy as np
import torch
from torch import Tensor, nn

from skdim._model.fitted import FittedModel
from skdim._model.scoring import N_NEGATIVES
from skdim.displays.drawing import (
    INK,
    MUTED,
    PALETTE,
    as_pictures,
    axes_or_new,
    box_around,
    check_transformer,
    divide,
    tidy,
)
from skdim.encoders import encode, evaluating
from skdim.encoders.contract import as_local_map
from skdim.sources.stored import Samples
from skdim.transformer import check_samples

UNIT = "score above other samples' codes"
N_COLUMNS, N_COLUMNS_OF_SIGNALS = 6, 3  # at most
FOR, AGAINST = np.array([0.88, 0.36, 0.0]), np.array([0.37, 0.24, 0.60])  # orange, purple
# Distance from one picture to the next, in pictures; from one pair of rows to the next, in steps.
STEP, PAIR = 1.08, 2.15


def local_scores(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    r"""Score of a sample's code minus the mean score of other samples' codes, at each location.

    .. math:: S_k = T(y, l_k) - \frac{1}{m} \sum_{j=1}^m T(y_j, l_k)

    with :math:`T` the critic, :math:`y` the code of the sample, :math:`y_j` the codes of other
    samples and :math:`l_k` the local vector of the sample at location k. A location to which all
    codes give the same score, such as an empty corner, has local score 0. Scores are averaged, not
    their exponentials, because one similar sample among the others would dominate that mean.

    Parameters
    ----------
    positives : array-like of shape (..., n_locations)
        Scores of the code of each sample with its own local features.
    negatives : array-like of shape (..., n_negatives, n_locations)
        Scores of codes of other samples with the same local features.

    Returns
    -------
    scores : ndarray of shape (..., n_locations)
        In the unit of the scores of the critic.

    Examples
    --------
    >>> from skdim.displays.local_score import local_scores
    >>> local_scores([5.0, 1.0], [[1.0, 1.0], [2.0, 1.0]])
    array([3.5, 0. ])
    """
    return np.asarray(positives) - np.mean(negatives, axis=-2)


class LocalScoreDisplay:
    """Locations of images or signals that identify the code, as a map below the sample.

    The critic of the local term scores a sample's code with the local vector at each location.
    The display shows this score minus the mean score of the codes of other samples at the same
    location (see `local_scores`): a plain score may be high for all codes. 0 means that a location
    does not distinguish the code; a negative score, that it fits other codes better. The unit is
    that of the critic: nats for MI estimators whose optimal critic is a logarithm of densities
    ("infonce", "jsd", "dv", "nwj", "rkl").

    The map is as large as the sample above it. The receptive field of a local vector is larger than
    the area drawn for it.

    Parameters
    ----------
    samples : ndarray of shape (n, channels, *sides)
        Images or signals.
    scores : ndarray of shape (n, *map_shape)
        With as many axes as the samples have sides.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Contains the whole plot.
    figure_ : matplotlib Figure
    pictures_, heat_ : list of AxesImage
        For images: one of each for every sample.
    panels_ : ndarray of shape (2 * n_rows, n_columns) of matplotlib Axes
        For signals: each signal, with its scores below.
    colorbar_ : matplotlib Colorbar
        For images.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdim import DIMTransformer
    >>> from skdim.displays import LocalScoreDisplay
    >>> images = load_digits().images[:500]
    >>> dim = DIMTransformer(max_epochs=2, random_state=0).fit(images)
    >>> display = LocalScoreDisplay.from_estimator(dim, images, n_samples=4)
    >>> display.scores.shape
    (4, 4, 4)
    """

    def __init__(self, samples, scores):
        self.samples = samples
        self.scores = scores

    @classmethod
    def from_estimator(cls, estimator, X, *, n_samples=6, map_shape=None, ax=None, cmap="gray"):
        """Draw the first samples of X, scored with other samples of X as negatives.

        Parameters
        ----------
        estimator : DIMTransformer
            Fitted with a positive ``local_weight``, and not trimmed. The last local map is used.
        X : array-like of the kind and sample shape that ``fit`` saw
            At least two images or signals. Negatives are taken from the first 128, or from all that
            are drawn, if these are more.
        n_samples : int, default=6
            Largest number of samples to draw.
        map_shape : tuple of int, default=None
            Sides of the local map, for instance ``(7, 7)``. None finds them by running the encoder:
            they are those of the layer whose output is the local map. If there is no such layer,
            as in encoders that return tokens, the parameter is needed.
        ax, cmap
            As in `plot`.

        Returns
        -------
        display : LocalScoreDisplay
        """
        check_transformer(estimator)
        objective = estimator.model_.check_not_trimmed("a map of scores")
        samples = check_samples(estimator, X)
        check_flat(samples)
        if not objective.config.local_weight:
            raise ValueError(
                "The 'local_weight' parameter must have been positive in fit, so that there is a "
                "critic of local vectors. Got 0."
            )
        if len(samples) < 2:
            raise ValueError(
                "X must hold at least 2 samples, so that each has negatives to be compared with. "
                f"Got {len(samples)} sample."
            )
        if n_samples < 1:
            raise ValueError(f"The 'n_samples' parameter must be at least 1. Got {n_samples}.")
        drawn = samples[:n_samples]
        batch = samples[: max(len(drawn), 1 + N_NEGATIVES)]
        scores = _score(estimator.model_, batch, len(drawn))
        if map_shape is None:
            map_shape = find_map_shape(
                estimator.encoder_, estimator.sample_shape_, estimator.device_
            )
        if np.prod(map_shape) != scores.shape[1] or len(map_shape) != samples.ndim - 2:
            raise ValueError(
                f"The 'map_shape' parameter must have {samples.ndim - 2} axes of "
                f"{scores.shape[1]} locations in all. Got {tuple(map_shape)}."
            )
        return cls(drawn, scores.reshape(-1, *map_shape)).plot(ax, cmap=cmap)

    def plot(self, ax=None, *, cmap="gray"):
        """Draw the samples, and the scores of their locations.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        cmap : str or matplotlib Colormap, default="gray"
            Colour map of grey pictures; "gray_r" draws dark on white.

        Returns
        -------
        display : LocalScoreDisplay
            The same object.
        """
        check_flat(self.samples)
        if self.samples.ndim == 3:
            return self._plot_signals(ax)
        return self._plot_images(ax, cmap)

    def _plot_images(self, ax, cmap):
        n = len(self.samples)
        n_rows = -(-n // N_COLUMNS)
        n_columns = -(-n // n_rows)
        ax = axes_or_new(ax, (1.3 + 1.25 * n_columns, 0.3 + 2.6 * n_rows))
        self.ax_, self.figure_ = ax, ax.figure
        pictures = as_pictures(self.samples)
        scale = color_scale(np.asarray(self.scores))
        heat = scale.cmap(scale.norm(np.asarray(self.scores)))
        self.pictures_, self.heat_ = [], []
        for i in range(n):
            row, column = divmod(i, n_columns)
            above, below = (
                box_around((STEP * column, -STEP * (PAIR * row + down)), pictures.shape[1:3], 1.0)
                for down in (0, 1)
            )
            limits = {"vmin": 0, "vmax": 1}
            self.pictures_.append(ax.imshow(pictures[i], cmap=cmap, extent=above, **limits))
            self.heat_.append(ax.imshow(heat[i], extent=below, interpolation="nearest"))
        lowest = -STEP * (PAIR * (n_rows - 1) + 1)
        ax.set(
            xlim=(-0.55, STEP * (n_columns - 1) + 0.55), ylim=(lowest - 0.55, 0.55), aspect="equal"
        )
        ax.set_axis_off()
        self.colorbar_ = self.figure_.colorbar(scale, ax=ax, shrink=0.7, aspect=30)
        shown = np.append(self.scores, 0)
        self.colorbar_.ax.set_ylim(shown.min(), shown.max())
        self.colorbar_.set_label(UNIT, color=INK)
        self.colorbar_.outline.set_visible(False)
        self.colorbar_.ax.tick_params(color=MUTED, labelcolor=INK, labelsize="small")
        return self

    def _plot_signals(self, ax):
        n, n_channels, length = self.samples.shape
        n_rows = -(-n // N_COLUMNS_OF_SIGNALS)
        n_columns = -(-n // n_rows)
        ax = axes_or_new(ax, (0.8 + 2.6 * n_columns, 0.6 + 2.4 * n_rows))
        self.ax_, self.figure_ = ax, ax.figure
        self.panels_ = divide(ax, 2 * n_rows, n_columns, gaps=(0.2, 0.12))
        scores = np.asarray(self.scores)
        edges = np.linspace(0, length, scores.shape[1] + 1)
        time = np.arange(length) + 0.5
        colors = [INK] if n_channels == 1 else PALETTE
        # each channel has a lane of its own, the first on top
        lanes = -1.1 * np.ptp(self.samples) * np.arange(n_channels)
        for i in range(n):
            row, column = divmod(i, n_columns)
            signal, evidence = self.panels_[2 * row : 2 * row + 2, column]
            for channel, values in enumerate(self.samples[i] + lanes[:, None]):
                signal.plot(time, values, color=colors[channel % len(colors)], linewidth=1)
            evidence.stairs(scores[i], edges, fill=True, color=FOR)
            evidence.axhline(0, color=MUTED, linewidth=0.8)
        self._label_signals(n, length)
        if n_channels > 1:
            middle = (self.samples.min() + self.samples.max()) / 2
            for panel in self.panels_[::2].ravel()[:n]:
                panel.set_yticks(middle + lanes, range(n_channels))
            for panel in self.panels_[::2, 0]:
                panel.set_ylabel("channel", color=INK, fontsize="small")
        return self

    def _label_signals(self, n: int, length: int) -> None:
        """Use one scale for all signals and one for all scores; label the outer panels."""
        n_columns = self.panels_.shape[1]
        for kind, label in ((0, "signal"), (1, "score above\nnegatives")):
            panels = self.panels_[kind::2]
            drawn = panels.ravel()[:n]
            limits = np.array([panel.get_ylim() for panel in drawn])
            for i, panel in enumerate(drawn):
                panel.set(xlim=(0, length), ylim=(limits[:, 0].min(), limits[:, 1].max()))
                tidy(panel)
                panel.tick_params(labelleft=i % n_columns == 0)
            for panel in panels[:, 0]:
                panel.set_ylabel(label, color=INK, fontsize="small")
            for panel in panels.ravel()[n:]:
                panel.set_axis_off()
        for i in range(max(0, n - n_columns), n):  # the lowest of each column
            panel = self.panels_[1::2].ravel()[i]
            panel.tick_params(labelbottom=True)
            panel.set_xlabel("time (points)", color=INK, fontsize="small")


def check_flat(samples: Samples) -> None:
    """Raise ValueError unless samples (n, channels, *sides) are images or signals."""
    if samples.ndim not in (3, 4):
        raise ValueError(
            "X must hold images or signals, on which scores can be drawn. Got samples of shape "
            f"{samples.shape[1:]} (channels first)."
        )


def color_scale(scores: np.ndarray):
    """Return a matplotlib ScalarMappable: orange for positive, purple for negative, white for 0."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    largest = np.abs(scores).max() or 1.0
    cmap = LinearSegmentedColormap.from_list("evidence", [AGAINST, np.ones(3), FOR])
    return ScalarMappable(Normalize(-largest, largest), cmap)


@torch.no_grad()
def _score(model: FittedModel, batch: np.ndarray, n_drawn: int) -> np.ndarray:
    """Return `local_scores` of the first samples, of shape (n_drawn, n_locations)."""
    code, local_maps = model.encode_all(batch)
    objective = model.check_not_trimmed("a map of scores")
    critic, local_map = objective.scoring_critics(1, tuple(m[None] for m in local_maps))[-1]
    scores = []
    for i in range(n_drawn):
        positives = local_map[:, i : i + 1].expand(1, len(code), -1, -1)
        by_code = critic(code[None], positives)[0].float().cpu().numpy()  # (n, n_locations)
        scores.append(local_scores(by_code[i], np.delete(by_code, i, axis=0)))
    return np.stack(scores)


@torch.no_grad()
def find_map_shape(
    encoder: nn.Module, sample_shape: tuple[int, ...], device: torch.device
) -> tuple[int, ...]:
    """Find the sides of the last local map of an encoder, which returns them flattened.

    Noise is encoded. The sides are those of the layer whose output, flattened, is equal to the
    local map in every number. They are not guessed from the number of locations.

    Parameters
    ----------
    encoder : nn.Module
    sample_shape : tuple (channels, *sides)
    device : torch.device
        Device of the encoder.

    Returns
    -------
    map_shape : tuple of int
        One for each side of a sample.

    Raises
    ------
    ValueError
        If there is no such layer.
    """
    n_sides = len(sample_shape) - 1
    outputs: list[Tensor] = []

    def store(module, inputs, output):
        if isinstance(output, Tensor) and output.ndim == 2 + n_sides:
            outputs.append(output)

    hooks = [module.register_forward_hook(store) for module in encoder.modules()]
    noise = torch.randn(2, *sample_shape, generator=torch.Generator().manual_seed(0))
    try:
        with evaluating(encoder):
            local_map = encode(encoder, noise.to(device)).local_maps[-1]
    finally:
        for hook in hooks:
            hook.remove()
    for output in outputs:
        if torch.equal(as_local_map(output), local_map):
            return tuple(output.shape[2:])
    raise ValueError(
        f"The shape of the local map of {type(encoder).__name__} cannot be known: none of its "
        f"layers puts out its {local_map.shape[1]} locations with their axes. Set the 'map_shape' "
        "parameter."
    )
