"""Where in a sample its code finds its evidence."""

import numpy as np
import torch
from torch import Tensor, nn

from skdim._model.fitted import FittedModel
from skdim._model.scoring import N_NEGATIVES
from skdim.displays.drawing import (
    INK,
    MUTED,
    PALETTE,
    as_grey,
    as_pictures,
    axes_or_new,
    box_around,
    check_transformer,
    divide,
    tidy,
)
from skdim.encoders import encode, evaluating
from skdim.encoders.contract import as_local_map
from skdim.sources._checks import check_samples
from skdim.sources._lazy import Samples

UNIT = "score above other samples' codes"
N_COLUMNS, N_COLUMNS_OF_SIGNALS = 6, 3  # at most
FOR, AGAINST = np.array([0.88, 0.36, 0.0]), np.array([0.37, 0.24, 0.60])  # orange, purple
OPACITY = 0.75  # at most
# In pictures: from one to the next; in steps: from a pair of rows to the next.
STEP, PAIR = 1.08, 2.15


def local_scores(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    r"""How far a sample's code scores above the codes of other samples, at each of its locations.

    .. math:: S_k = T(y, l_k) - \frac{1}{m} \sum_{j=1}^m T(y_j, l_k)

    with :math:`T` the critic, :math:`y` the sample's code, :math:`y_j` those of others and
    :math:`l_k` its local vector at location k. What any code finds there, such as an empty
    corner, is no evidence and scores 0. The mean of scores is taken, and not that of their
    exponentials, which one similar sample among the others would dominate.

    Parameters
    ----------
    positives : array-like of shape (..., n_locations)
        Scores of the code of each sample against its local features.
    negatives : array-like of shape (..., n_negatives, n_locations)
        Scores of codes of others against the same local features.

    Returns
    -------
    scores : ndarray of shape (..., n_locations)
        In the unit of the critic's scores.

    Examples
    --------
    >>> from skdim.displays.local_score import local_scores
    >>> local_scores([5.0, 1.0], [[1.0, 1.0], [2.0, 1.0]])
    array([3.5, 0. ])
    """
    return np.asarray(positives) - np.mean(negatives, axis=-2)


class LocalScoreDisplay:
    """Where in images or signals the code finds its evidence, as heat over the sample.

    The critic of the local term scores a sample's code against each location of its local map.
    Drawn is how far that is above the mean of what the codes of other samples score at the same
    location (`local_scores`), because the plain score is high wherever the critic likes a local
    vector, whichever code it is compared with. 0 is no evidence; a negative score is evidence for
    other samples. The unit is that of the critic's scores: nats for those MI estimators whose
    optimal critic is a logarithm of densities ("infonce", "jsd", "dv", "nwj", "rkl").

    A location is drawn as its share of the sample. The local vector there has seen more than that:
    its receptive field reaches beyond.

    Parameters
    ----------
    samples : ndarray of shape (n, channels, *sides)
        Images or signals.
    scores : ndarray of shape (n, *map_shape)
        With as many axes as the samples have sides.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What everything lies in.
    figure_ : matplotlib Figure
    pictures_, heat_ : list of AxesImage
        Of images: one of each for each sample.
    panels_ : ndarray of shape (2 * n_rows, n_columns) of matplotlib Axes
        Of signals: each signal, and its scores below.
    colorbar_ : matplotlib Colorbar
        Of images.

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
        """Draw the first samples of X; negatives are the others of the first 128, or of all drawn.

        Parameters
        ----------
        estimator : DIMTransformer
            Fitted with a ``local_weight``, and not trimmed. The last local map is looked at.
        X : array-like of the kind and sample shape that ``fit`` saw
            Images or signals, two at least.
        n_samples : int, default=6
            How many to draw at most.
        map_shape : tuple of int, default=None
            Axes of the local map, for instance ``(7, 7)``. None finds them: the encoder is run,
            and the layer whose output is the local map is looked for. Needed where no layer has
            it, as in encoders that return tokens.
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
        if not objective.local_weight:
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
            None makes a figure.
        cmap : str or matplotlib Colormap, default="gray"
            Of pictures in grey; "gray_r" draws ink on paper.

        Returns
        -------
        display : LocalScoreDisplay
            Itself.
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
        pale = 1 - 0.6 * (1 - as_grey(pictures, cmap))
        heat, scale = as_heat(np.asarray(self.scores))
        self.pictures_, self.heat_ = [], []
        for i in range(n):
            row, column = divmod(i, n_columns)
            above, below = (
                box_around((STEP * column, -STEP * (PAIR * row + down)), pictures.shape[1:3], 1.0)
                for down in (0, 1)
            )
            in_grey = {"vmin": 0, "vmax": 1}
            self.pictures_.append(ax.imshow(pictures[i], cmap=cmap, extent=above, **in_grey))
            ax.imshow(pale[i], cmap="gray", extent=below, **in_grey)
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
        for i in range(n):
            row, column = divmod(i, n_columns)
            signal, evidence = self.panels_[2 * row : 2 * row + 2, column]
            for channel, values in enumerate(self.samples[i]):
                signal.plot(time, values, color=colors[channel % len(colors)], linewidth=1)
            evidence.stairs(scores[i], edges, fill=True, color=FOR, alpha=OPACITY)
            evidence.axhline(0, color=MUTED, linewidth=0.8)
        self._label_signals(n, length)
        return self

    def _label_signals(self, n: int, length: int) -> None:
        """Give signals one scale, and scores one; words stand at the outer panels."""
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
            "X must hold images or signals, on which scores can be laid. Got samples of shape "
            f"{samples.shape[1:]} (channels first)."
        )


