"""Batch normalisation of several processes; of one, it is torch's layer."""

import pytest
import torch
from torch import distributed, nn

from skdim._runtime.batch_norm import sync_batch_norm
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


class WithActivation(nn.BatchNorm2d):
    """As in timm, in short."""

    def forward(self, x):
        return super().forward(x).relu()


class OwnForward(nn.BatchNorm2d):
    """As in timm, at length."""

    def forward(self, x):
        self.num_batches_tracked.add_(1)
        statistics = (self.running_mean, self.running_var)
        return nn.functional.batch_norm(
            x, *statistics, self.weight, self.bias, training=self.training, momentum=0.2, eps=1e-5
        )


# Each kind of layer, and the number of axes of its input.
KINDS = {
    nn.BatchNorm1d: 3,
    nn.BatchNorm2d: 4,
    nn.BatchNorm3d: 5,
    WithActivation: 4,
    OwnForward: 4,
    nn.InstanceNorm1d: 3,
    nn.InstanceNorm2d: 4,
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", KINDS)
def test_messages_of_one_process_change_nothing(connected, kind, variant):
    """Forward, backward and running statistics are those of torch."""
    torch.manual_seed(0)
    if kind is OwnForward and variant != "default":
        pytest.skip("it has no variants")
    params = VARIANTS[variant]
    if issubclass(kind, (nn.InstanceNorm1d, nn.InstanceNorm2d)):
        params = {"affine": True, "track_running_stats": True, **params}
    ours, theirs = (kind(4, **params).double() for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    shape = (6, 4, 5, 3, 2)[: KINDS[kind]]
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
    replaced = nn.BatchNorm1d(4)
    replaced.forward = torch.relu  # in this one layer only
    network.append(replaced)

    def own():
        return ["forward" in vars(layer) for layer in network.modules()]

    before = own()
    with sync_batch_norm(SINGLE_PROCESS, network):
        assert own() == before

    def fail():
        with sync_batch_norm(ProcessGroup(0, 2), network):
            assert sum(own()) == 3
            raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        fail()
    assert own() == before
    assert replaced.forward is torch.relu


def test_evaluation_needs_no_messages():
    layer = nn.BatchNorm1d(4).eval()
    x = torch.randn(6, 4)
    with sync_batch_norm(ProcessGroup(0, 2), layer):
        torch.testing.assert_close(layer(x), x, rtol=1e-4, atol=1e-4)
