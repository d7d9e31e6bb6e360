"""Laws of a step on a device: it waits for nothing, launches few kernels, and leaves no trace."""

import warnings
from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from helpers.on_device import DATA, GROUPS, fit, global_states, only_cuda, samples_of
from helpers.pretended_device import NAME, CUDAGraph, Generator, counts, reads_cuda, settings
from helpers.products import cover

from skdim import DIMTransformer
from skdim._runtime.devices import choose_device
from skdim._runtime.seeding import seeded_globally
from skdim._training.cuda_graph import CUDAGraphCapturer, GraphedStep
from skdim._training.net import DIMNet
from skdim.critics import SeparableCritic
from skdim.mutual_information import ESTIMATORS
from skdim.objective.scores import bound_in_chunks

DEVICE = torch.device(NAME, 0)


# ------------------------------------------------------------ waiting


def own_views(batch, generator):
    return batch + torch.randn(batch.shape, generator=generator, device=batch.device)


STEPS = {
    "own views": ("rows", {"augment": own_views}),
    "crops and occlusion": ("grey", {"n_crops": 4, "occlusion": True}),
    "coordinates": ("digits", {"coordinate_weight": 0.5}),
    "prior": ("rows", {"prior_weight": 0.5, "global_weight": 0.5}),
    "one location": ("signals", {"n_locations": 1, "critic": "concat"}),
    "streaming": ("rows", {"data_on_device": False}),
    "averaged weights": ("rows", {"weight_averaging": 1.0}),
    "small images": ("digits", {}),
    "colour": ("colour", {}),
    "volumes": ("volumes", {}),
    "early stopping": ("rows", {"early_stopping": True}),
    "a limit of time": ("rows", {"max_time": 100.0}),
}


def waits_before_steps(monkeypatch, kind, groups, params):
    """Fit, and count waits before each step."""
    waits, step = [], DIMNet.step

    def counting(self, *args):
        waits.append(counts["waits"])
        return step(self, *args)

    monkeypatch.setattr(DIMNet, "step", counting)
    fit(kind, groups, batch_size=6, max_epochs=1, **params)
    return waits


@pytest.mark.parametrize(("name", "with_groups"), cover(STEPS, [False, True]))
def test_no_step_waits_for_the_device(monkeypatch, name, with_groups):
    kind, params = STEPS[name]
    waits = waits_before_steps(monkeypatch, kind, GROUPS if with_groups else None, params)
    assert len(waits) >= 3
    assert waits[-1] == waits[1]  # the first step may prepare


@pytest.mark.parametrize(
    "params", [{"critic": "concat", "n_locations": 1}, {"data_on_device": False}]
)
def test_no_step_with_groups_waits_for_the_device(monkeypatch, params):
    kind = "signals" if "critic" in params else "rows"
    waits = waits_before_steps(monkeypatch, kind, GROUPS, params)
    assert waits[-1] == waits[1]


# ------------------------------------------------------------ kernels

rng = np.random.default_rng(0)
# Larger samples, as users have them, in the smallest numbers; networks of their default sizes.
LARGE = {
    "images": (partial(rng.integers, 256, size=(8, 32, 32, 3), dtype="u1"), {}),
    "signals": (lambda: rng.normal(size=(8, 2, 200)).cumsum(2), {"channel_axis": 1}),
    "tables": (lambda: rng.normal(size=(8, 20)), {}),
}
# At most so many kernels in a step with default parameters, and in the paper's with a lean critic.
KERNELS_OF_STEP = {"images": 410, "signals": 325, "tables": 220}
KERNELS_OF_PAPER = 200
# At most so many in `transform`, for a batch of 1024 samples; six of them compare it with `fit`.
KERNELS_OF_BATCH = {"images": 106, "signals": 166, "tables": 30}


def kernels_of_step(monkeypatch, dim, X):
    graphs, record = [], CUDAGraph.__init__

    def recording(self):
        record(self)
        graphs.append(self)

    monkeypatch.setattr(CUDAGraph, "__init__", recording)
    dim.fit(X)
    return len(graphs[0].kernels)


@only_cuda
@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("kind", LARGE)
def test_a_step_launches_few_kernels(monkeypatch, kind):
    make, layout = LARGE[kind]
    # A step has no fixed features, and no views of the readout.
    without_fixed = {"images": {"n_patches": 0}, "signals": {"n_thresholds": 0}}.get(kind)
    dim = DIMTransformer(2, max_epochs=2, random_state=0, device=NAME, **layout)
    dim.set_params(encoder_params=without_fixed)
    dim.set_params(transform_batch_size=8)
    n_kernels = kernels_of_step(monkeypatch, dim, make().astype(np.float32))
    assert 0.9 * KERNELS_OF_STEP[kind] < n_kernels <= KERNELS_OF_STEP[kind]


@only_cuda
@pytest.mark.usefixtures("few_steps")
def test_the_step_of_the_paper_launches_few_kernels(monkeypatch):
    make, _ = LARGE["images"]
    params = {"critic": "separable", "critic_width": 16, "prior_weight": 0.0, "max_epochs": 2}
    params |= {
        "transform_batch_size": 8,
        "encoder_params": {"scale": 0.05},
        "precision": "auto",
        "n_components": 2,
    }
    dim = DIMTransformer.paper("local", "jsd", device=NAME, random_state=0, **params)
    n_kernels = kernels_of_step(monkeypatch, dim, make().astype(np.float32))
    assert 0.9 * KERNELS_OF_PAPER < n_kernels <= KERNELS_OF_PAPER


