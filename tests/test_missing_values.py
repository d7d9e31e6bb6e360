"""``allow_nan``: what is missing is neither seen nor counted."""

import numpy as np
import pytest
import torch

from skdim import DIMClassifier, DIMTransformer
from skdim.augmentation import augment_signals, crop_and_warp, occlude
from skdim.encoders import MLPEncoder, SignalEncoder
from skdim.encoders.kernels import KernelBank
from skdim.sources import as_source
from skdim.sources._statistics import channel_statistics

LENGTHS = [40, 24, 9, 4, *np.random.default_rng(1).integers(4, 40, 56)]


def with_ends(signals, lengths=LENGTHS):
    signals = signals.clone() if isinstance(signals, torch.Tensor) else signals.copy()
    for signal, length in zip(signals, lengths, strict=True):
        signal[:, length:] = np.nan
    return signals


WHOLE = np.random.default_rng(0).normal(size=(60, 2, 40)).cumsum(2).astype(np.float32)
SIGNALS = with_ends(WHOLE)
ROWS = np.random.default_rng(0).normal(size=(80, 5))
ROWS[np.random.default_rng(1).random(ROWS.shape) < 0.2] = np.nan


def dim(**params):
    quick = {"n_components": 8, "max_epochs": 2, "random_state": 0, "allow_nan": True}
    quick["encoder_params"] = {"width": 8, "n_hidden": 16}
    return DIMTransformer(**{**quick, **params})


def dim_of_signals(**params):
    return dim(channel_axis=1, **params)


# --------------------------------------------------------------- signals


@pytest.mark.parametrize("stride", [1, 3])
def test_shares_of_an_ended_signal_are_those_of_one_that_is_no_longer(stride):
    bank = KernelBank((2, 40), 3)
    bank.adapt(torch.from_numpy(WHOLE))
    bank.stride = stride
    shares = bank(torch.from_numpy(SIGNALS))
    for signal, length, expected in zip(WHOLE, LENGTHS, shares, strict=True):
        alone = bank(torch.from_numpy(signal[None, :, :length]))[0]
        torch.testing.assert_close(alone, expected, atol=1e-5, rtol=0)


def test_thresholds_are_read_off_signals_before_their_end():
    halves, ended = KernelBank((2, 40), 2), KernelBank((2, 40), 2)
    signals = torch.from_numpy(WHOLE)
    halves.adapt(signals[:, :, :30])
    ended.adapt(with_ends(signals, [30] * len(signals)))
    for name, tensor in halves.state_dict().items():
        torch.testing.assert_close(ended.state_dict()[name], tensor)


def test_local_vectors_are_those_of_a_signal_that_is_no_longer():
    encoder = SignalEncoder((2, 40), 8, width=8, n_hidden=16, allow_nan=True)
    encoder(torch.from_numpy(SIGNALS))  # running statistics other than 0 and 1
    encoder.eval()
    with torch.no_grad():
        (local_map,) = encoder(torch.from_numpy(SIGNALS)).local_maps
        for signal, length, found in zip(WHOLE, LENGTHS, local_map, strict=True):
            alone = encoder.layers(torch.from_numpy(signal[None, :, :length]))[0].T
            times = np.arange(len(found)) * len(alone) // len(found)
            torch.testing.assert_close(found, alone[times], atol=1e-5, rtol=1e-5)


def test_batch_statistics_of_signals_that_divide_the_length_are_those_without_ends():
    """Each signal of half the length then counts twice, as often as the whole ones."""
    halves = np.concatenate([WHOLE[:, :, :20]] * 2, 2)
    whole, ended = (
        SignalEncoder((2, 40), 8, width=8, n_hidden=16, allow_nan=allow_nan)
        for allow_nan in (False, True)
    )
    ended.load_state_dict(whole.state_dict())
    inputs = torch.from_numpy(WHOLE[:, :, :20])
    ended(with_ends(torch.from_numpy(halves), [20] * 60))
    expected = whole.layers[0](inputs)
    torch.testing.assert_close(ended.layers[1].running_mean, 0.1 * expected.mean((0, 2)))


def test_without_ends_nothing_changes():
    small = {"width": 8, "n_hidden": 16}
    params = {"channel_axis": 1, "random_state": 0, "max_epochs": 2, "encoder_params": small}
    features = [DIMTransformer(allow_nan=a, **params).fit_transform(WHOLE) for a in (False, True)]
    np.testing.assert_allclose(*features, atol=1e-4)


