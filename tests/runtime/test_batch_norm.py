"""Batch normalisation of several processes; of one, it is torch's layer."""

import pytest
import torch
from torch import distributed, nn

from skdim._runtime.batch_norm import SYNC_BATCH_NORMS, sync_batch_norm
from skdim._runtime.distributed import SINGLE_PROCESS, ProcessGroup

pytestmark = pytest.mark.skipif(not distributed.is_gloo_available(), reason="needs gloo")


@pytest.fixture
def connected(tmp_path):
    """A group of one process, in which messages go from it to itself."""
    address = f"file://{tmp_path / 'connection'}"
    distributed.init_process_group("gloo", address, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


VARIANTS = {
    "default": {},
    "without weights": {"affine": False},
    "without statistics": {"track_running_stats": False},
    "mean over all batches": {"momentum": None},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", SYNC_BATCH_NORMS)
def test_messages_of_one_process_change_nothing(connected, kind, variant):
    """Forward, backward and running statistics are those of torch."""
    torch.manual_seed(0)
    ours, theirs = (kind(4, **VARIANTS[variant]).double() for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    shape = (6, 4, 5, 3, 2)[: {nn.BatchNorm1d: 3, nn.BatchNorm2d: 4, nn.BatchNorm3d: 5}[kind]]
    for step in range(2):
        x = (step + 3 * torch.randn(shape, dtype=torch.float64)).requires_grad_()
        with sync_batch_norm(ProcessGroup(0, 2), ours):  # as if there were another
            synced = ours(x)
        expected = theirs(x)
        torch.testing.assert_close(synced, expected)
        weights = torch.randn(shape, dtype=torch.float64)
        pairs = zip(
            grads(synced, ours, x, weights), grads(expected, theirs, x, weights), strict=True
        )
        for mine, plain in pairs:
            torch.testing.assert_close(mine, plain)
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor)


def grads(output, layer, x, weights):
    return torch.autograd.grad((output * weights).sum(), [x, *layer.parameters()])


def test_layers_are_torchs_own_outside_the_block():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Sequential(nn.BatchNorm1d(4)))
    layers = [network[1], network[2][0]]

    def kinds():
        return [type(layer) for layer in layers]

    with sync_batch_norm(SINGLE_PROCESS, network):
        assert kinds() == [nn.BatchNorm1d] * 2

    def fail():
        with sync_batch_norm(ProcessGroup(0, 2), network):
            assert kinds() == [SYNC_BATCH_NORMS[nn.BatchNorm1d]] * 2
            raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        fail()
    assert kinds() == [nn.BatchNorm1d] * 2


def test_evaluation_needs_no_messages():
    layer = nn.BatchNorm1d(4).eval()
    x = torch.randn(6, 4)
    with sync_batch_norm(ProcessGroup(0, 2), layer):
        torch.testing.assert_close(layer(x), x, rtol=1e-4, atol=1e-4)
