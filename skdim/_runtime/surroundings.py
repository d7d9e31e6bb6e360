"""Torch as skdim needs it, whatever the calling program has set."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from threading import Lock
from typing import Any

import torch

from skdim._runtime.devices import TORCH_DEVICES

# A process with another number was forked from the one that imported this module.
IMPORTED_BY = os.getpid()

_lock = Lock()
_n_blocks = 0
# How to restore what the first block changed; see `_global_settings`.
_restorations: list[Callable[[], None]] = []


@contextmanager
def torch_defaults() -> Iterator[None]:
    """Use torch's defaults inside the ``with`` block, and restore the program's settings after it.

    Everything of skdim that computes runs in such a block. ``torch_defaults()`` is also a decorator
    of functions. Inside it, gradients are on, inference mode and autocast are off, new tensors are
    float32, on the CPU, and products of float32 have all digits. A forked process computes in one
    thread.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device_type in filter(torch.amp.is_autocast_available, TORCH_DEVICES):
            if torch.is_autocast_enabled(device_type):
                stack.enter_context(torch.autocast(device_type, enabled=False))
        if torch.empty(0).device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_global_settings())
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
def _global_settings() -> Iterator[None]:
    """Set what all threads share; the last of several threads restores the program's settings."""
    global _n_blocks
    with _lock:
        if _n_blocks == 0:
            _restorations.append(partial(torch.set_default_dtype, torch.get_default_dtype()))
            torch.set_default_dtype(torch.float32)
            for get, set_to, exact in _precisions():
                current = get()
                if current != exact:
                    _restorations.append(partial(set_to, current))
                    set_to(exact)
        _n_blocks += 1
    try:
        yield
    finally:
        with _lock:
            _n_blocks -= 1
            if _n_blocks == 0:
                _restore()


def _precisions() -> list[tuple[Callable[[], Any], Callable[[Any], None], Any]]:
    """List how to get and set the precision of products of float32, and which has all digits.

    By default, convolutions on a GPU round to TF32, which has the digits of half precision.
    """
    cudnn: Any = torch.backends.cudnn
    allow_tf32 = partial(getattr, cudnn, "allow_tf32"), partial(setattr, cudnn, "allow_tf32")
    product_precision = torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    try:
        allow_tf32[0](), product_precision[0]()
    except RuntimeError:  # the program uses the settings that are new in torch 2.9
        mkldnn: Any = torch.backends.mkldnn
        kinds = [cudnn.conv, cudnn.rnn, mkldnn.conv, mkldnn.rnn, mkldnn.matmul]
        kinds.append(torch.backends.cuda.matmul)
        name = "fp32_precision"
        return [(partial(getattr, k, name), partial(setattr, k, name), "ieee") for k in kinds]
    return [(*allow_tf32, False), (*product_precision, "highest")]


def _restore() -> None:
    while _restorations:
        _restorations.pop()()


def _restore_in_child() -> None:
    """Restore the program's settings in a forked process, which lacks the threads in blocks."""
    global _lock, _n_blocks
    _lock = Lock()
    _n_blocks = 0
    _restore()


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
