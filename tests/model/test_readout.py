"""Outputs are standardised, named and finite."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from torch.optim import SGD

from skdim import DIMTransformer
from skdim._model.readout import LARGEST_VARIANCE, linear_layer


@pytest.mark.filterwarnings("ignore:.* has no effect with a hidden layer")  # for 200 components
@pytest.mark.parametrize("n_components", [3, 8, 200])
def test_without_views_components_are_principal_components(quick, images, n_components):
    params = {"encoder_params": {"width": 8, "n_hidden": 68}, "augment": None, "output": "hidden"}
    dim = quick(n_components=n_components, **params).fit(images)
    hidden = dim.transform(images)
    components = dim.set_params(output="components").transform(images)
    assert components.shape == (90, min(n_components, 100))  # 68 units, 32 averages of the map
    expected = PCA(min(n_components, 90), svd_solver="full").fit_transform(hidden)
    expected /= np.sqrt(np.square(expected).mean() * expected.shape[1] / components.shape[1])
    n = min(n_components, 20)  # others have hardly any variance, and no direction of their own
    signs = np.sign((components[:, :n] * expected[:, :n]).sum(0))
    np.testing.assert_allclose(components[:, :n] * signs, expected[:, :n], atol=0.01)
    assert np.square(components).mean() == pytest.approx(1, rel=0.02)


def test_without_a_number_of_components_they_are_the_hidden_layer(quick, images):
    encoder_params = {"width": 8, "n_hidden": 30, "reads_map": False}
    params = {"n_components": None, "encoder_params": encoder_params}

    def outputs(**more):
        dim = quick(**params, **more).fit(images)
        return [
            dim.set_params(output=o).transform(images) for o in ("components", "hidden", "code")
        ]

    components, hidden, code = outputs()
    assert components.shape == (90, 30)
    assert np.array_equal(components, hidden)
    assert not np.array_equal(hidden, code)  # which is never damped
    components, hidden, code = outputs(augment=None)
    assert np.array_equal(components, hidden)
    assert np.array_equal(hidden, code)


@pytest.mark.parametrize("output", ["code", "hidden", "local"])
def test_without_views_every_output_is_standardised_and_named(quick, images, output):
    transformer = quick(augment=None).fit(images).set_params(output=output)
    features = transformer.transform(images)
    assert features.dtype == np.float32
    assert features.shape == (len(images), len(transformer.get_feature_names_out()))
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-3)
    scales = features.std(0)
    assert np.all(np.isclose(scales, 1, atol=1e-2) | np.isclose(scales, 0, atol=1e-2))


@pytest.mark.parametrize("output", ["components", "hidden"])
def test_outputs_with_damped_directions_have_a_mean_variance_of_one(quick, images, output):
    features = quick().fit(images).set_params(output=output).transform(images)
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-3)
    assert features.var(0).mean() == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize("augment", [None, "auto"])
@pytest.mark.parametrize("n_hidden", [100, 400])
def test_the_hidden_layer_has_a_variance_of_at_most_256_in_all(quick, images, n_hidden, augment):
    params = {"encoder_params": {"width": 8, "n_hidden": n_hidden}, "augment": augment}
    variances = quick(output="hidden", **params).fit(images).transform(images).var(0)
    assert len(variances) == n_hidden + 32  # four averages of each channel of the last map
    n_varying = (variances > 1e-6).sum()
    expected = min(n_varying, LARGEST_VARIANCE)
    assert variances.sum() == pytest.approx(expected, rel=0.01)
    if augment is None:  # nothing is damped
        assert variances.max() == pytest.approx(expected / n_varying, rel=0.01)


def test_components_are_those_of_the_damped_hidden_layer(quick, images):
    dim = quick(output="hidden").fit(images)
    assert dim.model_.readouts["hidden"].damped.any()
    hidden = dim.transform(images)
    components = dim.set_params(output="components").transform(images)
    n = 3  # others hardly differ in variance, and have no direction of their own
    expected = PCA(8, svd_solver="full").fit_transform(hidden)
    expected /= np.sqrt(np.square(expected).mean())
    signs = np.sign((components[:, :n] * expected[:, :n]).sum(0))
    np.testing.assert_allclose(components[:, :n] * signs, expected[:, :n], atol=0.02)


SIGNALS = np.random.default_rng(0).normal(size=(60, 2, 70)).cumsum(2)


@pytest.fixture(scope="module")
def fitted():
    def fit(n_thresholds):
        dim = DIMTransformer(
            8,
            channel_axis=1,
            max_epochs=2,
            random_state=0,
            augment=None,  # so that nothing is damped
            encoder_params={"width": 8, "n_hidden": 32, "n_thresholds": n_thresholds},
        )
        return dim.fit(SIGNALS)

    return {n: fit(n) for n in (0, 2)}


def test_many_fixed_features_have_four_times_the_variance_of_trained_units(fitted):
    hidden = fitted[2].set_params(output="hidden").transform(SIGNALS)
    assert hidden.shape == (60, 32 + 2 * 4 * 2 * 84)
    variances = hidden.var(0)
    np.testing.assert_allclose(variances[32:].sum(), 4 * variances[:32].sum(), rtol=0.02)
    assert fitted[0].set_params(output="hidden").transform(SIGNALS).shape == (60, 32)


@pytest.mark.parametrize(("n_columns", "ratio"), [(5, 1), (16, 2)])
def test_fixed_features_have_at_least_the_variance_of_trained_units(quick, n_columns, ratio):
    X = np.random.default_rng(0).normal(size=(120, n_columns))
    variances = quick(output="hidden").fit(X).transform(X).var(0)
    trained, fixed = variances[:32], variances[32:]
    assert len(fixed) == 4 * n_columns
    np.testing.assert_allclose(fixed.sum(), ratio * trained.sum(), rtol=0.02)


@pytest.mark.parametrize(
    ("output", "reads_fixed"),
    [("code", False), ("local", False), ("hidden", True), ("components", True)],
)
def test_fixed_features_are_computed_only_if_they_are_read(output, reads_fixed, fitted):
    dim, calls = fitted[2], []
    dim.set_params(output=output).transform(SIGNALS)  # once: what is tried on noise is remembered
    handle = dim.encoder_.bank.register_forward_hook(lambda *args: calls.append(1))
    dim.transform(SIGNALS)
    assert bool(calls) == reads_fixed
    calls.clear()
    dim.score(SIGNALS)
    assert not calls
    handle.remove()


@pytest.mark.parametrize("n_classes", [2, 5])
def test_linear_layer_predicts_what_logistic_regression_predicts(digits, n_classes):
    chosen = digits.target < n_classes
    X, y = digits.data[chosen] / 16, digits.target[chosen]
    model = LogisticRegression().fit(X, y)
    logits = linear_layer(model.coef_, model.intercept_)(torch.from_numpy(X).float())
    expected = model.predict_proba(X)
    np.testing.assert_allclose(logits.softmax(1).detach().numpy(), expected, atol=1e-5)


def test_what_transform_refuses_is_written_and_scored_nowhere(quick, rows, tmp_path):
    X = rows[0].astype(np.float64)
    dim = quick().fit(X)
    X[3] = 1e300
    for use in (
        dim.transform,
        dim.score_samples,
        lambda X: dim.transform_to(X, tmp_path / "f.npy"),
    ):
        with pytest.raises(ValueError, match="X must hold samples like those of 'fit'"):
            use(X)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [3e38, -3e38])
def test_features_that_overflow_are_refused(quick, rows, value):
    """Units may be finite, and no longer once they are scaled."""
    X = rows[0].copy()
    dim = quick().fit(X)
    X[3] = value
    with pytest.raises(ValueError, match="X must hold samples like those of 'fit'"):
        dim.transform(X)


@pytest.mark.filterwarnings("ignore:.* has no effect with 2 samples")
def test_a_component_that_two_samples_do_not_span_is_zero(quick):
    X = np.random.default_rng(0).normal(size=(2, 6, 3))
    dim = quick(n_components=2, channel_axis=-1).fit(X)
    components = dim.transform(X)
    assert np.abs(components[:, 0]).min() > 0.1
    np.testing.assert_allclose(components[:, 1], 0, atol=1e-4)  # but for rounding
    np.testing.assert_array_equal(dim.transform(X[:1]), components[:1])


def test_weights_that_diverge_in_the_last_step_end_the_fit(quick):
    class Exploding(SGD):
        """Takes one step, to weights that are finite and far too large."""

        def step(self, closure=None):
            super().step(closure)
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.data.fill_(1e25)

    X = np.random.default_rng(0).normal(size=(30, 5))
    with pytest.raises(FloatingPointError, match=r"diverged in the last steps.*'learning_rate'"):
        quick(optimizer=Exploding, max_epochs=1, batch_size=30).fit(X)
