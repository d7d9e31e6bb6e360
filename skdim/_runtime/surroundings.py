"""Torch as skdim needs it, whatever the calling program has set."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock

import torch

# A process with another number was forked from the one that imported this module.
IMPORTED_BY = os.getpid()

_lock = Lock()
_n_blocks, _callers_dtype = 0, torch.float32


@contextmanager
def torch_defaults() -> Iterator[None]:
    """Use torch's defaults inside the ``with`` block, and restore the program's settings after it.

    Everything of skdim that computes runs in such a block. ``torch_defaults()`` is also a decorator
    of functions. Inside it, gradients are on, inference mode and autocast are off, and new tensors
    are float32, on the CPU. A forked process computes in one thread.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device_type in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device_type):
                stack.enter_context(torch.autocast(device_type, enabled=False))
        if torch.empty(0).device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_float32_by_default())
        stack.enter_context(_one_thread_if_forked())
        yield


@contextmanager
def autocast(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Compute products in a precision inside the ``with`` block; float32 changes nothing.

    Torch keeps copies of the weights in that precision until the outermost block of autocast ends.
    If that is a block of the caller, the copies would outlive an update of the weights.
    """
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        yield
    torch.clear_autocast_cache()


@contextmanager
def _float32_by_default() -> Iterator[None]:
    """Make new tensors float32; the last of several threads restores the program's default."""
    global _n_blocks, _callers_dtype
    with _lock:
        if _n_blocks == 0:
            _callers_dtype = torch.get_default_dtype()
            torch.set_default_dtype(torch.float32)
        _n_blocks += 1
    try:
        yield
    finally:
        with _lock:
            _n_blocks -= 1
            if _n_blocks == 0:
                torch.set_default_dtype(_callers_dtype)


def _restore_in_child() -> None:
    """Restore the program's default type in a forked process, which lacks the threads in blocks."""
    global _lock, _n_blocks
    _lock = Lock()
    if _n_blocks:
        torch.set_default_dtype(_callers_dtype)
        _n_blocks = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restore_in_child)


@contextmanager
def _one_thread_if_forked() -> Iterator[None]:
    """Use one thread in a process that was forked, and the program's number after the block.

    Such a process has no copies of the threads of its parent, if torch had started some there, and
    would wait for them forever.
    """
    n_threads = torch.get_num_threads()
    if os.getpid() == IMPORTED_BY or n_threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
