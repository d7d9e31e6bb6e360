"""Curves of the terms of the objective over epochs."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike

from skdim._model.fitted import FittedModel
from skdim._names import lookup
from skdim._runtime.surroundings import torch_defaults
from skdim._training.loop import count_batches
from skdim.augmentation import make_views
from skdim.critics import is_separable
from skdim.displays.drawing import (
    INK,
    LEGEND,
    MUTED,
    PALETTE,
    axes_and_figure,
    check_transformer,
    link_panels,
    make_panels,
)
from skdim.encoders import encode
from skdim.mutual_information import Estimator, chi2, dv, hellinger, infonce, jsd, nwj, rkl


class Quantity(NamedTuple):
    """Title of a panel, and its unit or ""; curves of the same quantity share a panel."""

    title: str
    unit: str


# Quantities of the local and the global term: bounds, with units that depend on the MI estimator.
BOUNDS: dict[Estimator, Quantity] = {
    infonce: Quantity("InfoNCE bound above chance (higher is better)", "nats"),
    dv: Quantity("Donsker-Varadhan bound (higher is better)", "nats"),
    nwj: Quantity("Nguyen-Wainwright-Jordan bound (higher is better)", "nats"),
    jsd: Quantity("Jensen-Shannon bound (higher is better)", "nats"),
    rkl: Quantity("Reverse Kullback-Leibler bound (higher is better)", "nats"),
    hellinger: Quantity("Squared Hellinger bound (higher is better)", ""),
    chi2: Quantity("Chi-squared bound (higher is better)", ""),
}
OTHER_BOUND = Quantity("Bound (higher is better)", "")

LOSS = Quantity("Loss (lower is better)", "weighted sum")
COORDINATES = Quantity("Log-likelihood of coordinates (higher is better)", "nats")
ADVERSARIAL = Quantity("Adversarial losses of the prior (both minimised)", "nats")
HELD_OUT = Quantity("Score of held-out samples (higher is better)", "probability")
LEARNING_RATE = Quantity("Learning rate", "step size")

# Colour and quantity of each curve, in the order of their panels; None stands for the bound.
CURVES: dict[str, tuple[str, Quantity | None]] = {
    "loss": (INK, LOSS),
    "local": (PALETTE[0], None),
    "global": (PALETTE[1], None),
    "coordinates": (PALETTE[2], COORDINATES),
    "prior": (PALETTE[6], ADVERSARIAL),
    "discriminator": (PALETTE[4], ADVERSARIAL),
    "validation_score": (PALETTE[5], HELD_OUT),
    "learning_rate": (PALETTE[8], LEARNING_RATE),
}

# The loss is the weighted sum of these terms.
TERMS = {"local", "global", "coordinates", "prior"}


@dataclass(eq=False, repr=False)
class LossCurveDisplay:
    """All terms of the objective over the epochs of a fit, with a panel for each quantity.

    Parameters
    ----------
    epochs : array-like of shape (n_epochs,)
    curves : dict of str to array-like of shape (n_epochs,)
        Any of "loss", "local", "global", "coordinates", "prior", "discriminator",
        "validation_score" and "learning_rate"; NaN if an epoch had no such term.
    bound : Quantity, default=Quantity("Bound (higher is better)", "")
        Title and unit of the local and the global term.
    chance : dict of str to float, default=None
        Values of the local and the global term if codes say nothing about local features. They are
        subtracted, so that chance is at 0, marked by a line. A term that is not named is drawn
        as it is.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Contains all panels.
    figure_ : matplotlib Figure
    panels_ : ndarray of shape (n_panels,) of matplotlib Axes
        A single panel is ``ax_`` itself.
    lines_ : dict of str to matplotlib Line2D
        One for each term.
    chance_lines_ : list of matplotlib Line2D
        One in each panel of bounds whose chance is known.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdim import DIMTransformer
    >>> from skdim.displays import LossCurveDisplay
    >>> dim = DIMTransformer(prior_weight=0.1, max_epochs=2, random_state=0)
    >>> display = LossCurveDisplay.from_estimator(
    ...     dim.fit(load_digits().images[:500])
    ... )
    >>> list(display.lines_)
    ['loss', 'local', 'prior', 'discriminator']
    """

    epochs: ArrayLike
    curves: Mapping[str, ArrayLike]
    _: KW_ONLY
    bound: Quantity = OTHER_BOUND
    chance: Mapping[str, float] | None = None

    @classmethod
    @torch_defaults()
    def from_estimator(cls, estimator, *, ax=None, terms=None, learning_rate=False):
        """Draw the ``history_`` of a fitted transformer, and return the display.

        Bounds are drawn so that 0 is chance. For InfoNCE, chance depends on the number of
        negatives; with ``groups``, a batch has a few less than are counted here.

        Parameters
        ----------
        estimator : DIMTransformer
            Fitted, and not trimmed; its ``batch_size`` is that of the fit.
        ax, terms, learning_rate
            As in `plot`.
        """
        check_transformer(estimator)
        estimator.model_.check_not_trimmed("a plot of its history")
        history = estimator.history_
        epochs = np.array([epoch["epoch"] for epoch in history])
        curves = {
            name: np.array([epoch.get(name, np.nan) for epoch in history])
            for name in CURVES
            if any(name in epoch for epoch in history)
        }
        bound = BOUNDS.get(estimator.model_.config.objective.mi_estimator, OTHER_BOUND)
        # The last epoch may have been cut short.
        n_samples = max(round(epoch["seconds"] * epoch["samples_per_second"]) for epoch in history)
        chance = chance_of(estimator.model_, n_samples, estimator.batch_size)
        display = cls(epochs, curves, bound=bound, chance=chance)
        return display.plot(ax, terms=terms, learning_rate=learning_rate)

    def plot(self, ax=None, *, terms=None, learning_rate=False):
        """Draw the curves, and return the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Divided into panels. None makes a new figure.
        terms : list of str, default=None
            Names of curves. None draws all except the learning rate. If there is only one term,
            the loss is left out too: it is the same curve upside down.
        learning_rate : bool, default=False
            Whether to draw the learning rate too, if ``terms`` is None.
        """
        if terms is None:
            left_out = set() if learning_rate else {"learning_rate"}
            if len(TERMS & set(self.curves)) == 1:
                left_out.add("loss")
            terms = [name for name in self.curves if name not in left_out]
        curves = {name: lookup(name, self.curves, "terms", or_callable=False) for name in terms}
        if not curves:
            raise ValueError(
                f"The 'terms' parameter must name some of {sorted(self.curves)}. Got none."
            )
        names_of: dict[Quantity, list[str]] = {}
        for name in curves:
            _, quantity = lookup(name, CURVES, "curves", or_callable=False)
            names_of.setdefault(quantity or self.bound, []).append(name)
        self.ax_, self.figure_ = axes_and_figure(ax, (6, 0.6 + 1.7 * len(names_of)))
        self.panels_ = make_panels(self.ax_, len(names_of), hspace=0.4)
        link_panels(self.panels_, 1, "epoch", "", sharey=False)
        chance = self.chance or {}
        self.lines_, self.chance_lines_ = {}, []
        # With few epochs, markers: the line of a single epoch would be invisible.
        marker = "o" if np.size(self.epochs) < 15 else None
        style = {"linewidth": 1.8, "marker": marker, "markersize": 4}
        for panel, (quantity, names) in zip(self.panels_, names_of.items(), strict=True):
            for name in names:
                values = np.asarray(curves[name]) - chance.get(name, 0.0)
                (self.lines_[name],) = panel.plot(
                    self.epochs, values, color=CURVES[name][0], label=name, **style
                )
            if chance.keys() & set(names):
                self.chance_lines_.append(panel.axhline(0, color=MUTED, linewidth=0.8))
            panel.set_title(quantity.title, loc="left", fontsize="medium", color=INK)
            panel.set_ylabel(quantity.unit)
            if len(names) > 1:
                panel.legend(**LEGEND)
        panel.xaxis.get_major_locator().set_params(integer=True)
        return self


def chance_of(model: FittedModel, n_samples: int, batch_size: int) -> dict[str, float]:
    """Return the bounds if all scores are equal, as they are in an epoch of so many samples.

    Empty if the MI estimator is not one of skdim.
    """
    config = model.config.objective
    if config.mi_estimator not in BOUNDS:
        return {}
    if config.mi_estimator is not infonce:
        weights = {"local": config.local_weight, "global": config.global_weight}
        return {name: 0.0 for name, weight in weights.items() if weight}
    n_batches = count_batches(n_samples, batch_size)
    sizes = [len(batch) for batch in torch.arange(n_samples).tensor_split(n_batches)]
    chance = {}
    for term, maps in count_locations(model).items():
        bounds = [
            infonce(torch.zeros(1, n), torch.zeros(1, size - 1 if compares_all else 1, n)).item()
            for n, compares_all in maps
            for size in sizes
        ]
        chance[term] = float(np.mean(bounds))
    return chance


@torch.no_grad()
def count_locations(model: FittedModel) -> dict[str, list[tuple[int, bool]]]:
    """Return the number of locations of each local map, and whether all pairs are scored.

    For the terms "local" and "global", if they have a weight. Views may be smaller than samples, so
    views of zeros are encoded.
    """
    config = model.config
    generator = torch.Generator(model.device).manual_seed(0)
    zeros = torch.zeros(2, *config.sample_shape, device=model.device)
    views = make_views(zeros, config.augment, generator, config.n_views, config.n_grids)
    encoded = encode(model.encoder, views.flatten(0, 1), with_fixed=False).local_maps
    local_maps = tuple(local_map.unflatten(0, (len(views), -1)) for local_map in encoded)
    objective = model.check_not_trimmed("a plot of its history")
    counts: dict[str, list[tuple[int, bool]]] = {}
    for term, inputs in objective.critic_inputs(config.n_views, local_maps).items():
        most = config.objective.n_locations if term == "local" else None
        counts[term] = [
            (min(most or local_map.shape[-2], local_map.shape[-2]), is_separable(critic))
            for critic, local_map in inputs
        ]
    return counts
