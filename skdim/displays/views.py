"""Samples and their random views: what ``augment`` does to X."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import validate_parameter_constraints

from skdim._model.config import ModelConfig, resolve
from skdim._runtime.surroundings import torch_defaults
from skdim.augmentation import make_views
from skdim.displays.drawing import (
    INK,
    PALETTE,
    PICTURES,
    SMALL,
    check_drawable,
    check_kind,
    check_number,
    draw_frame,
    draw_samples,
    drawing_of,
    evenly_spaced,
    limits_of,
    make_rows,
    take,
)
from skdim.sources.checks import as_samples
from skdim.sources.oscillation import has_spectrogram
from skdim.sources.standardization import Standardization, learn_standardization
from skdim.sources.stored import Samples
from skdim.transformer import PARAMETER_CONSTRAINTS, DIMTransformer, check_samples

DRAWINGS = (*PICTURES, "bars")


@dataclass(eq=False, repr=False)
class ViewsDisplay:
    """A row of pictures for each sample: the sample, then random views of it.

    Features will be the same for all pictures in a row, as far as training succeeds. So each view
    must still show what matters to you: a view that turns a 6 into a 9 is a mistake.

    Colours of images have the scale of the samples, and values of views beyond it are cut off. A
    row of a table is drawn as a bar for each column, from the smallest to the largest value of the
    column in the display.

    Parameters
    ----------
    samples : ndarray of shape (n, channels, *sides)
    views : ndarray of shape (n, n_views, channels, *view_sides)
        In the units of the samples.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Contains all pictures.
    figure_ : matplotlib Figure
    thumbnails_ : ndarray of shape (n, 1 + n_views) of matplotlib artists
        AxesImage, LineCollection for signals, or StepPatch for rows of a table.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdim import DIMTransformer
    >>> from skdim.displays import ViewsDisplay
    >>> dim = DIMTransformer()  # need not be fitted
    >>> display = ViewsDisplay.from_estimator(dim, load_digits().images, n_views=4)
    >>> display.views.shape
    (5, 4, 1, 8, 8)
    """

    samples: np.ndarray
    views: np.ndarray

    @classmethod
    @torch_defaults()
    def from_estimator(
        cls, estimator, X, *, n_samples=5, n_views=7, random_state=0, ax=None, cmap="gray"
    ):
        """Draw samples of X and views as training sees them, and return the display.

        Occlusion and small crops, which change views further, are not shown.

        Parameters
        ----------
        estimator : DIMTransformer
            Fitted or not. Its ``augment`` must not be None.
        X : array-like of the kind and sample shape that ``fit`` saw, or will see
            Rows of a table, signals, images or volumes.
        n_samples : int, default=5
            Number of samples, which are evenly spaced in X.
        n_views : int, default=7
            Number of views of each sample.
        random_state : int, RandomState or None, default=0
            None draws other views each time.
        ax, cmap
            As in `plot`.
        """
        check_kind(estimator)
        samples, config, standardization = prepare(estimator, X)
        check_drawable(samples, DRAWINGS)
        check_number("n_samples", n_samples, len(samples), "samples")
        if n_views < 1:
            raise ValueError(f"The 'n_views' parameter must be at least 1. Got {n_views}.")
        if config.augment is None:
            raise ValueError(
                "The 'augment' parameter of the transformer must make views, to be drawn. Got None."
            )
        drawn = take(samples, evenly_spaced(len(samples), n_samples))
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        generator = torch.Generator(standardization.device).manual_seed(seed)
        with torch.inference_mode():
            batch = make_views(standardization(drawn), config.augment, generator, n_views)
        views = in_units_of_x(batch.cpu().numpy(), standardization)  # (n_views, n, ...)
        return cls(drawn, np.moveaxis(views, 0, 1)).plot(ax, cmap=cmap)

    def plot(self, ax=None, *, cmap="gray"):
        """Draw the samples and their views, and return the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        cmap : str or matplotlib Colormap, default="gray"
            Colour map of grey pictures; "gray_r" draws dark on white.
        """
        check_drawable(self.samples, DRAWINGS)
        n_samples, n_views = self.views.shape[:2]
        self.ax_, self.figure_, panels = make_rows(ax, n_samples, 1 + n_views)
        flat = self.views.reshape(n_samples * n_views, *self.views.shape[2:])
        limits = limits_of(self.samples)
        if drawing_of(self.samples) in ("curves", "bars"):  # no value is cut off
            (low, high), (lowest, highest) = limits, limits_of(flat)
            limits = np.fmin(low, lowest), np.fmax(high, highest)
        samples = draw_samples(panels[:, 0], self.samples, cmap, limits=limits)
        views = draw_samples(panels[:, 1:].flat, flat, cmap, limits=limits)
        by_sample = np.array(views, dtype=object).reshape(n_samples, n_views)
        self.thumbnails_ = np.column_stack([np.array(samples, dtype=object), by_sample])
        for panel in panels[:, 0]:
            panel.set_xlabel("sample", **SMALL, labelpad=2)
            draw_frame(panel, PALETTE[0])
        panels[0, 1].set_title("Random views", loc="left", fontsize="medium", color=INK)
        return self


def prepare(estimator: DIMTransformer, X) -> tuple[Samples, ModelConfig, Standardization]:
    """Return the samples of X, and how a fitted transformer, or one to be fitted, treats them."""
    if estimator.__sklearn_is_fitted__():
        model = estimator.model_
        return check_samples(estimator, X), model.config, model.standardization
    params = estimator.get_params(deep=False)
    validate_parameter_constraints(PARAMETER_CONSTRAINTS, params, type(estimator).__name__)
    samples, layout = as_samples(
        X, estimator.sample_shape, estimator.channel_axis, estimator.allow_nan, n_min=2
    )
    layout = replace(layout, oscillate=has_spectrogram(estimator.encoder, samples))
    # Views do not depend on groups of columns, whose names only `fit` knows.
    config = resolve({**params, "column_groups": None}, layout)
    standardization = learn_standardization(samples, torch.device("cpu"), config.fills_missing)
    return samples, config, standardization


def in_units_of_x(views: np.ndarray, standardization: Standardization) -> np.ndarray:
    """Undo the standardisation of views (n_views, n, channels, *sides); constants stay constant."""
    sides = [1] * (views.ndim - 3)
    mean, scale = (
        statistic.reshape(-1, *sides) for statistic in (standardization.mean, standardization.scale)
    )
    return views * np.where(np.isinf(scale), 0.0, scale) + mean
