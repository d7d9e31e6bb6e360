"""Every critic scores all pairs; the lean algebra gives the number of the stated formula."""

import pytest
import torch

from skdim.critics import CRITICS, SeparableCritic


def pairs(n=6, n_locations=4, n_code=5, n_channels=3, n_views=2):
    generator = torch.Generator().manual_seed(0)
    code = torch.randn(n_views, n, n_code, generator=generator, dtype=torch.float64)
    local_map = torch.randn(
        n_views, n, n_locations, n_channels, generator=generator, dtype=torch.float64
    )
    return code, local_map


@pytest.mark.parametrize("name", CRITICS)
def test_entry_i_j_scores_code_i_against_sample_j(name):
    torch.manual_seed(0)
    critic = CRITICS[name](5, 3, 7).double().eval()
    code, local_map = pairs()
    scores = critic(code, local_map)
    assert scores.shape == (2, 6, 6, 4)
    swapped = critic(code[:, [0, 3]], local_map[:, [5, 1]])
    torch.testing.assert_close(swapped[:, 0, 1], scores[:, 0, 1], rtol=0, atol=1e-12)
    torch.testing.assert_close(swapped[:, 1, 0], scores[:, 3, 5], rtol=0, atol=1e-12)


def test_separable_critic_equals_its_formula_forward_and_backward():
    torch.manual_seed(0)
    critic = SeparableCritic(5, 3, 7).double()
    code, local_map = pairs(n_views=1)
    h = critic.embed_locals(local_map)
    keys = critic.last(h) + critic.shortcut(local_map)  # the stated form: W2 on every local
    plain = torch.einsum("vid,vjkd->vijk", critic.query(code), keys) / 7**0.5
    weights = torch.randn_like(plain)
    expected = torch.autograd.grad((plain * weights).sum(), list(critic.parameters()))
    lean = critic(code, local_map)
    gradients = torch.autograd.grad((lean * weights).sum(), list(critic.parameters()))
    torch.testing.assert_close(lean, plain, rtol=0, atol=1e-10)
    for ours, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