def test_views_keep_the_length_of_a_signal_and_show_nothing_else():
    generator = torch.Generator().manual_seed(0)
    signals = torch.from_numpy(with_ends(np.ones_like(WHOLE)))
    signals += torch.arange(60)[:, None, None]
    for view in (augment_signals(signals, generator), occlude(signals, generator)):
        assert torch.equal(view.isnan(), signals.isnan())
    # Constant signals stay constant, however they are warped: no value comes from elsewhere.
    torch.testing.assert_close(crop_and_warp(signals, generator), signals, equal_nan=True)


def test_features_do_not_depend_on_the_batch():
    fitted = dim_of_signals(output="hidden").fit(SIGNALS)
    one_by_one = np.concatenate([fitted.transform(SIGNALS[i : i + 1]) for i in range(60)])
    np.testing.assert_array_equal(fitted.transform(SIGNALS), one_by_one)
    assert np.isfinite(one_by_one).all()


def test_training_beats_an_untrained_encoder_on_signals_of_unequal_length():
    untrained = dim_of_signals(learning_rate=1e-12, max_epochs=1).fit(SIGNALS)
    assert dim_of_signals(max_epochs=15).fit(SIGNALS).score(SIGNALS) > untrained.score(SIGNALS)


# ------------------------------------------------------------------ rows


def test_a_missing_cell_is_a_value_of_its_own():
    encoder = MLPEncoder((5,), 4, width=8, n_hidden=8, allow_nan=True).eval()
    rows = torch.randn(6, 5)
    missing, zero = rows.clone(), rows.clone()
    missing[:, 2], zero[:, 2] = torch.nan, 0.0
    with torch.no_grad():
        found, other = encoder(missing), encoder(zero)
    assert torch.isfinite(found.code).all()
    assert not torch.allclose(found.code, other.code)
    is_same = (found.local_maps[0] == other.local_maps[0]).all(2)
    assert is_same.all(0).tolist() == [True, True, False, True, True]


def test_groups_of_columns_hold_their_missing_cells():
    params = {"column_groups": [[0, 3]], "encoder_params": {"width": 8, "n_hidden": 8}}
    assert np.isfinite(dim(**params).fit_transform(ROWS)).all()


def test_a_column_that_is_missing_throughout():
    rows = ROWS.copy()
    rows[:, 1] = np.nan
    assert np.isfinite(dim().fit_transform(rows)).all()


# ------------------------------------------------------------------ both


@pytest.fixture(scope="module", params=["signals", "rows"])
def fitted(request):
    X = {"signals": SIGNALS, "rows": ROWS}[request.param]
    build = {"signals": dim_of_signals, "rows": dim}[request.param]
    return build().fit(X), X


def test_statistics_are_those_of_what_is_there():
    for X, axes in ((SIGNALS, (0, 2)), (ROWS, 0)):
        mean, scale = channel_statistics(X)
        np.testing.assert_allclose(mean, np.nanmean(X, axes, dtype=float))
        np.testing.assert_allclose(scale, np.nanstd(X, axes, dtype=float))


def test_a_source_gives_what_an_array_gives(fitted, tmp_path):
    fitted, X = fitted
    np.save(tmp_path / "X.npy", X)
    stored = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert as_source(stored) is not None
    twin = DIMTransformer(**fitted.get_params()).fit(stored)
    np.testing.assert_allclose(twin.transform(X), fitted.transform(X), atol=1e-5)


def test_a_file_keeps_it(fitted, tmp_path):
    fitted, X = fitted
    fitted.save(tmp_path / "dim.safetensors")
    loaded = DIMTransformer.load(tmp_path / "dim.safetensors")
    assert loaded.allow_nan
    np.testing.assert_array_equal(loaded.transform(X), fitted.transform(X))
    assert loaded.score(X) == fitted.score(X)


def test_an_onnx_graph_reads_it(fitted, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    fitted, X = fitted
    fitted.export_onnx(tmp_path / "dim.onnx")
    session = runtime.InferenceSession(tmp_path / "dim.onnx")
    (features,) = session.run(None, {session.get_inputs()[0].name: X.astype(np.float32)})
    np.testing.assert_allclose(features, fitted.transform(X.astype(np.float32)), atol=1e-4)


def test_a_classifier_of_it(fitted):
    fitted, X = fitted
    classifier = DIMClassifier(transformer=DIMTransformer(**fitted.get_params()), max_epochs=1)
    assert classifier.fit(X, np.arange(len(X)) % 2).predict(X).shape == (len(X),)


def test_the_tag_says_it():
    for allow_nan in (False, True):
        transformer = dim(allow_nan=allow_nan)
        for estimator in (transformer, DIMClassifier(transformer)):
            assert estimator.__sklearn_tags__().input_tags.allow_nan == allow_nan