@pytest.mark.parametrize("kind", LARGE)
def test_a_batch_of_transform_launches_few_kernels(monkeypatch, kind):
    """For as many parts as 1024 samples are cut into; the kernels of a part are counted."""
    make, layout = LARGE[kind]
    params = {"width": 8, "n_hidden": 16} if kind != "images" else {"width": 4, "n_hidden": 16}
    X = make().astype(np.float32)
    dim = DIMTransformer(
        2, max_epochs=1, random_state=0, device=NAME, output="hidden", encoder_params=params,
        transform_batch_size=8, augment=None, **layout,
    ).fit(X)  # fmt: skip
    # As many parts of one sample as 1024 samples make at the full size.
    limit = {"images": 2**26 // 128, "signals": 2**26 // 128, "tables": 2**26}[kind]
    monkeypatch.setattr("skdim._model.inference.LARGEST_FIXED_LAYER", limit)
    dim.transform(X)
    counts.clear()
    dim.transform(X)
    assert counts["kernels"] <= KERNELS_OF_BATCH[kind]


# ------------------------------------------------------------ capture


@only_cuda
@pytest.mark.usefixtures("few_steps")
def test_a_captured_fit_does_not_warn():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*capturable.*")
        fit("rows", optimizer="adam")
    assert counts["replays"]


@only_cuda
def test_terms_of_a_step_outlive_the_next():
    step = GraphedStep(
        lambda samples, groups: {"loss": samples.sum()}, CUDAGraphCapturer(torch.Generator(NAME))
    )
    losses = [step(torch.full((2,), float(i), device=NAME), None)["loss"] for i in range(6)]
    assert [loss.item() for loss in losses] == [0, 2, 4, 6, 8, 10]


@only_cuda
def test_a_failed_capture_leaves_generators_as_they_were():
    generator = torch.Generator(NAME).manual_seed(0)
    capturer = CUDAGraphCapturer(generator)

    def draw():
        return torch.rand(3, generator=generator, device=NAME)

    def draw_and_read():
        draw().sum().item()

    expected = draw()
    generator.manual_seed(0)
    with pytest.raises(RuntimeError, match="not permitted"):
        capturer.capture(draw_and_read)
    assert torch.equal(draw().cpu(), expected.cpu())
    torch.rand(3, device=NAME)  # the global generator of the device, too
    generator.manual_seed(0)
    replay = capturer.capture(draw)
    assert torch.equal(replay().cpu(), expected.cpu())


@pytest.mark.parametrize("name", ESTIMATORS)
def test_products_of_a_bound_are_in_half_precision_inside_autocast(name):
    """Also of keys that a layer normalisation made float32, as on CUDA; sums are float32."""
    generator = torch.Generator(NAME).manual_seed(0)
    critic = SeparableCritic(4, 5, 8).to(NAME)
    draw = partial(torch.randn, generator=generator, device=NAME)
    parts = critic.embed(draw(2, 6, 4), draw(2, 6, 3, 5))
    halves = [(queries.bfloat16(), keys.bfloat16()) for queries, keys in parts]
    plain = bound_in_chunks(ESTIMATORS[name], halves)
    with torch.autocast(NAME, torch.bfloat16):
        inside = bound_in_chunks(ESTIMATORS[name], parts)
    assert torch.equal(plain.cpu(), inside.cpu())


# ------------------------------------------------------------ device and state


def test_a_device_has_its_number():
    assert choose_device(NAME) == DEVICE
    assert fit("rows", max_epochs=1).device_ == DEVICE
    if reads_cuda():
        assert choose_device("auto") == DEVICE


@pytest.mark.usefixtures("few_steps")
def test_another_current_device_changes_nothing(monkeypatch):
    expected = fit("rows").transform(samples_of("rows"))
    monkeypatch.setattr(settings, "current_device", 1)
    features = fit("rows").transform(samples_of("rows"))
    np.testing.assert_array_equal(features, expected)
    assert settings.current_device == 1


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("kind", ["rows", "grey"])
def test_nothing_of_the_program_changes(kind):
    torch.set_float32_matmul_precision("high")
    torch.set_default_dtype(torch.float64)
    try:
        before = global_states()
        dim = fit(kind, GROUPS, prior_weight=0.5)
        dim.transform(samples_of(kind)), dim.score(samples_of(kind))
        assert global_states() == before
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")


def test_dropout_draws_from_the_seeded_generator_of_the_device(monkeypatch):
    images = rng.normal(size=(4, 64, 64)).astype("f4")
    monkeypatch.setitem(DATA, "large", (images, {"channel_axis": None}))
    before = global_states()
    params = {"encoder": "paper_crops_alexnet64", "encoder_params": {"scale": 0.02}}
    params |= {"max_epochs": 1, "n_components": 2}
    features = [fit("large", **params).transform(images) for _ in range(2)]
    np.testing.assert_array_equal(*features)
    assert global_states() == before


def test_the_global_generator_of_the_device_is_seeded_and_restored():
    before = torch.get_device_module(NAME).get_rng_state()
    numbers = []
    for _ in range(2):
        with seeded_globally(7, DEVICE):
            numbers.append(torch.rand(3, device=NAME).cpu())
    assert torch.equal(*numbers)
    assert torch.equal(
        numbers[0], torch.rand(3, generator=Generator(NAME).manual_seed(7), device=NAME).cpu()
    )
    assert torch.equal(torch.get_device_module(NAME).get_rng_state(), before)


def test_products_of_float32_have_all_digits(monkeypatch):
    """TF32 is off while skdim computes, in training and in transform."""
    precisions = Counter()

    def noting(batch, generator):
        precisions[torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()] += 1
        return batch

    torch.set_float32_matmul_precision("medium")
    try:
        dim = fit("rows", augment=noting)
        dim.transform_views(samples_of("rows"), 2, augment=noting)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert list(precisions) == [(False, "highest")]
