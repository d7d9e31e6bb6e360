"""What the capture of a CUDA graph does not allow, on a CPU."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# Reads a number, or makes a shape depend on one: a graph of kernels cannot.
FORBIDDEN = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal")


class NoReading(TorchDispatchMode):
    """Fail where the capture of a CUDA graph would fail."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__.removeprefix("aten::")
        if name in FORBIDDEN:
            raise RuntimeError(f"operation not permitted when stream is capturing: {name}")
        if name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1]):
            raise RuntimeError("operation not permitted when stream is capturing: index by mask")
        return func(*args, **(kwargs or {}))
