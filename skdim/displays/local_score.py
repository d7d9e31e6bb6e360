"""Local scores of a code, as a map below or over each image or signal."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skdim._model.fitted import FittedModel
from skdim._model.scoring import N_NEGATIVES
from skdim._runtime.surroundings import torch_defaults
from skdim.displays.drawing import (
    MUTED,
    axes_and_figure,
    channel_colors,
    check_drawable,
    check_inputs,
    draw_colorbar,
    draw_samples,
    drawing_of,
    grid_shape,
    link_panels,
    make_panels,
    stack_channels,
)
from skdim.encoders import encode, evaluating
from skdim.encoders.contract import as_local_map

UNIT = "score above other\nsamples' codes"
# For each way in which samples are drawn: the largest number of columns; width and height of a
# sample with its scores, in inches; the gap between the two, in heights of a panel; height / width.
LAYOUTS = {"picture": (6, (1.25, 2.6), 0.06, 2.06), "curves": (3, (2.6, 2.4), 0.2, None)}
POSITIVE, NEGATIVE = "#e05c00", "#5e3d99"  # orange, purple
# Of the largest score that is drawn over a sample.
OPACITY = 0.8


@dataclass(eq=False, repr=False)
class LocalScoreDisplay:
    r"""Locations of images or signals that identify the code, as a map below or over the sample.

    The local score of location k of a sample is

    .. math:: S_k = T(y, l_k) - \frac{1}{m} \sum_{j=1}^m T(y_j, l_k)

    with :math:`T` the critic of the local term, :math:`y` the code of the sample, :math:`y_j` the
    codes of m other samples, and :math:`l_k` the local vector of the sample at k. If it is 0, the
    location does not distinguish the code: an empty corner has the same score with all codes. If it
    is negative, the location fits other codes better. The mean is of scores, not of their
    exponentials, which a single similar sample would dominate. The unit is that of the critic: nats
    for MI estimators whose optimal critic is a logarithm of densities ("infonce", "jsd", "dv",
    "nwj", "rkl").

    The map is drawn as large as the sample, below it or, with ``over=True``, over it. The receptive
    field of a local vector is larger than the area drawn for it.

    Parameters
    ----------
    samples : ndarray of shape (n, channels, *sides)
        Images or signals.
    scores : ndarray of shape (n, *map_shape)
        Local scores; ``map_shape`` has as many axes as a sample has sides.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Contains the whole plot.
    figure_ : matplotlib Figure
    panels_ : ndarray of shape (n, 2) of matplotlib Axes
        Each sample, and its scores below; (n, 1) if they are drawn over it.
    pictures_ : list of n AxesImage
        Images; signals have none.
    heat_ : list of n AxesImage
        Scores of images, or scores that are drawn over signals.
    colorbar_ : matplotlib Colorbar
        Colours of scores; there is none below signals.

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

    samples: np.ndarray
    scores: np.ndarray

    @classmethod
    @torch_defaults()
    def from_estimator(
        cls, estimator, X, *, n_samples=6, map_shape=None, over=False, ax=None, cmap="gray"
    ):
        """Draw the first samples of X, scored against other samples, and return the display.

        Parameters
        ----------
        estimator : DIMTransformer
            Fitted with a positive ``local_weight``, and not trimmed. The last local map is used.
        X : array-like of the kind and sample shape that ``fit`` saw
            At least two images or signals. The other samples are among the first 128, or among
            those that are drawn, if there are more.
        n_samples : int, default=6
            Largest number of samples to draw.
        map_shape : tuple of int, default=None
            Sides of the local map, for instance ``(7, 7)``. None runs the encoder to find the layer
            whose output is the local map. Encoders without such a layer, for instance those that
            return tokens, need the parameter.
        over, ax, cmap
            As in `plot`.
        """
        samples = check_inputs(estimator, X)
        check_drawable(samples, tuple(LAYOUTS))
        objective = estimator.model_.check_not_trimmed("a map of scores")
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
        scores = score_locations(estimator.model_, batch, len(drawn))
        if map_shape is None:
            map_shape = find_map_shape(
                estimator.encoder_, estimator.sample_shape_, estimator.device_
            )
        if np.prod(map_shape) != scores.shape[1] or len(map_shape) != samples.ndim - 2:
            raise ValueError(
                f"The 'map_shape' parameter must have {samples.ndim - 2} axes of "
                f"{scores.shape[1]} locations in all. Got {tuple(map_shape)}."
            )
        display = cls(drawn, scores.reshape(-1, *map_shape))
        return display.plot(ax, over=over, cmap=cmap)

    def plot(self, ax=None, *, over=False, cmap="gray"):
        """Draw the samples and the scores of their locations, and return the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        over : bool, default=False
            Whether to draw the scores over the sample, which is then grey, instead of below it. A
            location of score 0 is transparent.
        cmap : str or matplotlib Colormap, default="gray"
            Colour map of grey pictures; "gray_r" draws dark on white.
        """
        drawing = drawing_of(self.samples)
        check_drawable(self.samples, tuple(LAYOUTS))
        max_columns, (width, height), gap, aspect = LAYOUTS[drawing]
        if over:
            height, aspect = height / 2, None if aspect is None else 1
        n_rows, n_columns = grid_shape(len(self.samples), max_columns)
        self.ax_, self.figure_ = axes_and_figure(ax, (1 + width * n_columns, 0.5 + height * n_rows))
        cells = make_panels(
            self.ax_, len(self.samples), n_columns, hspace=0.1, wspace=0.1, aspect=aspect
        )
        self.panels_ = np.stack([make_panels(cell, 1 if over else 2, hspace=gap) for cell in cells])
        if drawing == "picture":
            self._draw_images(cmap, over)
        else:
            self._draw_signals(n_columns, over)
        return self

    def _draw_images(self, cmap, over: bool) -> None:
        """Draw images, and their scores in colours."""
        for panel in self.panels_.flat:
            panel.set_axis_off()
        # Below scores, an image is grey: its own colours would be mistaken for theirs.
        samples = self.samples.mean(1, keepdims=True) if over else self.samples
        self.pictures_ = draw_samples(self.panels_[:, 0], samples, cmap)
        extents = [picture.get_extent() for picture in self.pictures_]
        self._draw_heat(extents, zorder=4 if over else 3, fades=over)

    def _draw_signals(self, n_columns: int, over: bool) -> None:
        """Draw signals and their scores, on one scale for all signals and one for all scores."""
        n_channels, length = self.samples.shape[1:]
        curves, middles = stack_channels(self.samples)
        ylabel = "signal" if n_channels == 1 else "channel"
        xlabel = "time (points)" if over else ""
        link_panels(self.panels_[:, 0], n_columns, xlabel, ylabel)
        for signal, curve in zip(self.panels_[:, 0], curves, strict=True):
            signal.set_prop_cycle(color=channel_colors(n_channels))
            signal.plot(np.arange(length) + 0.5, curve.T, linewidth=1)
        if over:
            box = (0, length, *signal.get_ylim())
            self._draw_heat([box] * len(curves), zorder=0, fades=True, aspect="auto")
        else:
            self._draw_stairs(n_columns, length)
        signal.set_xlim(0, length)
        if n_channels > 1:
            signal.set_yticks(middles, range(n_channels))

    def _draw_heat(self, extents, *, zorder: int, fades: bool, aspect=None) -> None:
        """Draw scores in colours in the last panel of each sample, and the bar of the colours.

        If it ``fades``, a score is the more transparent the closer it is to 0.
        """
        from matplotlib.colors import LinearSegmentedColormap

        scores = np.asarray(self.scores)
        largest = np.abs(scores).max() or 1.0
        colors = LinearSegmentedColormap.from_list("evidence", [NEGATIVE, "white", POSITIVE])
        scale = {"cmap": colors, "vmin": -largest, "vmax": largest, "interpolation": "nearest"}
        maps = scores if scores.ndim == 3 else scores[:, None]  # signals: (n, 1, n_locations)
        self.heat_ = [
            panel.imshow(
                heat,
                extent=extent,
                zorder=zorder,
                aspect=aspect,
                alpha=OPACITY * np.abs(heat) / largest if fades else None,
                **scale,
            )
            for panel, heat, extent in zip(self.panels_[:, -1], maps, extents, strict=True)
        ]
        self.colorbar_ = draw_colorbar(self.ax_, self.heat_[0], UNIT)
        self.colorbar_.ax.set_ylim(min(0, scores.min()), max(0, scores.max()))

    def _draw_stairs(self, n_columns: int, length: int) -> None:
        """Draw the scores of signals as steps below them."""
        scores = np.asarray(self.scores)
        edges = np.linspace(0, length, scores.shape[1] + 1)
        link_panels(self.panels_[:, 1], n_columns, "time (points)", "score above\nnegatives")
        for bars, score in zip(self.panels_[:, 1], scores, strict=True):
            bars.stairs(score, edges, fill=True, color=POSITIVE)
            bars.axhline(0, color=MUTED, linewidth=0.8)
        bars.set_xlim(0, length)


