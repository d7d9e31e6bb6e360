"""Curves of the terms of the objective over epochs."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from skdim._names import lookup
from skdim.displays.drawing import INK, PALETTE, axes_or_new, check_transformer, divide, tidy
from skdim.mutual_information import (
    Estimator,
    chi2,
    dv,
    hellinger,
    infonce,
    jsd,
    nwj,
    rkl,
)


class Quantity(NamedTuple):
    """Title and unit of a panel; terms with the same quantity share a panel.

    Attributes
    ----------
    title : str
    unit : str
        Empty if there is none.
    """

    title: str
    unit: str


# Quantities of the local and the global term: bounds, whose unit depends on the MI estimator.
BOUNDS: dict[Estimator, Quantity] = {
    infonce: Quantity("InfoNCE bound (higher is better)", "nats"),
    dv: Quantity("Donsker-Varadhan bound (higher is better)", "nats"),
    nwj: Quantity("Nguyen-Wainwright-Jordan bound (higher is better)", "nats"),
    jsd: Quantity("Jensen-Shannon bound (higher is better)", "nats"),
    rkl: Quantity("Reverse Kullback-Leibler bound (higher is better)", "nats"),
    hellinger: Quantity("Squared Hellinger bound (higher is better)", ""),
    chi2: Quantity("Chi-squared bound (higher is better)", ""),
}
OTHER_BOUND = Quantity("Bound (higher is better)", "")

LOSS = Quantity("Loss (lower is better)", "weighted sum")
ADVERSARIAL = Quantity("Adversarial losses of the prior (both minimised)", "nats")
COORDINATES = Quantity("Log-likelihood of coordinates (higher is better)", "nats")
HELD_OUT = Quantity("Score of held-out samples (higher is better)", "probability")
LEARNING_RATE = Quantity("Learning rate", "step size")

# In the order of their panels.
COLORS = {
    "loss": INK,
    "local": PALETTE[0],
    "global": PALETTE[1],
    "coordinates": PALETTE[2],
    "prior": PALETTE[6],
    "discriminator": PALETTE[4],
    "validation_score": PALETTE[5],
    "learning_rate": PALETTE[8],
}

# What the loss is the weighted sum of.
TERMS = {"local", "global", "coordinates", "prior"}


class LossCurveDisplay:
    """All terms of the objective over the epochs of a fit, with a panel for each quantity.

    Parameters
    ----------
    epochs : array-like of shape (n_epochs,)
    curves : dict of str to array-like of shape (n_epochs,)
        Any of "loss", "local", "global", "coordinates", "prior", "discriminator",
        "validation_score" and "learning_rate"; NaN where an epoch had no such term.
    bound : Quantity, default=Quantity("Bound (higher is better)", "")
        Title and unit of the local and the global term.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Contains all panels.
    figure_ : matplotlib Figure
    panels_ : ndarray of shape (n_panels,) of matplotlib Axes
        A single panel is ``ax_`` itself.
    lines_ : dict of str to matplotlib Line2D
        One for each term.

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

    def __init__(self, epochs, curves: Mapping, *, bound: Quantity = OTHER_BOUND):
        self.epochs = epochs
        self.curves = curves
        self.bound = bound

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, terms=None, learning_rate=False):
        """Draw the ``history_`` of a fitted transformer.

        Parameters
        ----------
        estimator : DIMTransformer
            Fitted, and not trimmed.
        ax, terms, learning_rate
            As in `plot`.

        Returns
        -------
        display : LossCurveDisplay
        """
        check_transformer(estimator)
        history = estimator.history_
        if not history:
            raise ValueError(
                "This transformer was trimmed and has no history of its fit. Fit it again, or "
                "use the one that was not trimmed."
            )
        epochs = np.array([epoch["epoch"] for epoch in history])
        curves = {
            name: np.array([epoch.get(name, np.nan) for epoch in history])
            for name in COLORS
            if any(name in epoch for epoch in history)
        }
        bound = BOUNDS.get(estimator.model_.config.objective.mi_estimator, OTHER_BOUND)
        return cls(epochs, curves, bound=bound).plot(ax, terms=terms, learning_rate=learning_rate)

    def plot(self, ax=None, *, terms=None, learning_rate=False):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Divided into panels. None makes a new figure.
        terms : list of str, default=None
            Names of curves. None draws all except the learning rate; and except the loss if there
            is only one term, since the loss is then the same curve upside down.
        learning_rate : bool, default=False
            Whether to draw the learning rate too, if ``terms`` is None.

        Returns
        -------
        display : LossCurveDisplay
            The same object.
        """
        if terms is None:
            left_out = set() if learning_rate else {"learning_rate"}
            if len(TERMS & set(self.curves)) == 1:
                left_out.add("loss")
            terms = [name for name in self.curves if name not in left_out]
        chosen = {name: lookup(name, self.curves, "terms", or_callable=False) for name in terms}
        if not chosen:
            raise ValueError(
                f"The 'terms' parameter must name some of {sorted(self.curves)}. Got none."
            )
        names_of: dict[Quantity, list[str]] = {}
        for name in chosen:
            names_of.setdefault(self._quantity(name), []).append(name)
        ax = axes_or_new(ax, (6, 0.6 + 1.7 * len(names_of)))
        self.ax_, self.figure_ = ax, ax.figure
        self.panels_ = divide(ax, len(names_of), 1, gaps=(0.4, 0))[:, 0]
        self.lines_ = {}
        for panel, (quantity, names) in zip(self.panels_, names_of.items(), strict=True):
            for name in names:
                self.lines_[name] = self._draw(panel, name, chosen[name])
            panel.set_title(quantity.title, loc="left", fontsize="medium", color=INK)
            panel.set_ylabel(quantity.unit, color=INK)
            tidy(panel)
            if len(names) > 1:
                panel.legend(frameon=False, fontsize="small", labelcolor=INK)
        self.panels_[-1].set_xlabel("epoch", color=INK)
        self.panels_[-1].xaxis.get_major_locator().set_params(integer=True)
        return self

    def _quantity(self, name: str) -> Quantity:
        quantities = {
            "loss": LOSS,
            "local": self.bound,
            "global": self.bound,
            "coordinates": COORDINATES,
            "prior": ADVERSARIAL,
            "discriminator": ADVERSARIAL,
            "validation_score": HELD_OUT,
            "learning_rate": LEARNING_RATE,
        }
        return lookup(name, quantities, "curves", or_callable=False)

    def _draw(self, panel, name: str, values):
        # With few epochs, markers: the line of a single epoch would be invisible.
        marker = "o" if len(self.epochs) < 15 else None
        (line,) = panel.plot(
            self.epochs,
            values,
            color=COLORS[name],
            linewidth=1.8,
            marker=marker,
            markersize=4,
            label=name,
        )
        return line
