"""Callbacks of training: divergence, early stopping, log, progress bar, scikit-learn's."""

import logging
import math
import sys
from typing import Any

from sklearn.base import BaseEstimator
from skorch.callbacks import Callback
from tqdm.auto import tqdm

from skdim._model.scoring import HeldOut

logger = logging.getLogger("skdim")


class StopOnDivergence(Callback):
    """End a fit if a term is not finite, with an error that says what to change."""

    def on_epoch_end(self, net, **kwargs):
        """Check the mean of each term over the epoch."""
        numbers = net.epoch(-1)
        for name in sorted(numbers, key="loss".__eq__):  # last: its terms say more
            value = numbers[name]
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"The {name} term became {value} in epoch {len(net.history)}. Reduce the "
                    f"'learning_rate' parameter or set precision='float32'."
                )


class EarlyStopping(Callback):
    """Score held-out samples after each epoch, stop without improvement, restore the best epoch.

    The parameters are those of `DIMTransformer` with the same names.
    """

    def __init__(self, held_out: HeldOut, n_iter_no_change: int, tol: float):
        self.held_out = held_out
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol

    def on_train_begin(self, net, **kwargs):
        """Compare the scores of earlier epochs, if training is resumed."""
        self.best_score = -math.inf
        self.best_epoch = 0
        self.n_without_improvement = 0
        for epoch in net.history:
            self._update(epoch["validation_score"], epoch["epoch"])

    def on_epoch_end(self, net, **kwargs):
        """Score held-out samples, keep the best weights, and stop without improvement."""
        score = self.held_out.score(net.module_, net.criterion_)
        net.history.record("validation_score", score)
        if self._update(score, len(net.history)):
            net.best = net.snapshot()
        if self.n_without_improvement >= self.n_iter_no_change:
            net.stop()

    def _update(self, score: float, epoch: int) -> bool:
        """Compare a score with the earlier ones; return whether it is the best so far."""
        improves = score > self.best_score + self.tol
        self.n_without_improvement = 0 if improves else self.n_without_improvement + 1
        is_best = score > self.best_score
        if is_best:
            self.best_score, self.best_epoch = score, epoch
        return is_best

    def on_train_end(self, net, **kwargs):
        """Restore the weights of the best epoch."""
        if self.best_epoch:
            net.restore(net.best)


class EpochLog(Callback):
    """Log a line for each epoch to the logger "skdim", at level INFO."""

    def on_epoch_end(self, net, **kwargs):
        """Log all numbers of the epoch."""
        numbers = (f"{name} {value:.5g}" for name, value in net.epoch(-1).items())
        logger.info(", ".join(numbers))


class ProgressBar(Callback):
    """A bar over all samples of all epochs, with loss, samples per second and time left."""

    def on_train_begin(self, net, X=None, **kwargs):
        """Open the bar."""
        self.bar = tqdm(
            total=net.max_epochs * len(X),
            initial=net.n_whole_epochs * len(X),
            unit=" samples",
            disable=sys.stderr is None,  # as in a program without a console
            unit_scale=True,
        )

    def on_batch_end(self, net, batch=None, **kwargs):
        """Move the bar by a batch."""
        self.bar.update(len(batch[0]))

    def on_epoch_end(self, net, **kwargs):
        """Show the loss of the epoch in the bar."""
        epoch = net.history[-1]
        self.bar.set_postfix(
            epoch=f"{epoch['epoch']}/{net.max_epochs}", loss=f"{epoch['loss']:.3f}"
        )

    def on_train_end(self, net, **kwargs):
        """Close the bar, which stays on the screen."""
        self.bar.close()


class ScikitLearnCallbacks(Callback):
    """Call the callbacks of scikit-learn (1.9) in every epoch, and stop if one of them asks for it.

    Parameters
    ----------
    context : sklearn.callback.CallbackContext
    estimator : BaseEstimator
    data : dict
        ``X`` and ``y`` as the user passed them.
    columns : dict
        What scikit-learn stores on the estimator when it checks X.
    """

    def __init__(self, context: Any, estimator: BaseEstimator, data: dict, columns: dict):
        self.context = context
        self.estimator = estimator
        self.data = data
        self.columns = columns

    def on_train_begin(self, net, **kwargs):
        """Begin the task of the fit."""
        self.context.max_subtasks = net.max_epochs
        self.context.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def on_train_end(self, net, **kwargs):
        """End the task of the fit."""
        self._end(self.context, net)

    def on_epoch_begin(self, net, **kwargs):
        """Begin the task of an epoch."""
        self.epoch = self.context.subcontext(task_name="epoch")
        self.epoch.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def on_epoch_end(self, net, **kwargs):
        """End the task of the epoch."""
        if self._end(self.epoch, net):
            net.stop()

    def _end(self, context: Any, net) -> bool:
        """End a task; callbacks may ask what the estimator would be if the fit ended now."""
        return context.call_on_fit_task_end(
            estimator=self.estimator,
            reconstruction_attributes=lambda: {**self.columns, "model_": net.build_model(net)},
            **self.data,
        )