def as_heat(scores: np.ndarray):
    """Turn scores into two colours, one for and one against, the more opaque the larger the score.

    Returns
    -------
    heat : ndarray of shape (*scores.shape, 4)
        Red, green, blue and opacity.
    scale : matplotlib ScalarMappable
        From scores to the colours as they are on white.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    largest = np.abs(scores).max() or 1.0
    heat = np.empty((*scores.shape, 4))
    heat[..., :3] = np.where(scores[..., None] < 0, AGAINST, FOR)
    heat[..., 3] = OPACITY * np.abs(scores) / largest
    ends = [1 - OPACITY * (1 - color) for color in (AGAINST, FOR)]
    cmap = LinearSegmentedColormap.from_list("evidence", [ends[0], np.ones(3), ends[1]])
    return heat, ScalarMappable(Normalize(-largest, largest), cmap)


@torch.no_grad()
def _score(model: FittedModel, batch: np.ndarray, n_drawn: int) -> np.ndarray:
    """Return `local_scores` of the first samples, of shape (n_drawn, n_locations)."""
    code, local_maps = model.encode_all(batch)
    objective = model.check_not_trimmed("a map of scores")
    critic, local_map = objective.scoring_critics(1, tuple(m[None] for m in local_maps))[-1]
    scores = []
    for i in range(n_drawn):
        positives = local_map[:, i : i + 1].expand(1, len(code), -1, -1)
        of_all = critic(code[None], positives)[0].float().cpu().numpy()  # (n, n_locations)
        scores.append(local_scores(of_all[i], np.delete(of_all, i, axis=0)))
    return np.stack(scores)


@torch.no_grad()
def find_map_shape(
    encoder: nn.Module, sample_shape: tuple[int, ...], device: torch.device
) -> tuple[int, ...]:
    """Find the axes of an encoder's last local map, which it returns with them flattened.

    Noise is encoded, and the layer is looked for whose output, flattened, is the local map to the
    last number. Nothing is guessed from the number of locations.

    Parameters
    ----------
    encoder : nn.Module
    sample_shape : tuple (channels, *sides)
    device : torch.device
        Where the encoder is.

    Returns
    -------
    map_shape : tuple of int
        As many as there are sides.

    Raises
    ------
    ValueError
        If no layer has that output.
    """
    n_sides = len(sample_shape) - 1
    outputs: list[Tensor] = []

    def listen(module, inputs, output):
        if isinstance(output, Tensor) and output.ndim == 2 + n_sides:
            outputs.append(output)

    hooks = [module.register_forward_hook(listen) for module in encoder.modules()]
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
