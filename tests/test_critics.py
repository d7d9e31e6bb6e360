"""Every critic scores single pairs; the faster algebra gives the numbers of the stated formulas."""

import itertools

import pytest
import torch
from torch.nn.functional import batch_norm, cosine_similarity, layer_norm

from skdim.critics import (
    CRITICS,
    ConcatCritic,
    CosineCritic,
    PublishedSeparableCritic,
    SeparableCritic,
    score_all,
    score_parts,
)


def pairs(n=6, n_locations=4, n_code=5, n_channels=3, n_views=2):
    generator = torch.Generator().manual_seed(0)
    code = torch.randn(n_views, n, n_code, generator=generator, dtype=torch.float64)
    local_map = torch.randn(
        n_views, n, n_locations, n_channels, generator=generator, dtype=torch.float64
    )
    return code, local_map


def build(critic, width=7):
    torch.manual_seed(0)
    return critic(5, 3, width).double()


@pytest.mark.parametrize("name", CRITICS)
def test_scores_are_of_a_code_and_one_local_vector_of_its_sample(name):
    critic = build(CRITICS[name]).eval()
    code, local_map = pairs()
    scores = critic(code, local_map)
    assert scores.shape == (2, 6, 4)
    for v, i, k in itertools.product(range(2), range(6), range(4)):
        single = critic(code[v : v + 1, i : i + 1], local_map[v : v + 1, i : i + 1, k : k + 1])
        torch.testing.assert_close(scores[v, i, k], single[0, 0, 0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CRITICS)
def test_entry_i_j_of_all_scores_is_code_i_against_sample_j(name):
    critic = build(CRITICS[name]).eval()
    code, local_map = pairs()
    scores = score_all(critic, code, local_map)
    assert scores.shape == (2, 6, 6, 4)
    for shift in range(6):
        expected = critic(code, local_map.roll(-shift, 1))  # code i, local features of i + shift
        entries = scores[:, range(6), [(i + shift) % 6 for i in range(6)]]
        torch.testing.assert_close(entries, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CRITICS)
@pytest.mark.parametrize(("n_code", "n_channels", "width"), [(5, 3, 2), (1, 1, 1), (3, 40, 16)])
def test_any_widths(name, n_code, n_channels, width):
    critic = CRITICS[name](n_code, n_channels, width)
    assert critic(torch.randn(2, 4, n_code), torch.randn(2, 4, 3, n_channels)).shape == (2, 4, 3)


def test_separable_critic_equals_its_formula_forward_and_backward():
    critic = build(SeparableCritic)
    code, local_map = pairs(n_views=1)
    h = critic.embed_local_map(local_map)
    keys = critic.last(h) + critic.shortcut(local_map)  # as stated: W2 on every local vector
    plain = torch.einsum("vid,vjkd->vijk", critic.query(code), keys) / 7**0.5
    assert_same(critic, plain, score_parts(critic.embed(code, local_map)))


def test_cosine_critic_equals_its_formula_forward_and_backward():
    critic = build(CosineCritic)
    code, local_map = pairs(n_views=1)
    g = critic.query(code)
    keys = critic.last(critic.embed_local_map(local_map)) + critic.shortcut(local_map)
    cosines = cosine_similarity(g[:, :, None, None], keys[:, None], dim=-1)  # (1, n, n, locations)
    assert_same(critic, cosines / 0.1, score_parts(critic.embed(code, local_map)))


def test_published_critic_equals_its_formula_forward_and_backward():
    critic = build(PublishedSeparableCritic)
    code, local_map = pairs(n_views=1)

    def block(x, part):
        w1, w2, s = part.first.weight, part.last, part.shortcut
        norm = part.batch_norm
        hidden = batch_norm((x @ w1.T).flatten(0, -2), None, None, norm.weight, norm.bias, True)
        bias = 0 if s.bias is None else s.bias
        return (
            hidden.unflatten(0, x.shape[:-1]).relu() @ w2.weight.T + w2.bias + x @ s.weight.T + bias
        )

    norm = critic.layer_norm
    keys = layer_norm(block(local_map, critic.local_block), (7,), norm.weight, norm.bias)
    plain = torch.einsum("vid,vjkd->vijk", block(code, critic.code_block), keys)
    assert_same(critic, plain, score_parts(critic.embed(code, local_map)))


def test_concat_critic_equals_its_formula_forward_and_backward():
    critic = build(ConcatCritic)
    code, local_map = pairs()
    repeated = code.unsqueeze(-2).expand(-1, -1, 4, -1)
    plain = critic.rest(critic.first(torch.cat([repeated, local_map], -1))).squeeze(-1)
    assert_same(critic, plain, critic(code, local_map))


def assert_same(critic, plain, ours):
    weights = torch.randn_like(plain)
    parameters = list(critic.parameters())
    expected, gradients = (
        torch.autograd.grad((scores * weights).sum(), parameters) for scores in (plain, ours)
    )
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-10)
    for mine, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-10)


def test_published_shortcuts_start_as_noisy_identities_where_they_can():
    critic = PublishedSeparableCritic(64, 128, 2048)
    for block, n_in in ((critic.code_block, 64), (critic.local_block, 128)):
        noise = block.shortcut.weight.clone()
        assert noise.diagonal().equal(torch.ones(n_in))
        noise.fill_diagonal_(0)
        assert 0 < noise.abs().max() <= 0.01
    narrow = PublishedSeparableCritic(64, 128, 100)
    assert not narrow.local_block.shortcut.weight.diagonal().equal(torch.ones(100))


@pytest.mark.parametrize(
    ("critic", "n_code", "n_channels", "width", "n_parameters"),
    [
        # W1 + BN + W2 with bias + S, of code (with the shortcut's bias) and local vector, and LN
        (
            PublishedSeparableCritic,
            64,
            128,
            2048,
            2 * 64 * 2048 + 2 * 128 * 2048 + 2 * (2048 * 2048 + 3 * 2048) + 3 * 2048,
        ),
        (ConcatCritic, 64, 128, 512, 192 * 512 + 512 + 512 * 512 + 512 + 512 + 1),
    ],
)
def test_sizes_of_the_paper(critic, n_code, n_channels, width, n_parameters):
    built = critic(n_code, n_channels, width)
    assert sum(p.numel() for p in built.parameters()) == n_parameters


@pytest.mark.parametrize("name", CRITICS)
def test_score_all_is_the_same_with_and_without_a_shortcut(name):
    torch.manual_seed(0)
    critic = CRITICS[name](4, 3, 8).eval()
    code, local_map = torch.randn(2, 5, 4), torch.randn(2, 5, 6, 3)
    scores = score_all(critic, code, local_map)
    assert scores.shape == (2, 5, 5, 6)
    for i, j in itertools.product(range(5), range(5)):
        expected = critic(code[:, i : i + 1], local_map[:, j : j + 1])[:, 0]
        torch.testing.assert_close(scores[:, i, j], expected)
