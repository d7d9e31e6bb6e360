"""Callbacks of scikit-learn itself, which came with 1.9."""

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

sklearn_callback = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 has callbacks")


class StopAtTwo:
    """A callback of scikit-learn, as its protocol asks."""

    def __init__(self):
        self.heard = []

    def setup(self, estimator, context):
        self.heard.append("setup")

    def teardown(self, estimator, context):
        self.heard.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.heard.append(f"{context.task_name} begins")

    def on_fit_task_end(self, estimator, context, *, fitted_estimator, X):
        self.heard.append(f"{context.task_name} ends")
        self.score = fitted_estimator.score(X)
        return context.task_name == "epoch" and context.task_id == 1


def test_callbacks_of_scikit_learn_hear_epochs_and_stop(quick, images):
    callback = StopAtTwo()
    dim = quick(max_epochs=9).set_callbacks(callback).fit(images)
    assert dim.n_iter_ == 2
    epoch = ["epoch begins", "epoch ends"]
    assert callback.heard == ["setup", "fit begins", *epoch, *epoch, "fit ends", "teardown"]
    assert callback.score == dim.score(images)


def test_callbacks_of_scikit_learn_reach_a_step_of_a_pipeline(quick, digits):
    callback = sklearn_callback.ScoringMonitor(scoring="accuracy")
    pipeline = make_pipeline(
        quick().set_callbacks(StopAtTwo()),
        LogisticRegression(max_iter=1000).set_callbacks(callback),
    )
    pipeline.fit(digits.images[:90], digits.target[:90])
    assert pipeline[0].n_iter_ == 2
