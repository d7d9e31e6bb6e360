"""Where to compute and how precisely, decided by what the machine reports."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def choose_device(device: str | torch.device) -> torch.device:
    """Return the device that the ``device`` parameter means: ``"auto"`` is CUDA, else the CPU.

    Raises
    ------
    ValueError
        If the device is unknown to torch or not present.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except Exception as error:
        # torch raises another class for every backend; all of them mean this.
        raise ValueError(
            "The 'device' parameter must be 'auto' or a device that torch can use here. "
            f"Got {device!r}: {str(error).splitlines()[0]}"
        ) from None
    return chosen


def choose_precision(precision: str, device: torch.device, n_axes: int) -> str:
    """Return ``"float32"`` or ``"bfloat16"``.

    ``"auto"`` asks the processor, not a clock, so that fits repeat: bfloat16 for convolutions on
    processors that multiply it natively, float32 on all others and for the small layers of rows.
    """
    if precision != "auto":
        return precision
    is_fast = has_bfloat16(device) and n_axes > 1
    return "bfloat16" if is_fast else "float32"


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for products of bfloat16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        # Private, but the only way torch offers; absent in old versions, which means no.
        probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, probe, bool)() for probe in probes)
    return False


@contextmanager
def memory_advice(device: torch.device, **parameters) -> Iterator[None]:
    """Turn "out of memory" into a sentence that says what to reduce.

    Parameters
    ----------
    device : torch.device
    **parameters
        Those that memory grows with, and their values.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's own class is a RuntimeError
        if not _is_out_of_memory(error):
            raise
        reduce = " or ".join(f"{name!r} (now {value})" for name, value in parameters.items())
        elsewhere = "" if device.type == "cpu" else ", or set device='cpu'"
        raise MemoryError(
            f"The memory of device {str(device)!r} is exhausted: reduce {reduce}{elsewhere}. "
            f"{str(error).splitlines()[0] if str(error) else ''}".rstrip()
        ) from error


@contextmanager
def compiler_advice() -> Iterator[None]:
    """Turn what torch's compiler has to say into a sentence that names the parameter."""
    try:
        yield
    except RuntimeError as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        reason = next(line for line in reversed(str(error).split("\n\n")[0].splitlines()) if line)
        raise RuntimeError(
            "The 'compile' parameter needs an encoder that torch can compile, and a compiler for "
            f"C++ on a CPU; set compile=False to train without. Got: {reason}"
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return any(words in str(error) for words in ("not enough memory", "can't allocate memory"))
