"""Histograms of codes and of draws of the prior."""

from numbers import Integral

import numpy as np
import torch

from skdim.displays.drawing import INK, PALETTE, axes_or_new, check_transformer, divide, tidy
from skdim.transformer import check_samples

N_DRAWS = 20_000
N_COLUMNS = 3  # at most
NOT_TRAINED = "No prior was trained (prior_weight=0): codes need not follow it."


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

    def __init__(self, codes, draws, *, is_trained=True):
        self.codes = codes
        self.draws = draws
        self.is_trained = is_trained

    @classmethod
    def from_estimator(cls, estimator, X, *, components=6, n_bins=20, ax=None):
        """Draw codes of X, squashed by the prior, and 20,000 seeded draws of the prior.

        Parameters
        ----------
        estimator : DIMTransformer
            Fitted. If its ``prior_weight`` was 0, codes were not trained to follow the prior, and
            the plot says so.
        X : array-like of the kind and sample shape that ``fit`` saw
        components, n_bins, ax
            As in `plot`.

        Returns
        -------
        display : PriorDisplay
        """
        check_transformer(estimator)
        samples = check_samples(estimator, X)
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
        """Draw the histograms, all with the same bins.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Divided into panels. None makes a new figure.
        components : int or list of int, default=6
            A number of first components (all, if there are fewer), or a list of components.
        n_bins : int, default=20

        Returns
        -------
        display : PriorDisplay
            The same object.
        """
        codes, draws = np.asarray(self.codes), np.asarray(self.draws)
        chosen = _choose(components, codes.shape[1])
        both = codes[:, chosen], draws[:, chosen]
        edges = np.histogram_bin_edges(np.concatenate([part.ravel() for part in both]), n_bins)
        n_rows = -(-len(chosen) // N_COLUMNS)
        n_columns = -(-len(chosen) // n_rows)
        ax = axes_or_new(ax, (1.4 + 1.9 * n_columns, 0.8 + 1.6 * n_rows))
        self.ax_, self.figure_ = ax, ax.figure
        grid = divide(ax, n_rows, n_columns, gaps=(0.4, 0.12))
        self.panels_ = grid.ravel()[: len(chosen)]
        for panel in grid.ravel()[len(chosen) :]:
            panel.set_axis_off()
        self.codes_, self.draws_ = [], []
        for panel, of_codes, of_draws, component in zip(
            self.panels_, both[0].T, both[1].T, chosen, strict=True
        ):
            heights, expected = (
                np.histogram(values, edges, density=True)[0] for values in (of_codes, of_draws)
            )
            self.codes_.append(
                panel.stairs(heights, edges, fill=True, color=PALETTE[0], alpha=0.7, label="codes")
            )
            self.draws_.append(
                panel.stairs(expected, edges, color=INK, linewidth=1.3, label="draws of the prior")
            )
            panel.set_title(f"component {component}", fontsize="small", color=INK)
            tidy(panel)
        self._label(grid)
        return self

    def _label(self, grid: np.ndarray) -> None:
        """Use one scale of density for all panels; label the outer ones."""
        from matplotlib.transforms import offset_copy

        highest = max(panel.get_ylim()[1] for panel in self.panels_)
        n_columns = grid.shape[1]
        for i, panel in enumerate(self.panels_):
            panel.set_ylim(0, highest)
            panel.tick_params(
                labelleft=i % n_columns == 0, labelbottom=i + n_columns >= len(self.panels_)
            )
            if i % n_columns == 0:
                panel.set_ylabel("density", color=INK)
        for panel in self.panels_[-n_columns:]:
            panel.set_xlabel("value, squashed", color=INK, fontsize="small")
        self.ax_.legend(
            handles=[self.codes_[0], self.draws_[0]],
            loc="lower left",
            bbox_to_anchor=(0, 1),
            bbox_transform=offset_copy(self.ax_.transAxes, self.figure_, y=22, units="points"),
            ncols=2,
            frameon=False,
            fontsize="small",
            labelcolor=INK,
            borderaxespad=0,
            title=None if self.is_trained else NOT_TRAINED,
            title_fontproperties={"size": "small", "weight": "bold"},
            alignment="left",
        )


def _choose(components, n_code: int) -> list[int]:
    if isinstance(components, Integral):
        chosen = list(range(min(int(components), n_code)))
    else:
        chosen = list(components)
    if not chosen or any(not 0 <= component < n_code for component in chosen):
        raise ValueError(
            f"The 'components' parameter must be a number of components, 1 at least, or a list of "
            f"some from 0 to {n_code - 1}. Got {components!r}."
        )
    return chosen
