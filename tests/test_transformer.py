"""What a user of DIMTransformer sees: learning, repeating, errors, files."""

import copy
import logging
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from helpers.products import cover
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from torch import nn

from skdim import DIMTransformer
from skdim._training.config import count_epochs
from skdim.critics import CRITICS
from skdim.encoders import ConvEncoder, MLPEncoder, encode, tap
from skdim.mutual_information import ESTIMATORS, jsd
from skdim.priors import PRIORS, Prior


def test_features_beat_those_of_an_untrained_encoder(digits):
    images, _, y, _ = train_test_split(
        digits.images, digits.target, train_size=900, random_state=0, stratify=digits.target
    )

    def accuracy(transformer):
        codes = transformer.fit(images[:600]).transform(images)
        few = LogisticRegression(max_iter=1000).fit(codes[:100], y[:100])
        return few.score(codes[600:], y[600:])

    small = {"output": "code", "encoder_params": {"width": 32, "n_hidden": 128}, "random_state": 0}
    trained = DIMTransformer(max_epochs=25, **small)
    untrained = DIMTransformer(max_epochs=1, learning_rate=1e-12, **small)
    assert accuracy(trained) > accuracy(untrained) + 0.05


@pytest.mark.parametrize("mi_estimator", [*ESTIMATORS, ESTIMATORS["jsd"]])
def test_every_mi_estimator_raises_its_bound(quick, images, mi_estimator):
    weights = {"global_weight": 0.5, "local_weight": 1.0, "prior_weight": 0.1}
    history = quick(mi_estimator=mi_estimator, max_epochs=10, **weights).fit(images).history_
    assert len(history) == 10
    for term in ("global", "local"):
        assert history[-1][term] > history[0][term]


@pytest.mark.parametrize("mi_estimator", ["nwj", "rkl", "hellinger"])
def test_exponential_mi_estimators_learn_with_the_published_critic(quick, images, mi_estimator):
    """Its scores are not scaled: the first bounds are huge, and stay so without clipping."""
    dim = quick(critic="separable_published", mi_estimator=mi_estimator, max_epochs=40)
    assert dim.fit(images).history_[-1]["local"] > -1


@pytest.mark.parametrize(("critic", "mi_estimator"), cover(CRITICS, ESTIMATORS))
def test_every_critic_trains_with_every_mi_estimator(quick, images, critic, mi_estimator):
    transformer = quick(
        critic=critic, mi_estimator=mi_estimator, critic_width=32, global_weight=0.5, n_locations=8
    )
    assert np.isfinite(transformer.fit_transform(images)).all()


def laplace(shape, generator):
    draw = torch.rand(shape, generator=generator, device=generator.device) - 0.5
    return -draw.sign() * (1 - 2 * draw.abs()).log()


@pytest.mark.parametrize("prior", [*PRIORS, laplace, Prior(laplace, torch.tanh)])
def test_every_prior_has_a_finite_adversarial_loss(quick, images, prior):
    history = quick(prior=prior, prior_weight=1.0, gradient_penalty=0.1).fit(images).history_
    assert np.isfinite([[epoch["prior"], epoch["discriminator"]] for epoch in history]).all()


def test_history_holds_every_term(quick, images):
    history = quick(prior_weight=0.1).fit(images).history_
    names = {"epoch", "loss", "local", "prior", "discriminator", "learning_rate", "seconds"}
    assert set(history[-1]) == {*names, "samples_per_second"}
    assert [epoch["epoch"] for epoch in history] == [1, 2]


# ---------------------------------------------------------------- randomness