def local_scores(positives, negatives) -> np.ndarray:
    """Return the local scores of `LocalScoreDisplay`, of shape (..., n_locations).

    ``positives`` (..., n_locations) are the critic's scores of samples with their own codes,
    ``negatives`` (..., n_negatives, n_locations) those with other samples' codes.
    """
    return np.asarray(positives) - np.mean(negatives, axis=-2)


@torch.no_grad()
def score_locations(model: FittedModel, batch: np.ndarray, n_drawn: int) -> np.ndarray:
    """Return `local_scores` of the first samples of a batch, of shape (n_drawn, n_locations)."""
    code, local_maps = model.encode_all(batch)
    objective = model.check_not_trimmed("a map of scores")
    critic, local_map = objective.scoring_critics(1, tuple(m[None] for m in local_maps))[-1]
    scores = []
    for i in range(n_drawn):
        locations = local_map[:, i : i + 1].expand(1, len(code), -1, -1)
        by_code = critic(code[None], locations)[0].float().cpu().numpy()  # (n, n_locations)
        scores.append(local_scores(by_code[i], np.delete(by_code, i, axis=0)))
    return np.stack(scores)


@torch.no_grad()
def find_map_shape(
    encoder: nn.Module, sample_shape: tuple[int, ...], device: torch.device
) -> tuple[int, ...]:
    """Find the sides of the last local map of an encoder, which returns them flattened.

    Noise is encoded, to find the layer whose flattened output is equal to the local map in every
    number. ValueError is raised if there is no such layer: the sides are not guessed from the
    number of locations.
    """
    outputs: list[Any] = []
    noise = torch.randn(2, *sample_shape, generator=torch.Generator().manual_seed(0))
    with evaluating(encoder), ExitStack() as hooks:
        for module in encoder.modules():
            hook = module.register_forward_hook(lambda module, inputs, x: outputs.append(x))
            hooks.enter_context(hook)
        local_map = encode(encoder, noise.to(device)).local_maps[-1]
    for output in outputs:
        has_axes = isinstance(output, Tensor) and output.ndim == noise.ndim
        if has_axes and torch.equal(as_local_map(output), local_map):
            return tuple(output.shape[2:])
    raise ValueError(
        f"The shape of the local map of {type(encoder).__name__} cannot be known: none of its "
        f"layers puts out its {local_map.shape[1]} locations with their axes. Set the 'map_shape' "
        "parameter."
    )
