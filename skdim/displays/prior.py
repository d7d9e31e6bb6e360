"""Histograms of codes and of draws of the prior."""

from dataclasses import KW_ONLY, dataclass
from numbers import Integral

import numpy as np
import torch
from numpy.typing import ArrayLike

from skdim._runtime.surroundings import torch_defaults
from skdim.displays.drawing import (
    INK,
    LEGEND,
    PALETTE,
    SMALL,
    axes_and_figure,
    check_inputs,
    grid_shape,
    link_panels,
    make_panels,
)

N_DRAWS = 20_000
MAX_COLUMNS = 3
NOT_TRAINED = "No prior was trained (prior_weight=0): codes need not follow it."


@dataclass(eq=False, repr=False)
class PriorDisplay:
    """Histograms of components of the code, squashed by the prior, and of draws of the prior.

    Parameters
    ----------
    codes : array-like of shape (n, n_code)
        Squashed, like the input of the discriminator.
    draws : array-like of shape (n_draws, n_code)
        Draws of the prior.
    is_trained : bool, default=True
        Whether codes were trained to follow the prior. If not, the plot says so.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Contains all panels.
    figure_ : matplotlib Figure
    panels_ : ndarray of shape (n_components,) of matplotlib Axes
        A single panel is ``ax_`` itself.
    codes_, draws_ : list of matplotlib StepPatch
        One for each component; the area of each histogram is 1.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdim import DIMTransformer
    >>> from skdim.displays import PriorDisplay
    >>> images = load_digits().images[:500]
    >>> dim = DIMTransformer(prior_weight=1.0, max_epochs=2, random_state=0).fit(
    ...     images
    ... )
    >>> display = PriorDisplay.from_estimator(dim, images, components=[0, 1, 5])
    >>> [panel.get_title() for panel in display.panels_]
    ['component 0', 'component 1', 'component 5']
    """

    codes: ArrayLike
    draws: ArrayLike
    _: KW_ONLY
    is_trained: bool = True

    @classmethod
    @torch_defaults()
    def from_estimator(cls, estimator, X, *, components=6, n_bins=20, ax=None):
        """Draw codes of X and 20,000 seeded draws of the prior, and return the display.

        Parameters
        ----------
        estimator : DIMTransformer
            Fitted. If its ``prior_weight`` was 0, codes were not trained to follow the prior, and
            the plot says so.
        X : array-like of the kind and sample shape that ``fit`` saw
        components, n_bins, ax
            As in `plot`.
        """
        samples = check_inputs(estimator, X)
        model = estimator.model_
        prior = model.config.objective.prior
        generator = torch.Generator(model.device).manual_seed(0)
        codes = torch.cat(
            [
                prior.squash(encoding.draw_codes(generator)[:n].float())
                for n, encoding in model.encode(samples)
            ]
        )
        draws = prior.sample((N_DRAWS, codes.shape[1]), generator)
        is_trained = model.config.objective.prior_weight > 0
        display = cls(codes.cpu().numpy(), draws.cpu().numpy(), is_trained=is_trained)
        return display.plot(ax, components=components, n_bins=n_bins)

    def plot(self, ax=None, *, components=6, n_bins=20):
        """Draw the histograms, all with the same bins, and return the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Divided into panels. None makes a new figure.
        components : int or list of int, default=6
            How many of the first components (all, if there are fewer), or a list of components.
        n_bins : int, default=20
        """
        codes, draws = np.asarray(self.codes), np.asarray(self.draws)
        chosen = check_components(components, codes.shape[1])
        codes, draws = codes[:, chosen], draws[:, chosen]
        edges = np.histogram_bin_edges(np.concatenate([codes, draws]), n_bins)
        n_rows, n_columns = grid_shape(len(chosen), MAX_COLUMNS)
        figsize = (1.4 + 1.9 * n_columns, 0.8 + 1.6 * n_rows)
        self.ax_, self.figure_ = axes_and_figure(ax, figsize)
        self.panels_ = make_panels(self.ax_, len(chosen), n_columns, hspace=0.4)
        link_panels(self.panels_, n_columns, "value, squashed", "density")
        self.codes_, self.draws_ = [], []
        area = {"fill": True, "color": PALETTE[0], "alpha": 0.7, "label": "codes"}
        line = {"color": INK, "linewidth": 1.3, "label": "draws of the prior"}
        for panel, code, draw, component in zip(
            self.panels_, codes.T, draws.T, chosen, strict=True
        ):
            self.codes_.append(panel.stairs(*np.histogram(code, edges, density=True), **area))
            self.draws_.append(panel.stairs(*np.histogram(draw, edges, density=True), **line))
            panel.set_title(f"component {component}", **SMALL)
        panel.set_ylim(bottom=0)
        self.ax_.legend(
            handles=[self.codes_[0], self.draws_[0]],
            title=None if self.is_trained else NOT_TRAINED,
            loc="lower center",
            bbox_to_anchor=(0.5, 1),
            borderaxespad=2.2,  # room for the titles of panels
            ncols=2,
            title_fontproperties={"size": "small", "weight": "bold"},
            **LEGEND,
        )
        return self


def check_components(components, n_code: int) -> list[int]:
    """Return the components to draw; raise ValueError if there are none or if one is missing."""
    if isinstance(components, Integral):
        chosen = list(range(min(int(components), n_code)))
    else:
        chosen = list(components)
    if not chosen or any(not 0 <= component < n_code for component in chosen):
        raise ValueError(
            "The 'components' parameter must be a number of components, at least 1, or a list of "
            f"some from 0 to {n_code - 1}. Got {components!r}."
        )
    return chosen