def test_random_state_repeats_a_fit_and_leaves_generators_untouched(quick, images):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second, other = (quick(random_state=s).fit_transform(images) for s in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    assert torch.get_rng_state().equal(torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_a_random_state_instance_moves_on(quick, images):
    shared = np.random.RandomState(0)
    first, second = (quick(random_state=shared).fit_transform(images) for _ in range(2))
    assert not np.array_equal(first, second)


# ------------------------------------------------------------------ the data


@pytest.mark.parametrize("n", [1, 63, 64, 65, 90])
def test_features_do_not_depend_on_the_other_samples(quick, images, n):
    transformer = quick().fit(images)
    np.testing.assert_array_equal(
        transformer.transform(images[:n]), transformer.transform(images)[:n]
    )


@pytest.mark.filterwarnings("ignore:.* has no effect beside a hidden layer")  # for 200 components
@pytest.mark.parametrize("n_components", [3, 8, 200])
def test_components_are_the_principal_components_of_the_hidden_layer(quick, images, n_components):
    small = {"width": 8, "n_hidden": 100}
    dim = quick(n_components=n_components, encoder_params=small, output="hidden").fit(images)
    hidden = dim.transform(images)
    components = dim.set_params(output="components").transform(images)
    assert components.shape == (90, min(n_components, 100))
    expected = PCA(min(n_components, 90), svd_solver="full").fit_transform(hidden)
    expected /= np.sqrt(np.square(expected).mean() * expected.shape[1] / components.shape[1])
    n = min(n_components, 20)  # others have hardly any variance, and no direction of their own
    signs = np.sign((components[:, :n] * expected[:, :n]).sum(0))
    np.testing.assert_allclose(components[:, :n] * signs, expected[:, :n], atol=0.01)
    assert np.square(components).mean() == pytest.approx(1, rel=0.02)


def test_without_a_number_of_components_they_are_the_hidden_layer(quick, images):
    dim = quick(n_components=None, encoder_params={"width": 8, "n_hidden": 30}).fit(images)
    features = [
        dim.set_params(output=o).transform(images) for o in ("components", "hidden", "code")
    ]
    assert features[0].shape == (90, 30)
    assert np.array_equal(features[0], features[1])
    assert np.array_equal(features[0], features[2])


@pytest.mark.parametrize("output", ["code", "hidden", "local"])
def test_every_output_is_standardised_and_named(quick, images, output):
    transformer = quick().fit(images).set_params(output=output)
    features = transformer.transform(images)
    assert features.dtype == np.float32
    assert features.shape == (len(images), len(transformer.get_feature_names_out()))
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-3)
    scales = features.std(0)
    assert np.all(np.isclose(scales, 1, atol=1e-2) | np.isclose(scales, 0, atol=1e-2))


def test_layouts_of_the_same_images_give_the_same_features(quick, images):
    flat = images.reshape(len(images), -1)
    gray = quick().fit(images).transform(images)
    np.testing.assert_array_equal(quick(sample_shape=(8, 8)).fit(flat).transform(flat), gray)
    color = np.random.default_rng(0).random((40, 8, 8, 3), dtype=np.float32)
    first = np.ascontiguousarray(np.moveaxis(color, -1, 1))
    np.testing.assert_array_equal(
        quick().fit(color).transform(color), quick().fit(first).transform(first)
    )


RNG = np.random.default_rng(0)
MODALITIES = {
    "rows": ((20, 9), "auto", (9,)),
    "one signal": ((20, 40), None, (1, 40)),
    "signals, channels first": ((20, 3, 40), 1, (3, 40)),
    "signals, channels last": ((20, 40, 3), -1, (3, 40)),
    "grey images": ((20, 9, 10), "auto", (1, 9, 10)),
    "colour images": ((20, 16, 17, 3), "auto", (3, 16, 17)),
    "spectra": ((20, 16, 17, 31), 3, (31, 16, 17)),
    "volumes": ((20, 8, 9, 10), None, (1, 8, 9, 10)),
    "volumes of two channels": ((20, 2, 8, 9, 10), "auto", (2, 8, 9, 10)),
}


@pytest.mark.parametrize("modality", MODALITIES)
def test_channel_axis_determines_the_modality(quick, modality):
    shape, channel_axis, sample_shape = MODALITIES[modality]
    X = RNG.normal(size=shape).astype(np.float32)
    transformer = quick(channel_axis=channel_axis, global_weight=0.1, max_epochs=1).fit(X)
    assert transformer.sample_shape_ == sample_shape
    assert transformer.mean_.shape == sample_shape[:1]
    features = transformer.transform(X)
    assert features.shape == (20, 8)
    np.testing.assert_array_equal(transformer.transform(X[:7]), features[:7])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(transformer)).transform(X), features)


