"""How the terms of the objective went, epoch by epoch."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from skdim._utils.registry import lookup
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
    """What a term is an amount of; terms of one quantity share a panel.

    Attributes
    ----------
    title : str
    unit : str
        Empty where there is none.
    """

    title: str
    unit: str


# Of the local and the global bound, which the estimator gives their unit.
BOUNDS: dict[Estimator, Quantity] = {
    infonce: Quantity("InfoNCE bound, to be raised", "nats"),
    dv: Quantity("Donsker-Varadhan bound, to be raised", "nats"),
    nwj: Quantity("Nguyen-Wainwright-Jordan bound, to be raised", "nats"),
    jsd: Quantity("Jensen-Shannon bound, to be raised", "nats"),
    rkl: Quantity("Reverse Kullback-Leibler bound, to be raised", "nats"),
    hellinger: Quantity("Squared Hellinger bound, to be raised", ""),
    chi2: Quantity("Chi-squared bound, to be raised", ""),
}
OWN_BOUND = Quantity("Bound, to be raised", "")

LOSS = Quantity("Loss, to be lowered", "weighted sum")
GAME = Quantity("Game about the prior, each to be lowered", "nats")
COORDINATES = Quantity("Log-likelihood of coordinates, to be raised", "nats")
HELD_OUT = Quantity("Score of samples held out, to be raised", "probability")
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


class LossCurveDisplay:
    """Every term of the objective over the epochs of a fit, a panel for each unit.

    Parameters
    ----------
    epochs : array-like of shape (n_epochs,)
    curves : dict of str to array-like of shape (n_epochs,)
        Of any of "loss", "local", "global", "coordinates", "prior", "discriminator",
        "validation_score" and "learning_rate"; NaN where an epoch had no such term.
    bound : Quantity, default=Quantity("Bound, to be raised", "")
        What the local and the global bound measure.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What all panels lie in.
    figure_ : matplotlib Figure
    panels_ : ndarray of shape (n_panels,) of matplotlib Axes
        ``ax_`` itself, if there is one panel.
    lines_ : dict of str to matplotlib Line2D
        One a term.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdim import DIMTransformer
    >>> from skdim.displays import LossCurveDisplay
    >>> dim = DIMTransformer(prior_weight=0.1, max_epochs=2, random_state=0)
    >>> display = LossCurveDisplay.from_estimator(dim.fit(load_digits().images[:500]))
    >>> list(display.lines_)
    ['loss', 'local', 'prior', 'discriminator']
    """

    def __init__(self, epochs, curves: Mapping, *, bound: Quantity = OWN_BOUND):
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
                "take the one that was not trimmed."
            )
        epochs = np.array([epoch["epoch"] for epoch in history])
        curves = {
            name: np.array([epoch.get(name, np.nan) for epoch in history])
            for name in COLORS
            if any(name in epoch for epoch in history)
        }
        bound = BOUNDS.get(estimator.model_.config.mi_estimator, OWN_BOUND)
        return cls(epochs, curves, bound=bound).plot(ax, terms=terms, learning_rate=learning_rate)

    def plot(self, ax=None, *, terms=None, learning_rate=False):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; several panels divide it among them. None makes a figure.
        terms : list of str, default=None
            Names of curves; None draws all but the learning rate.
        learning_rate : bool, default=False
            Whether to draw the learning rate too, where ``terms`` is None.

        Returns
        -------
        display : LossCurveDisplay
            Itself.
        """
        if terms is None:
            terms = [name for name in self.curves if learning_rate or name != "learning_rate"]
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
            "prior": GAME,
            "discriminator": GAME,
            "validation_score": HELD_OUT,
            "learning_rate": LEARNING_RATE,
        }
        return lookup(name, quantities, "curves", or_callable=False)

    def _draw(self, panel, name: str, values):
        # A few epochs are points that a line guides the eye along; a lone one would be invisible.
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
