"""Random numbers that a seed determines, and that leave torch's global generators alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def seeded(
    seed: int, device: torch.device, state: Tensor | None = None
) -> Iterator[torch.Generator]:
    """Seed torch inside the ``with`` block and give a generator; restore torch afterwards.

    Parameters
    ----------
    seed : int
    device : torch.device
        Of the generator.
    state : Tensor or None
        Of an earlier block's generator: random numbers then continue from there.
    """
    generator = torch.Generator(device).manual_seed(seed)
    if state is not None:
        generator.set_state(state)
        seed = int(torch.randint(2**31, (), generator=generator, device=device))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield generator
