"""The methods that benchmarks compare DIM with learn what they are said to learn."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.distributions import Normal, kl_divergence

from benchmarks.baselines import BASELINES
from benchmarks.baselines.cpc import CPC, RowGRU
from benchmarks.baselines.nat import assign
from benchmarks.baselines.networks import Generator, PairDiscriminator
from benchmarks.baselines.reconstruction import divergence_from_normal
from benchmarks.baselines.simclr import nt_xent

N_TRAIN = 1000
# Of methods that learn slowly; the others train for five.
EPOCHS = {"vae": 15, "beta_vae": 10, "aae": 15, "nat": 10, "bigan": 8}
SMALL = {
    "encoder": "paper28",
    "encoder_params": {"scale": 0.125},
    "n_components": 16,
    "learning_rate": 1e-3,
    "random_state": 0,
    "device": "cpu",
    "precision": "float32",
}


@pytest.fixture(scope="module")
def X(digits):  # noqa: N802
    return digits.images.astype(np.float32)


@pytest.fixture(scope="module")
def y(digits):
    return digits.target


def train(name, X, y=None, **params):
    return BASELINES[name](**{**SMALL, "max_epochs": EPOCHS.get(name, 5), **params}).fit(X, y)


@pytest.fixture(scope="module")
def names(y):
    """Labels that are no numbers."""
    return np.array([f"a {digit}" for digit in range(10)])[y]


@pytest.fixture(scope="module")
def learned(X, names):
    """Every method, trained on the first digits."""
    return {name: train(name, X[:N_TRAIN], names[:N_TRAIN]) for name in BASELINES}


@pytest.fixture(scope="module")
def linear_accuracy(X, y):
    def accuracy(baseline):
        codes = baseline.transform(X)
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        return classifier.fit(codes[:N_TRAIN], y[:N_TRAIN]).score(codes[N_TRAIN:], y[N_TRAIN:])

    return accuracy


@pytest.fixture(scope="module")
def untrained_accuracy(linear_accuracy, X):
    """The weights do not change, but batch normalisation gets its statistics."""
    return linear_accuracy(train("ae", X[:N_TRAIN], learning_rate=1e-12, max_epochs=3))


# The targets of NAT say nothing of classes before very many samples have exchanged theirs.
@pytest.mark.parametrize("name", sorted(set(BASELINES) - {"nat"}))
def test_codes_tell_more_of_the_class_than_those_of_the_untrained_encoder(
    name, learned, linear_accuracy, untrained_accuracy
):
    assert linear_accuracy(learned[name]) > untrained_accuracy + 0.08


@pytest.mark.parametrize("name", ["ae", "vae", "beta_vae", "aae"])
def test_most_of_the_variance_of_new_samples_is_reconstructed(name, learned, X):
    baseline = learned[name]
    samples = (X[N_TRAIN:, None] - baseline.mean_) / baseline.scale_
    with torch.inference_mode():
        codes = torch.from_numpy(baseline.transform(X[N_TRAIN:]))
        made = baseline.objective_.decoder(codes).numpy()
    variance = np.square(samples - samples.mean(0)).mean()
    assert np.square(made - samples).mean() < 0.7 * variance


def test_beta_weighs_the_divergence(X):
    kl = {}
    for beta in (0.1, 10):
        params = {"beta": beta}
        epochs = train("beta_vae", X[:500], max_epochs=6, objective_params=params).history_
        kl[beta] = epochs[-1]["kl"] / beta
    assert kl[10] < kl[0.1] / 2


def test_divergence_is_that_of_torch():
    mean, log_variance = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(divergence_from_normal(mean, log_variance), expected.sum(1).mean())


def test_nt_xent_knows_equal_and_orthogonal_views():
    n, temperature = 6, 0.5
    same = torch.ones(2 * n, 4)  # all views are alike: chance
    assert nt_xent(same, temperature).item() == pytest.approx(np.log(2 * n - 1), rel=1e-6)
    apart = torch.eye(n).repeat(2, 1)  # both views of a sample are alike, all samples orthogonal
    expected = np.log(np.exp(1 / temperature) + 2 * n - 2) - 1 / temperature
    assert nt_xent(apart, temperature).item() == pytest.approx(expected, rel=1e-6)


def test_the_adversary_of_aae_brings_codes_to_the_prior(learned, X):
    without = train("aae", X[:N_TRAIN], objective_params={"prior_weight": 0.0})

    def distance(baseline):
        codes = baseline.transform(X)
        return np.abs(np.cov(codes.T) - np.eye(16)).mean() + np.abs(codes.mean(0)).mean()

    assert distance(learned["aae"]) < 0.7 * distance(without)
    assert 0.85 < learned["aae"].transform(X).std() < 1.15
    # A discriminator without an adversary tells codes from noise; the loss of chance is 2 log 2.
    assert without.history_[-1]["discriminator"] < 0.1
    assert 0.8 < learned["aae"].history_[-1]["discriminator"] < 1.1 * 2 * np.log(2)


def test_the_adversarial_losses_of_bigan_stay_balanced(learned):
    last = learned["bigan"].history_[-1]
    assert 0.5 < last["discriminator"] < 2 * np.log(2)
    assert max(last["encoder"], last["generator"]) < 3


def test_bigan_generates_images_like_those_of_training(learned, X):
    baseline = learned["bigan"]
    z = torch.randn(300, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        made = baseline.objective_.generator(z)[:, 0].numpy() * baseline.scale_ + baseline.mean_
    assert np.corrcoef(made.mean(0).ravel(), X.mean(0).ravel())[0, 1] > 0.8
    assert 0.5 < made.std(0).mean() / X.std(0).mean() < 1.5  # not the same image for every z


@pytest.mark.parametrize("method", ["aae", "bigan"])
def test_the_update_of_the_discriminator_has_no_other_gradients(method, learned):
    encoder, objective = learned[method].encoder_, learned[method].objective_
    encoder.zero_grad()
    objective.zero_grad()
    updates = objective(encoder, torch.ones(4, 1, 8, 8), torch.arange(4), torch.Generator())
    name, terms = next(updates)
    terms["discriminator"].backward()
    of_discriminator = {id(p) for p in objective.discriminator.parameters()}
    for parameter in [*encoder.parameters(), *objective.parameters()]:
        assert (parameter.grad is not None) == (id(parameter) in of_discriminator)
    assert (name, next(updates)[0]) == ("discriminator", "encoder")


def test_assignment_is_the_best_of_all_orders():
    code, targets = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0))
    orders = torch.tensor(list(itertools.permutations(range(6))))
    distances = (code - targets[orders]).square().sum((1, 2))
    assert assign(code, targets).tolist() == orders[distances.argmin()].tolist()


def test_nat_comes_near_its_targets_which_are_only_exchanged(learned, X):
    baseline = learned["nat"]
    targets = baseline.objective_.targets.numpy()
    codes = baseline.transform(X[:N_TRAIN])
    np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(targets, axis=1), 1, rtol=1e-5)
    assert len(np.unique(targets, axis=0)) == N_TRAIN
    assert baseline.history_[-1]["distance"] < 0.7 * baseline.history_[0]["distance"]
    assert (codes * targets).sum(1).mean() > 0.5  # with targets of other samples: 0


def test_supervised_predicts_labels_of_any_kind(learned, X, names):
    predicted = learned["supervised"].predict(X[N_TRAIN:])
    assert (predicted == names[N_TRAIN:]).mean() > 0.9


def test_supervised_learns_by_the_last_convolution():
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (40, 32, 32, 3), np.uint8), np.arange(40) % 3
    params = {"encoder": "paper32", "encoder_params": {"scale": 0.125}}
    baseline = train("supervised", X, y, **params, max_epochs=1)
    assert baseline.objective_.hidden[1].in_features == 32 * 4 * 4  # an eighth of 256 channels
    with torch.inference_mode():
        shown = torch.from_numpy(baseline.transform(X))
        logits = baseline.objective_.last(shown)
    assert baseline.predict(X).tolist() == logits.argmax(1).tolist()
    assert baseline.encoder_params == {"scale": 0.125}


def test_samples_are_augmented_anew_in_every_step(X):
    seen = []

    def shift(x, generator):
        seen.append(torch.rand((), generator=generator).item())
        return x + seen[-1]

    plain, shifted = (train("ae", X[:100], max_epochs=2, augment=a) for a in (None, shift))
    assert len(set(seen)) == 2 * 2  # batches of 64
    assert plain.history_[0]["reconstruction"] != shifted.history_[0]["reconstruction"]


@pytest.mark.parametrize("y", [None, [0, 1, 0]])
def test_supervised_needs_a_label_for_each_sample(y, X):
    with pytest.raises(ValueError, match="y must hold a label for each of 20 samples"):
        train("supervised", X[:20], y)


@pytest.mark.parametrize("name", BASELINES)
def test_it_repeats_and_does_not_touch_the_generator_of_torch(name, X, y):
    state = torch.get_rng_state()
    first = train(name, X[:100], y[:100], max_epochs=2)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)  # as other code would
    again = clone(first).fit(X[:100], y[:100])
    np.testing.assert_array_equal(first.transform(X), again.transform(X))
    other = clone(first).set_params(random_state=1).fit(X[:100], y[:100])
    assert not np.allclose(first.transform(X), other.transform(X))


@pytest.mark.parametrize("name", BASELINES)
def test_colour_images_of_bytes_in_batches_of_two_samples_at_least(name):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (33, 32, 32, 3), np.uint8)
    params = {"encoder": "paper32", "encoder_params": {"scale": 0.05}, "n_components": 5}
    baseline = train(name, X, rng.integers(0, 2, 33), **params, batch_size=32, max_epochs=1)
    codes = baseline.transform(X)
    n_units = {"supervised": 200, "simclr": 51}  # of a hidden layer
    assert codes.shape == (33, n_units.get(name, 5))
    assert codes.dtype == np.float32
    assert np.isfinite(codes).all()
    assert baseline.sample_shape_ == (3, 32, 32)
    assert baseline.mean_.shape == baseline.scale_.shape == (3,)
    assert not baseline.encoder_.training
    assert len(baseline.history_) == 1


@pytest.mark.parametrize("name", BASELINES)
def test_half_precision_gives_about_the_same_terms(name, X, y):
    terms = []
    for precision in ("float32", "bfloat16"):
        baseline = train(name, X[:128], y[:128], max_epochs=2, precision=precision)
        terms.append(baseline.history_[-1])
        terms[-1].pop("seconds")
    assert terms[0] == pytest.approx(terms[1], rel=0.1)


@pytest.mark.parametrize("sides", [(4, 4), (8, 8), (28, 28), (32, 32), (33, 50), (64, 64)])
def test_networks_fit_images_of_any_size(sides):
    images = Generator(7, (3, *sides), scale=0.05)(torch.ones(2, 7))
    assert images.shape == (2, 3, *sides)
    discriminator = PairDiscriminator(7, (3, *sides), scale=0.05)
    assert discriminator(images, torch.ones(2, 7)).shape == (2, 1)


def test_generator_for_32_pixels_is_that_of_the_paper():
    maps = [(512, 4, 4), (256, 8, 8), (128, 16, 16), (64, 32, 32), (3, 32, 32)]
    x, seen = torch.ones(2, 64), []
    for layer in Generator(64, (3, 32, 32)).layers:
        x = layer(x)
        if x.ndim == 4 and (not seen or seen[-1] != x.shape[1:]):
            seen.append(tuple(x.shape[1:]))
    assert seen == maps


def test_other_images_than_in_fit_are_refused(learned):
    with pytest.raises(ValueError, match=r"of shape \(1, 8, 8\) .* Got \(1, 9, 9\)"):
        learned["ae"].transform(np.zeros((2, 9, 9)))


def test_a_loss_that_is_no_number_ends_training(X):
    with pytest.raises(FloatingPointError, match="reduce 'learning_rate'"):
        train("ae", X[:64], learning_rate=1e30)


def crops_of_noise(n):
    """Images of grey rows, the same in all columns, whose lower half repeats the upper half."""
    rng = np.random.default_rng(0)
    half = np.repeat(rng.integers(0, 256, (n, 16, 1, 1)), 3, axis=3).repeat(32, axis=2)
    return np.concatenate([half, half], 1).astype(np.uint8)


@pytest.fixture(scope="module")
def cpc():
    return CPC(
        "paper_crops_resnet19",
        encoder_params={"scale": 0.05},
        max_epochs=6,
        batch_size=16,
        learning_rate=3e-3,
        random_state=0,
        device="cpu",
        precision="float32",
    ).fit(crops_of_noise(64))


def test_a_context_of_cpc_has_seen_its_row_and_those_above_and_nothing_below():
    torch.manual_seed(0)
    gru, feature_map = RowGRU(3), torch.randn(1, 3, 5, 4)
    for changed_row in range(5):
        changed = feature_map.clone()
        changed[:, :, changed_row] += 1
        differs = (gru(changed) != gru(feature_map)).any(1).any(-1)[0].tolist()
        assert differs == [row >= changed_row for row in range(5)]


def test_the_units_of_a_context_are_those_of_torch():
    torch.manual_seed(0)
    ours, theirs = RowGRU(3), torch.nn.GRU(3, 3)
    with torch.no_grad():
        # Torch's order is reset, update, new; one column has no neighbours.
        order = torch.tensor([3, 4, 5, 0, 1, 2, 6, 7, 8])
        ours.input_gates.weight.copy_(theirs.weight_ih_l0[order, :, None])
        ours.input_gates.bias.copy_(theirs.bias_ih_l0[order])
        ours.state_gates.weight[:, :, 1] = theirs.weight_hh_l0[order]
        ours.state_gates.bias.copy_(theirs.bias_hh_l0[order])
    rows = torch.randn(6, 2, 3)  # (n_rows, n, n_channels)
    contexts = ours(rows.permute(1, 2, 0)[..., None])[..., 0].permute(2, 0, 1)
    torch.testing.assert_close(contexts, theirs(rows)[0])


def test_the_loss_of_cpc_is_that_of_a_loop_over_all_pairs(cpc):
    objective = cpc.objective_
    n_channels = objective.context.input_gates.in_channels
    local_map = torch.randn(3, 49, n_channels, generator=torch.Generator().manual_seed(0))
    contexts = objective.context(local_map.transpose(1, 2).unflatten(2, (7, 7)))
    by_step = []
    assert objective.steps == [2, 3, 4, 5]
    for step, predict in zip(objective.steps, objective.predictions, strict=True):
        losses = []
        for i, row, column in itertools.product(range(3), range(7 - step), range(7)):
            predicted = predict(contexts[i, :, row, column])
            positive = predicted @ local_map[i, (row + step) * 7 + column]
            losses.append((local_map.flatten(0, 1) @ predicted).logsumexp(0) - positive)
        by_step.append(torch.stack(losses).mean())
    torch.testing.assert_close(objective.loss(local_map), torch.stack(by_step).mean())


def test_cpc_learns_to_tell_what_is_further_down(cpc):
    chance = np.log(16 * 49)
    assert cpc.history_[-1]["infonce"] < cpc.history_[0]["infonce"] - 0.5
    assert cpc.history_[-1]["infonce"] < chance - 0.5
    features = cpc.transform(crops_of_noise(20))
    assert features.shape == (20, round(1024 * 0.05))
    assert np.isfinite(features).all()


def test_cpc_needs_rows_to_predict(X):
    with pytest.raises(ValueError, match=r"more than 2 rows. Got 4 locations"):
        CPC("paper28", {"scale": 0.1}, max_epochs=1).fit(X[:20])