@pytest.mark.parametrize(("layout", "channel_axis"), [((0, 2, 1), -1), ((0, 1, 2), 1)])
def test_signals_are_the_same_whatever_their_layout(quick, layout, channel_axis):
    X = RNG.normal(size=(20, 2, 30)).astype(np.float32)
    expected = quick(channel_axis=1).fit_transform(X)
    other = quick(channel_axis=channel_axis).fit_transform(X.transpose(layout))
    np.testing.assert_array_equal(other, expected)


def waves(n, seed):
    """Signals of three shapes at random phases, in noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n)
    phase = 2 * np.pi * (np.arange(64) / 16 + rng.random((n, 1)))
    shapes = np.stack([np.sin(phase), np.sign(np.sin(phase)), np.sin(phase) * np.sin(phase / 2)], 1)
    return shapes[np.arange(n), y] + 0.3 * rng.normal(size=(n, 64)), y


def test_signals_are_told_apart_by_their_shape(quick):
    X, y = waves(600, 0)
    dim = quick(n_components=16, channel_axis=None, max_epochs=15)
    clf = LogisticRegression(max_iter=1000)
    learned = make_pipeline(dim, clf).fit(X[:400], y[:400]).score(X[400:], y[400:])
    raw = clf.fit(X[:400], y[:400]).score(X[400:], y[400:])
    assert learned > raw + 0.2


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64])
def test_types_of_the_same_numbers_give_the_same_features(quick, images, dtype):
    expected = quick(precision="float32").fit(images).transform(images)
    typed = images.astype(dtype)
    features = quick(precision="float32").fit(typed).transform(typed)
    np.testing.assert_allclose(features, expected, atol=1e-3)


def test_standardisation_takes_offsets_and_scales_out(quick, rows):
    X, _ = rows
    plain = quick().fit(X.astype(np.float64))
    moved = quick().fit(X * 3e3 + 1.7e9 * np.ones(9))  # time stamps: beyond float32
    np.testing.assert_allclose(
        moved.transform(X * 3e3 + 1.7e9 * np.ones(9)), plain.transform(X), atol=0.05
    )


@pytest.mark.parametrize("n_channels", [1, 2, 3, 7])
def test_any_number_of_channels(quick, n_channels):
    X = np.random.default_rng(0).random((20, 32, 32, n_channels), dtype=np.float32)
    assert quick().fit_transform(X).shape == (20, 8)


@pytest.mark.parametrize("n_columns", [1, 2, 50])
def test_any_number_of_columns(quick, n_columns):
    X = np.random.default_rng(0).normal(size=(20, n_columns))
    assert np.isfinite(quick().fit_transform(X)).all()


@pytest.mark.filterwarnings("ignore:.* has no effect beside .* samples")  # of 2 and 3
@pytest.mark.parametrize(("n", "batch_size"), [(2, 128), (3, 2), (33, 32), (10, 10_000)])
def test_awkward_batches_train(quick, images, n, batch_size):
    transformer = quick(batch_size=batch_size).fit(images[:n])
    assert np.isfinite(transformer.transform(images[:n])).all()


def test_constant_columns_are_harmless(quick, rows):
    X, _ = rows
    X = np.column_stack([X, np.full(len(X), 0.1)])
    assert np.isfinite(quick().fit_transform(X)).all()


@pytest.mark.parametrize(
    ("n", "shape", "expected"),
    [
        (36, (1, 8, 8), 837),
        (1_000, (1, 16, 30), 63),
        (1_000, (1, 50), 33),
        (20, (1, 50), 120),
        (60_000, (3, 32, 32), 4),
        (1_000, (9,), 60),
        (10_000, (9,), 9),
        (1_000, (1, 8, 8, 8), 33),
    ],
)
def test_automatic_epochs(n, shape, expected):
    assert count_epochs(DIMTransformer().max_epochs, n, shape) == expected


def test_without_augmentation_one_view_is_trained(quick, images):
    assert np.isfinite(quick(augment=None).fit_transform(images)).all()


def double(batch, generator):
    return 2 * batch


def test_a_custom_function_makes_the_views(quick, images):
    plain = quick(augment=None, precision="float32").fit(images)
    changed = quick(augment=double, precision="float32").fit(images)
    assert changed.history_[-1]["loss"] != plain.history_[-1]["loss"]


# ------------------------------------------------------------------ progress


class AdaptingEncoder(MLPEncoder):
    """Remembers what it was shown before training."""

    shown: list = []

    def adapt(self, samples):
        AdaptingEncoder.shown.append(samples)


def test_an_encoder_sees_standardised_samples_once_before_training(quick, rows):
    X = np.repeat(rows[0], 10, axis=0)
    AdaptingEncoder.shown.clear()
    dim = quick(encoder=AdaptingEncoder, encoder_params={"width": 8}, warm_start=True).fit(X)
    (samples,) = AdaptingEncoder.shown
    assert samples.shape == (1000, 9)
    known = {tuple(row) for row in ((X - dim.mean_) / dim.scale_).round(3).tolist()}
    assert {tuple(row) for row in samples.double().numpy().round(3).tolist()} <= known
    dim.fit(X).partial_fit(X)
    assert len(AdaptingEncoder.shown) == 1


class WatchedEncoder(ConvEncoder):
    """Remembers the sides of the views it was trained on."""

    sides: set = set()

    def forward(self, x):
        if self.training:
            WatchedEncoder.sides.add(tuple(x.shape[2:]))
        return super().forward(x)


class FixedSizeEncoder(WatchedEncoder):
    takes_any_size = False


@pytest.mark.parametrize(
    ("encoder", "params", "sides"),
    [
        (WatchedEncoder, {}, (12, 15)),
        (WatchedEncoder, {"global_weight": 1.0}, (16, 20)),
        (WatchedEncoder, {"augment": None}, (16, 20)),
        (FixedSizeEncoder, {}, (16, 20)),
    ],
)
def test_views_of_colour_images_are_smaller_where_the_encoder_takes_any_size(
    quick, encoder, params, sides
):
    X = np.random.default_rng(0).integers(0, 255, (40, 16, 20, 3), dtype=np.uint8)
    WatchedEncoder.sides.clear()
    small = {"width": 8, "n_hidden": 16}
    dim = quick(encoder=encoder, encoder_params=small, **params).fit(X)
    assert WatchedEncoder.sides == {sides}
    assert np.isfinite(dim.score_samples(X)).all()


@pytest.mark.parametrize(("n_views", "n_crops"), cover([1, 2, 3], [0, 4, 8]))
def test_views_and_crops_train_every_term(quick, images, n_views, n_crops):
    weights = {"global_weight": 1.0, "local_weight": 1.0, "prior_weight": 0.1}
    dim = quick(n_views=n_views, n_crops=n_crops, **weights).fit(images)
    assert np.isfinite(list(dim.history_[-1].values())).all()
    assert 0 < dim.score(images) < 1


def test_occlusion_that_hides_nothing_changes_nothing(quick, images, monkeypatch):
    plain = quick(augment=None, precision="float32").fit(images)
    monkeypatch.setattr("skdim._training.net.occlude", lambda views, generator: views)
    occluded = quick(augment=None, precision="float32", occlusion=True).fit(images)
    for before, after in zip(plain.history_, occluded.history_, strict=True):
        assert after["loss"] == pytest.approx(before["loss"], rel=1e-3)


def test_codes_see_occluded_views_and_local_features_whole_ones(quick, images, monkeypatch):
    monkeypatch.setattr(
        "skdim._training.net.occlude", lambda views, generator: torch.zeros_like(views)
    )
    dim = quick(augment=None, occlusion=True, max_epochs=12).fit(images)
    # Codes of zeros are all the same: their loss is the loss at chance.
    chance = quick(augment=None, max_epochs=12).fit(images).history_[-1]["local"]
    assert dim.history_[-1]["local"] < chance - 0.5


def test_several_global_codes_train_one_at_a_time_and_are_summed_up_in_their_mean(quick):
    X = np.random.default_rng(0).integers(0, 255, (30, 32, 32, 3), dtype=np.uint8)
    params = {"encoder": "paper_globals_resnet19", "encoder_params": {"scale": 0.02}}
    dim = quick(output="code", **params).fit(X)
    assert dim.transform(X).shape == (30, 8)
    assert 0 < dim.score(X) < 1
    encoding = encode(dim.encoder_, torch.randn(5, 3, 32, 32))
    torch.testing.assert_close(encoding.code, encoding.global_codes.mean(1))
    drawn = encoding.draw_codes(torch.Generator().manual_seed(0))
    assert drawn.shape == encoding.code.shape
    is_one = (encoding.global_codes == drawn[:, None]).all(-1)  # (n, n_globals)
    assert is_one.any(1).all()
    many = torch.stack([encoding.draw_codes(torch.Generator().manual_seed(i)) for i in range(400)])
    assert len(many[:, 0, 0].unique()) == encoding.global_codes.shape[1]


def test_flip_averaged_features_are_those_of_the_flipped_image(quick, images):
    dim = quick(flip_averaging=True).fit(images)
    features, flipped = dim.transform(images), dim.transform(images[:, :, ::-1])
    np.testing.assert_allclose(features, flipped, rtol=0, atol=1e-4)
    again = pickle.loads(pickle.dumps(dim))
    assert np.array_equal(again.transform(images), features)


def test_verbose_shows_loss_rate_and_time_left(quick, images, capsys):
    quick(verbose=1).fit(images)
    bar = capsys.readouterr().err
    assert "epoch=2/2" in bar
    assert "loss=" in bar
    assert "samples/s" in bar
    quick().fit(images)
    assert capsys.readouterr() == ("", "")


def test_every_epoch_is_logged(quick, images, caplog):
    with caplog.at_level("INFO", logger="skdim"):
        quick().fit(images)
    assert [record.message.split(",")[0] for record in caplog.records] == ["epoch 1", "epoch 2"]
    assert all("samples_per_second" in record.message for record in caplog.records)


# -------------------------------------------------------------------- errors


def infinite(joint, marginal):
    return joint.mean() / 0


def test_divergence_names_epoch_and_term_and_leaves_the_last_fit_alone(quick, images):
    transformer = quick().fit(images)
    before = transformer.transform(images)
    transformer.set_params(mi_estimator=infinite)
    with pytest.raises(FloatingPointError, match=r"local term became .* in epoch 1.*learning_rate"):
        transformer.fit(images)
    np.testing.assert_array_equal(transformer.transform(images), before)


# ----------------------------------------------------------------- the paper


# The weights of global bound, local bound and prior.
WEIGHTS = {
    "global": (1.0, 0.0, 1.0),
    "local": (0.0, 1.0, 0.1),
    "local+global": (0.5, 0.1, 0.1),
}


@pytest.mark.parametrize(("variant", "mi_estimator"), cover(WEIGHTS, ESTIMATORS))
def test_settings_of_the_paper(variant, mi_estimator, images):
    dim = DIMTransformer.paper(
        variant, mi_estimator, max_epochs=2, critic_width=64, encoder_params={"scale": 0.1}
    )
    assert (dim.global_weight, dim.local_weight, dim.prior_weight) == WEIGHTS[variant]
    assert dim.mi_estimator == mi_estimator
    assert (dim.augment, dim.batch_size, dim.learning_rate) == (None, 64, 1e-4)
    assert dim.gradient_clip_norm is None
    assert np.isfinite(dim.fit_transform(images)).all()


@pytest.mark.parametrize("variant", ["local", "global"])
def test_instances_of_the_paper_share_nothing(variant):
    first, second = DIMTransformer.paper(variant), DIMTransformer.paper(variant)
    for name in ("optimizer_params", "encoder_params"):
        ours, others = getattr(first, name), getattr(second, name)
        assert ours == others
        assert ours is None or ours is not others


@pytest.mark.parametrize(
    ("encoder", "shape", "n_top"),
    [
        ("paper28", (1, 28, 28), 128 * 7 * 7),
        ("paper32", (3, 32, 32), 256 * 4 * 4),
        ("paper64", (3, 64, 64), 512 * 4 * 4),
    ],
)
def test_the_critic_of_dim_g_has_three_layers_over_code_and_last_convolution(encoder, shape, n_top):
    dim = DIMTransformer.paper("global", encoder=encoder, max_epochs=1, learning_rate=1e-12)
    X = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
    objective = dim.set_params(channel_axis=1).fit(X).model_.objective
    n_critic = sum(p.numel() for p in objective.global_critic.parameters())
    assert n_critic == (64 + n_top + 1) * 512 + 513 * 512 + 513
    assert n_critic == {"paper28": 3_507_713, "paper32": 2_393_601, "paper64": 4_490_753}[encoder]


def test_parameters_of_an_encoder_are_added_to_those_of_the_paper():
    params = {"encoder_params": {"scale": 0.5}}
    dim = DIMTransformer.paper("global", **params)
    assert dim.encoder_params == {"local_layer": -1, "scale": 0.5}
    assert params == {"encoder_params": {"scale": 0.5}}
    assert DIMTransformer.paper("local", **params).encoder_params == {"scale": 0.5}
    # Other encoders have no such parameter.
    assert DIMTransformer.paper("global", encoder="conv").encoder_params is None


# -------------------------------------------------------------------- groups


def test_groups_change_the_negatives_whatever_their_names(quick, images):
    n = len(images)
    single = quick().fit(images, groups=np.arange(n))
    paired = quick().fit(images, groups=np.arange(n) // 2)
    named = quick().fit(images, groups=[f"patient {i // 2:02}" for i in range(n)])
    assert single.history_[0]["loss"] != paired.history_[0]["loss"]
    np.testing.assert_array_equal(named.transform(images), paired.transform(images))


def test_the_log_says_where_negatives_are_repeated(quick, images, caplog):
    def my_jsd(joint, marginal):
        return jsd(joint, marginal)

    groups = np.arange(len(images)) // 2
    with caplog.at_level(logging.WARNING, logger="skdim"):
        quick(mi_estimator=jsd).fit(images, groups=groups)
        quick(mi_estimator=my_jsd).fit(images)
        quick(mi_estimator=my_jsd, critic="concat").fit(images, groups=groups)
        assert "add up" not in caplog.text
        quick(mi_estimator=my_jsd).fit(images, groups=groups)
    assert caplog.text.count("add up") == 1
    assert "negatives are repeated" in caplog.text


def test_the_batch_size_that_the_sentence_names_is_enough(quick, images):
    quick(batch_size=90).fit(images, groups=np.arange(90) < 1)


# --------------------------------------------------------------------- files


NOTEBOOK = """
import pickle, sys
import joblib
import numpy as np
from skdim import DIMTransformer
from skdim.encoders import MLPEncoder

