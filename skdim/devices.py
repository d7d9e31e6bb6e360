"""Where to compute and how precisely, decided by what the machine reports."""

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
