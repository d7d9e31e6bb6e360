"""The loop: every sample once in an epoch, groups dealt evenly, and what a step returned."""

import pytest
import torch

from skdim._training.loop import Batches, run_epoch, train_epochs


@pytest.mark.parametrize("n", [2, 3, 5, 64, 65, 129, 200])
@pytest.mark.parametrize("batch_size", [2, 3, 64, 1000])
def test_every_sample_once_and_no_batch_of_one(n, batch_size):
    batches = Batches(range(n), None, batch_size, torch.Generator().manual_seed(0))
    parts = [part for part, _ in batches]
    sizes = [len(part) for part in parts]
    assert len(parts) == len(batches)
    assert torch.cat(parts).sort().values.equal(torch.arange(n))
    assert min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= max(batch_size, 3)


@pytest.mark.parametrize("groups", [None, torch.arange(50) % 7])
def test_epochs_differ_and_repeat_with_the_generator(groups):
    def two_epochs():
        batches = Batches(range(50), groups, 10, torch.Generator().manual_seed(3))
        return [torch.cat([part for part, _ in batches]) for _ in range(2)]

    first, again = two_epochs(), two_epochs()
    assert first[0].equal(again[0])
    assert first[1].equal(again[1])
    assert not first[0].equal(first[1])


@pytest.mark.parametrize("sizes", [[30, 20, 10], [3] * 20, [56, 2, 2], [1] * 60])
@pytest.mark.parametrize("batch_size", [16, 20, 60])
def test_groups_are_dealt_evenly_and_no_batch_is_of_one_group(sizes, batch_size):
    groups = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    batches = Batches(range(60), groups, batch_size, torch.Generator().manual_seed(0))
    parts = list(batches)
    assert torch.cat([part for part, _ in parts]).sort().values.equal(torch.arange(60))
    for part, part_groups in parts:
        assert part_groups.equal(groups[part])
        assert 2 <= len(part) <= batch_size
        assert len(part_groups.unique()) >= 2
        for group, size in enumerate(sizes):
            share = size / len(batches)
            assert abs((part_groups == group).sum().item() - share) < 1


def test_terms_are_read_by_step_and_an_epoch_may_end_early():
    seen = []

    def step(x, y):
        return {"sum": (x + y).requires_grad_(), "difference": x - y}

    def before_step(i, batch):
        return i < 3

    batches = [(torch.tensor(float(i)), torch.tensor(1.0)) for i in range(5)]
    table = run_epoch(
        batches,
        5,
        step,
        before_step=before_step,
        after_step=lambda batch, terms: seen.append((batch, terms)),
    )
    terms = table.read()
    assert {name: values.tolist() for name, values in terms.items()} == {
        "sum": [1.0, 2.0, 3.0],
        "difference": [-1.0, 0.0, 1.0],
    }
    assert [batch for batch, _ in seen] == batches[:3]
    assert not any(term.requires_grad for _, terms in seen for term in terms.values())


def test_epochs_lower_a_loss_by_steps_of_the_scheduled_rate():
    """Of a constant gradient, the weight shows the sum of all rates."""
    weight = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    batches = Batches(range(10), None, 5, torch.Generator().manual_seed(0))
    progress = []

    def schedule(part):
        progress.append(part)
        return 1 - part

    losses = list(train_epochs(optimizer, lambda i: -weight, batches, 2, lr_schedule=schedule))
    assert progress == [0.0, 0.25, 0.5, 0.75]
    weights = [0.0, 0.5, 0.875, 1.125]  # before each step
    assert losses == [-sum(weights[:2]) / 2, -sum(weights[2:]) / 2]
    assert weight.item() == 1.25
