"""Claim: what skdim adds to a bare loop of the same step costs at most a tenth.

Tabular data, a small network, batch size 256: steps are short, so that overhead shows. The bare
loop is written out here on purpose, as one would write it by hand: shuffle, gather, views, encoder,
objective, backward, clip, step, schedule. Both train the same network for the same steps on the
same data, in turn, and must end with equal weights. The figure is the median of the ratios.

Command: python -m benchmarks.speed.bench_loop
n: 9 rounds (--rounds)
Hardware: 2 cores of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import time

import numpy as np
import torch
from torch import nn

from benchmarks.common import argument_parser, save, verdict
from skdim import DIMTransformer
from skdim.augmentation import jitter_cells
from skdim.encoders import encode
from skdim.optimization import warmup_cosine

BATCH = 256
PARAMS = {"n_components": 16, "batch_size": BATCH, "critic_width": 64}
PARAMS |= {"encoder_params": {"n_hidden": 64}, "optimizer": "adamw", "random_state": 0}


def bare_loop(X: np.ndarray, encoder: nn.Module, objective: nn.Module, seed: int, n_epochs: int):
    """Train as `DIMTransformer` does; return seconds."""
    samples = torch.from_numpy(X)
    mean = samples.double().mean(0).float()
    scale = (samples.double() - mean).square().mean(0).sqrt().float()
    generator = torch.Generator().manual_seed(seed)
    torch.randperm(len(X), generator=generator)  # skdim draws samples that encoders may adapt to
    parameters = [*encoder.parameters(), *objective.critic_parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, fused=True)
    n_batches = len(X) // BATCH
    encoder.train()
    objective.train()
    start = time.perf_counter()
    for epoch in range(n_epochs):
        order = torch.randperm(len(X), generator=generator)
        for i, indices in enumerate(order.tensor_split(n_batches)):
            optimizer.param_groups[0]["lr"] = 2e-3 * warmup_cosine(
                (epoch + i / n_batches) / n_epochs
            )
            batch = (samples[indices] - mean) / scale
            views = jitter_cells(torch.cat([batch, batch]), generator)
            encoding = encode(encoder, views)
            code = encoding.code.unflatten(0, (2, -1))
            local_map = encoding.local_maps[0].unflatten(0, (2, -1))
            loss = objective.loss(objective(code, (local_map,), generator))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 10.0)
            optimizer.step()
    return time.perf_counter() - start


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    X = np.random.default_rng(0).standard_normal((20 * BATCH, 16)).astype(np.float32)
    seed = int(np.random.RandomState(0).randint(2**31 - 1))
    ratios, seconds = [], []
    for _ in range(arguments.rounds):
        dim = DIMTransformer(max_epochs=arguments.epochs, **PARAMS).fit(X)
        ours = sum(epoch["seconds"] for epoch in dim.history_)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = dim.model_.config.build_encoder(torch.device("cpu"))
            objective = dim.model_.config.build_objective(encoder, torch.device("cpu"))
        bare = bare_loop(X, encoder, objective, seed, arguments.epochs)
        for mine, theirs in zip(dim.encoder_.parameters(), encoder.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
        ratios.append(ours / bare)
        seconds.append((ours, bare))
    steps = 20 * arguments.epochs
    middle = np.median(seconds, 0) / steps * 1e6
    print(f"{middle[0]:.0f} us a step, bare {middle[1]:.0f} us; ratios {np.round(ratios, 3)}")
    save("loop", {"seconds": seconds, "ratios": ratios})
    ratio = float(np.median(ratios))
    verdict({f"skdim's loop takes {ratio:.3f} times a bare loop, at most 1.10": ratio <= 1.10})


if __name__ == "__main__":
    main()
