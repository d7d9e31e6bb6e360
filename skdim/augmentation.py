"""Views: random changes of a sample that leave what it shows alone.

An augmentation is a function ``(batch, generator) -> batch``: whole batches, standardised, on the
generator's device, with every random number drawn from the generator. Write one and pass it as
``augment``; to make it the default of a modality, name it in `DEFAULT_AUGMENTATIONS`.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


def augment_images(images: Tensor, generator: torch.Generator) -> Tensor:
    """The default for images: colour photographs may be mirrored and recoloured, others may not.

    Three channels are read as colour. Anything else (digits, spectra, scans) is only moved.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)
    generator : torch.Generator

    Returns
    -------
    images : Tensor of the same shape
    """
    if images.shape[1] == 3:
        return jitter_colors(crop_and_flip(images, generator), generator)
    return move(images, generator)


def move(
    images: Tensor,
    generator: torch.Generator,
    degrees: float = 15.0,
    scale: float = 0.15,
    shift: float = 0.125,
) -> Tensor:
    """Rotate, scale and shift; what comes in from outside repeats the border.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)
    generator : torch.Generator
    degrees : float, default=15
        Largest rotation, either way.
    scale : float, default=0.15
        Largest relative change of size, of each side apart.
    shift : float, default=0.125
        Largest shift, as a part of each side.
    """
    n = len(images)
    angle = _symmetric(n, 1, generator)[:, 0] * math.radians(degrees)
    zoom = 1 + _symmetric(n, 2, generator) * scale
    offset = 2 * shift * _symmetric(n, 2, generator)  # grids run from -1 to 1
    cos, sin = angle.cos(), angle.sin()
    rotation = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    theta = torch.cat([rotation * zoom[:, None, :], offset[:, :, None]], 2)  # (n, 2, 3)
    return _resample(images, theta)


def crop_and_flip(images: Tensor, generator: torch.Generator, smallest: float = 0.3) -> Tensor:
    """Cut out a random box, mirror it half the time, stretch it to full size.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)
    generator : torch.Generator
    smallest : float, default=0.3
        Smallest area of the box, as a part of the image.
    """
    n = len(images)
    area = smallest + (1 - smallest) * _uniform(n, 1, generator)
    log_aspect = _symmetric(n, 1, generator) * math.log(4 / 3) / 2
    box = area.sqrt() * torch.cat([log_aspect.exp(), (-log_aspect).exp()], 1)
    box = box.clamp(max=1)  # (n, 2): width, height
    center = (1 - box) * _symmetric(n, 2, generator)
    mirror = 1 - 2 * (_uniform(n, 1, generator) < 0.5).to(box.dtype)
    box = torch.cat([box[:, :1] * mirror, box[:, 1:]], 1)
    theta = torch.cat([torch.diag_embed(box), center[:, :, None]], 2)  # (n, 2, 3)
    return _resample(images, theta)


def jitter_colors(
    images: Tensor, generator: torch.Generator, strength: float = 0.4, gray: float = 0.2
) -> Tensor:
    """Change brightness, contrast and saturation; make some images grey.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)
        Standardised, so that a change of brightness is measured in standard deviations.
    generator : torch.Generator
    strength : float, default=0.4
        Largest change of each, either way.
    gray : float, default=0.2
        Probability of no colour at all.
    """
    n = len(images)
    draws = _symmetric(n, 3, generator)[:, :, None, None, None] * strength
    brightness, contrast, saturation = draws.unbind(1)  # each (n, 1, 1, 1)
    is_gray = _uniform(n, 1, generator)[:, :, None, None] < gray
    saturation = torch.where(is_gray, -1.0, saturation)
    gray_images = images.mean(1, keepdim=True)
    images = gray_images + (images - gray_images) * (1 + saturation)
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + (images - mean) * (1 + contrast) + brightness


def swap_cells(rows: Tensor, generator: torch.Generator, probability: float = 0.4) -> Tensor:
    """Replace cells by the same column's value in another row of the batch.

    Parameters
    ----------
    rows : Tensor of shape (n, n_columns)
    generator : torch.Generator
    probability : float, default=0.4
        Probability that a cell is replaced.
    """
    donors = torch.randint(
        len(rows), rows.shape, generator=generator, device=generator.device
    )  # (n, n_columns)
    n, n_columns = rows.shape
    swapped = _uniform(n, n_columns, generator) < probability
    return torch.where(swapped, rows.gather(0, donors), rows)


# Number of axes of a sample, channels included, to what ``augment="auto"`` means.
DEFAULT_AUGMENTATIONS: dict[int, Augmentation] = {1: swap_cells, 3: augment_images}


def _uniform(n: int, k: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n, k, generator=generator, device=generator.device)


def _symmetric(n: int, k: int, generator: torch.Generator) -> Tensor:
    return 2 * _uniform(n, k, generator) - 1


def _resample(images: Tensor, theta: Tensor) -> Tensor:
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
