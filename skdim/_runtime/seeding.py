"""Random numbers that depend only on a seed, and that do not change torch's global state.

torch's layers draw their initial weights from a global generator, and dropout draws from it in
every step. Code that seeds it holds a lock, so that fits in other threads do not change results.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import RLock
from typing import Any

import torch
from torch import Tensor, nn

_global_state_lock = RLock()
# What the thread that holds the lock has changed: how to restore it, innermost last.
_restorations: list[Callable[[], None]] = []


def global_state_lock() -> RLock:
    """Return the lock that code holds while it draws from torch's global generators."""
    return _global_state_lock


@contextmanager
def _changing_globally(get_restoration: Callable[[], Callable[[], None]]) -> Iterator[None]:
    """Hold the lock inside the ``with`` block, then restore torch's global state."""
    with _global_state_lock:
        restore = get_restoration()
        _restorations.append(restore)
        try:
            yield
        finally:
            _restorations.remove(restore)
            restore()


def _release_lock_of_lost_thread() -> None:
    """Free the lock in a forked process, and restore what was changed, if another thread holds it.

    That thread was not copied, and would hold the lock forever.
    """
    global _global_state_lock
    if _global_state_lock.acquire(blocking=False):
        _global_state_lock.release()
        return
    _global_state_lock = RLock()
    while _restorations:
        with suppress(RuntimeError):  # a forked process has no CUDA
            _restorations.pop()()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_lock_of_lost_thread)


@contextmanager
def seeded(
    seed: int, device: torch.device, state: Tensor | None = None
) -> Iterator[torch.Generator]:
    """Yield a generator on a device inside a `seeded_globally` block.

    Random numbers continue from ``state``, that of the generator of an earlier block.
    """
    generator, seed = make_generator(seed, device, state)
    with seeded_globally(seed, device):
        yield generator


def make_generator(
    seed: int, device: torch.device, state: Tensor | None = None
) -> tuple[torch.Generator, int]:
    """Return a generator, and the seed that belongs to it for torch's global generators.

    Raises
    ------
    ValueError
        If ``state`` is not the state of such a generator.
    """
    generator = torch.Generator(device).manual_seed(seed)
    if state is not None:
        try:
            generator.set_state(state)
        except (RuntimeError, TypeError) as error:
            raise ValueError(
                f"The state of the generator must be one of {device.type!r}. Got another: {error}."
            ) from None
        seed = int(torch.randint(2**31, (), generator=generator, device=device))
    return generator, seed


@contextmanager
def seeded_globally(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators of the CPU and of one device, for one thread at a time.

    Their states are restored after the ``with`` block.
    """

    def get_restoration() -> Callable[[], None]:
        return partial(set_global_states, global_states(device), device)

    with _global_state_lock, _changing_globally(get_restoration):
        seed_globally(seed, device)
        yield


def seed_globally(seed: int, device: torch.device) -> None:
    """Seed the global generators of the CPU and of one device, and of no other device."""
    states = {"torch": torch.Generator().manual_seed(seed).get_state(), "device": None}
    if device.type != "cpu":
        states["device"] = torch.Generator(device).manual_seed(seed).get_state()
    set_global_states(states, device)


def global_states(device: torch.device) -> dict[str, Tensor | None]:
    """Return the states of the global generators of the CPU and of one device.

    None stands for that of a device without a global generator, or of the CPU a second time.
    """
    module = getattr(torch, device.type, None)
    if device.type == "cpu" or not hasattr(module, "get_rng_state"):
        return {"torch": torch.get_rng_state(), "device": None}
    on_device = module.get_rng_state(*_index(device))  # type: ignore[union-attr]  # hasattr
    return {"torch": torch.get_rng_state(), "device": on_device}


def set_global_states(states: dict[str, Tensor | None], device: torch.device) -> None:
    """Restore states of the global generators."""
    if states["torch"] is not None:
        torch.set_rng_state(states["torch"])
    module = getattr(torch, device.type, None)
    if states["device"] is not None and hasattr(module, "set_rng_state"):
        module.set_rng_state(states["device"], *_index(device))  # type: ignore[union-attr]


def _index(device: torch.device) -> tuple[torch.device, ...]:
    return () if device.type == "mps" else (device,)  # there is only one


# Layers of torch that draw from the global generator in training.
DRAWING_LAYERS = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.FractionalMaxPool2d,
    nn.FractionalMaxPool3d,
    nn.MultiheadAttention,
    nn.RNNBase,
    nn.RReLU,
)
# All other layers and functions of these packages draw only from a generator that they get.
KNOWN_PACKAGES = ("skdim", "torch")


def may_draw_globally(modules: Iterable[nn.Module], functions: Iterable[Any]) -> bool:
    """Whether training may draw from torch's global generators.

    A custom layer or function is assumed to do so; a function may be None.
    """
    layers = [layer for module in modules for layer in module.modules()]
    if any(isinstance(layer, DRAWING_LAYERS) for layer in layers):
        return True
    sources = [*map(type, layers), *(getattr(f, "func", f) for f in functions if f is not None)]
    packages = {(getattr(source, "__module__", None) or "").split(".")[0] for source in sources}
    return not packages <= set(KNOWN_PACKAGES)