folder = sys.argv[1]
pipeline = joblib.load(folder + "/pipeline.joblib")
np.save(folder + "/proba.npy", pipeline.predict_proba(np.load(folder + "/images.npy")))

class Mine(MLPEncoder):
    pass

X = np.random.default_rng(0).normal(size=(20, 4))
transformer = DIMTransformer(4, encoder=Mine, max_epochs=1).fit(X)
file = pickle.dumps(transformer)
assert (pickle.loads(file).transform(X) == transformer.transform(X)).all()
open(folder + "/transformer.pickle", "wb").write(file)
"""


@pytest.fixture(scope="module")
def notebook(quick, digits, tmp_path_factory):
    """A pipeline, and the folder where another process loaded it and left a transformer."""
    folder, images = tmp_path_factory.mktemp("notebook"), digits.images[:60]
    pipeline = make_pipeline(quick(), LogisticRegression(max_iter=1000))
    pipeline.fit(images, digits.target[:60])
    joblib.dump(pipeline, folder / "pipeline.joblib")
    np.save(folder / "images.npy", images)
    subprocess.run([sys.executable, "-c", NOTEBOOK, str(folder)], check=True)
    return pipeline, folder


def test_joblib_in_a_new_process_gives_equal_features(notebook, digits):
    pipeline, folder = notebook
    expected = pipeline.predict_proba(digits.images[:60])
    np.testing.assert_array_equal(np.load(folder / "proba.npy"), expected)


def test_pickles_hold_numpy_and_no_net(quick, images):
    transformer = quick().fit(images)
    state = transformer.__getstate__()
    assert not any(isinstance(value, (nn.Module, torch.Tensor)) for value in values_in(state))
    assert b"skorch" not in pickle.dumps(transformer)
    parts = state["model_"]["weights"].values()
    weights = sum(array.nbytes for part in parts for array in part.values())
    assert len(pickle.dumps(transformer)) < 1.1 * weights + 10_000


def values_in(state):
    """Return all values of a state, at any depth."""
    if isinstance(state, dict | list | tuple):
        items = state.values() if isinstance(state, dict) else state
        return [value for item in items for value in values_in(item)]
    return [state]


def test_parameters_changed_after_fit_do_not_spoil_a_pickle(quick, images):
    transformer = quick().fit(images)
    expected = transformer.transform(images)
    transformer.set_params(n_components=3, encoder="mlp", encoder_params={"width": 4})
    loaded = pickle.loads(pickle.dumps(transformer))
    np.testing.assert_array_equal(loaded.transform(images), expected)


# ------------------------------------------------------------- custom objects


class TopLevel(MLPEncoder):
    """An encoder that a file can refer to."""


def build_network():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))


def test_top_level_custom_objects_survive_a_pickle(quick, rows, images):
    X, _ = rows
    transformer = quick(encoder=TopLevel, mi_estimator=ESTIMATORS["jsd"]).fit(X)
    loaded = pickle.loads(pickle.dumps(transformer))
    assert loaded.encoder is TopLevel
    assert loaded.mi_estimator is ESTIMATORS["jsd"]
    np.testing.assert_array_equal(loaded.transform(X), transformer.transform(X))
    tapped = quick(n_components=4, encoder=tap(build_network, local="1", hidden="2")).fit(images)
    loaded = pickle.loads(pickle.dumps(tapped))
    np.testing.assert_array_equal(loaded.transform(images), tapped.transform(images))


def local_objects():
    class Local(MLPEncoder):
        pass

    return {"encoder": Local, "augment": lambda batch, generator: batch + 0.1}


def forgiving(parameters, hook=None, **params):
    return torch.optim.Adam(parameters, **params)


def network_of_rows():
    return nn.Sequential(nn.Unflatten(1, (1, -1)), nn.Conv1d(1, 4, 1), nn.Flatten())


UNREACHABLE = [
    *local_objects().items(),
    ("encoder", tap(lambda: network_of_rows(), local="1", hidden="2")),
    ("prior", Prior(PRIORS["normal"].sample, lambda code: 2 * code)),
    ("optimizer_params", {"betas": (0.5, 0.9), "hook": [lambda: None]}),
]


@pytest.mark.parametrize(("parameter", "custom"), UNREACHABLE)
def test_custom_objects_that_no_file_can_refer_to_train_but_cannot_be_saved(
    quick, rows, parameter, custom, tmp_path
):
    X, _ = rows
    params = {"optimizer": forgiving, "prior_weight": 0.1, parameter: custom}
    transformer = clone(quick(**params)).fit(X)
    expected = transformer.transform(X)
    for twin in (copy.copy(transformer), copy.deepcopy(transformer)):
        np.testing.assert_array_equal(twin.transform(X), expected)
    with pytest.raises(pickle.PicklingError, match=f"'{parameter}' parameter holds.*top level"):
        joblib.dump(transformer, tmp_path / "transformer.joblib")


def test_worker_processes_receive_custom_objects(quick, rows):
    X, y = rows
    pipeline = make_pipeline(quick(**local_objects()), LogisticRegression(max_iter=1000))
    scores = cross_val_score(pipeline, X, y, cv=2, n_jobs=2, error_score="raise")
    fitted = quick(**local_objects()).fit(X)
    (features,) = joblib.Parallel(n_jobs=2)(joblib.delayed(transform)(fitted, X) for _ in "1")
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(features, fitted.transform(X), atol=1e-5)


def transform(transformer, X):
    return transformer.transform(X)


def test_a_class_of_a_notebook_is_asked_for_by_name(notebook):
    _, folder = notebook
    with pytest.raises(AttributeError, match=r"'Mine' of module '__main__', the 'encoder' param"):
        pickle.loads((folder / "transformer.pickle").read_bytes())
