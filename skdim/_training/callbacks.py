"""Callbacks of training: progress, the log, and reasons to stop."""

import logging
import math
import traceback
from typing import Any

from skorch.callbacks import Callback
from tqdm.auto import tqdm

from skdim._model.scoring import HeldOut

logger = logging.getLogger("skdim")


class StopOnDivergence(Callback):
    """End a fit whose loss is no longer a number, saying which term and what to change."""

    def on_epoch_end(self, net, **kwargs):
        """Look at the epoch's means."""
        epoch = net.history[-1]
        terms = ("local", "global", "prior", "coordinates", "discriminator", "loss")
        for name in terms:
            value = epoch.get(name, 0.0)
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"The {name} term became {value} in epoch {epoch['epoch']}. Reduce the "
                    f"'learning_rate' parameter or set precision='float32'."
                )


class EarlyStopping(Callback):
    """Score held-out samples after each epoch; stop without gain, and return to the best epoch.

    Parameters
    ----------
    held_out : HeldOut
    n_iter_no_change : int
        Consecutive epochs without gain after which to stop.
    tol : float
        Largest difference that does not count as a gain.
    """

    def __init__(self, held_out: HeldOut, n_iter_no_change: int, tol: float):
        self.held_out = held_out
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol

    def on_train_begin(self, net, **kwargs):
        """Take in the scores of earlier epochs, if training was resumed."""
        self.best_score = -math.inf
        self.best_epoch = 0
        self.n_without_gain = 0
        for epoch in net.history:
            self._compare(epoch["validation_score"], epoch["epoch"])

    def on_epoch_end(self, net, **kwargs):
        """Score, remember, perhaps stop."""
        score = self.held_out.score(net.module_, net.criterion_)
        net.history.record("validation_score", score)
        if self._compare(score, len(net.history)):
            net.best = net.snapshot()
        if self.n_without_gain >= self.n_iter_no_change:
            net.stop()

    def _compare(self, score: float, epoch: int) -> bool:
        """Take in a score; return whether it is the best so far."""
        self.n_without_gain = 0 if score > self.best_score + self.tol else self.n_without_gain + 1
        is_best = score > self.best_score
        if is_best:
            self.best_score, self.best_epoch = score, epoch
        return is_best

    def on_train_end(self, net, **kwargs):
        """Return to the best weights."""
        if self.best_epoch:
            net.restore(net.best)


class EpochLog(Callback):
    """A line an epoch to the logger "skdim", at level INFO."""

    def on_epoch_end(self, net, **kwargs):
        """Log every number of the epoch."""
        numbers = (f"{name} {value:.5g}" for name, value in net.epoch(-1).items())
        logger.info(", ".join(numbers))


class ProgressBar(Callback):
    """A bar over all samples of all epochs: loss, samples per second, time left."""

    def on_train_begin(self, net, X=None, **kwargs):
        """Open the bar."""
        self.bar = tqdm(
            total=net.max_epochs * len(X),
            initial=net.n_whole_epochs * len(X),
            unit=" samples",
            unit_scale=True,
        )

    def on_batch_end(self, net, batch=None, **kwargs):
        """Move it by a batch."""
        self.bar.update(len(batch[0]))

    def on_epoch_end(self, net, **kwargs):
        """Show the loss of the epoch."""
        epoch = net.history[-1]
        self.bar.set_postfix(
            epoch=f"{epoch['epoch']}/{net.max_epochs}", loss=f"{epoch['loss']:.3f}"
        )

    def on_train_end(self, net, **kwargs):
        """Leave the bar on the screen."""
        self.bar.close()


class ScikitLearnCallbacks(Callback):
    """Tell scikit-learn's own callbacks (1.9) of every epoch, and stop when one says so.

    Parameters
    ----------
    context : sklearn.callback.CallbackContext
        Of the fit.
    estimator : DIMTransformer
    data : dict
        ``X`` and ``y`` as the user passed them.
    reconstruct : callable (net) -> dict
        Returns the attributes that the estimator would have if the fit ended now.
    """

    def __init__(self, context: Any, estimator: Any, data: dict, reconstruct: Any):
        self.context = context
        self.estimator = estimator
        self.data = data
        self.reconstruct = reconstruct

    def on_train_begin(self, net, **kwargs):
        """Open the task of the fit."""
        self.context.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def on_train_end(self, net, **kwargs):
        """Close it."""
        self.context.call_on_fit_task_end(
            estimator=self.estimator,
            reconstruction_attributes=lambda: self.reconstruct(net),
            **self.data,
        )

    def on_epoch_begin(self, net, **kwargs):
        """Open the task of an epoch."""
        self.epoch = self.context.subcontext(task_name="epoch")
        self.epoch.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def on_epoch_end(self, net, **kwargs):
        """Close it."""
        should_stop = self.epoch.call_on_fit_task_end(
            estimator=self.estimator,
            reconstruction_attributes=lambda: self.reconstruct(net),
            **self.data,
        )
        if should_stop:
            net.stop()


def stop_requested(interrupt: KeyboardInterrupt) -> bool:
    """Whether a callback of skorch raised it, which is how they stop training."""
    *_, (frame, _) = traceback.walk_tb(interrupt.__traceback__)
    return frame.f_globals.get("__name__", "").startswith("skorch.callbacks")
