"""Views: random changes of a sample that keep its content.

An augmentation is a function ``(batch, generator) -> batch``. It gets a whole standardised batch on
the generator's device and draws every random number from the generator. Pass it as ``augment``, or
name it in a row of `skdim.modalities` to make it the default of a modality.
"""

import math
from collections.abc import Callable
from itertools import combinations, product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from skdim._names import call_custom

Augmentation = Callable[[Tensor, torch.Generator], Tensor]

# Images that are not colour photographs are cropped if both sides have at least this many pixels.
CROPPED_SIDE = 16


def make_views(
    batch: Tensor,
    augment: Augmentation | None,
    generator: torch.Generator,
    n_views: int = 2,
    n_grids: int = 0,
) -> Tensor:
    """Make random views of each sample: full-size views, followed by grids of small crops.

    Parameters
    ----------
    batch : Tensor of shape (n, channels, *sides), standardised
    augment : callable (batch, generator) -> batch, or None
        None returns every sample unchanged.
    generator : torch.Generator
    n_views : int, default=2
    n_grids : int, default=0
        See `crop_grid`.

    Returns
    -------
    views : Tensor of shape (n_views + n_grids, n, ...)
    """
    n_total = n_views + n_grids
    repeated = torch.cat([batch] * n_total)
    views = repeated
    if augment is not None:
        names = "a batch and a generator"
        views = _check_views(call_custom("augment", augment, names, repeated, generator), repeated)
    views = views.unflatten(0, (n_total, -1))
    if not n_grids:
        return views
    grids = [crop_grid(view, generator) for view in views[n_views:]]
    return torch.cat([views[:n_views], torch.stack(grids)])


def _check_views(views: Any, batch: Tensor) -> Tensor:
    """Raise ValueError unless views are floats of as many samples and channels; return them."""
    result = type(views).__name__
    if isinstance(views, Tensor):
        is_fit = views.is_floating_point() and views.device == batch.device
        if is_fit and views.ndim == batch.ndim and views.shape[:2] == batch.shape[:2]:
            return views.to(batch.dtype)
        result = f"{tuple(views.shape)} of {views.dtype} on {views.device}"
    raise ValueError(
        "The 'augment' parameter must return a batch of as many samples as it was given, "
        f"{len(batch)}, with as many channels, {batch.shape[1]}, of floats on {batch.device}. "
        f"Got {result}."
    )


def crop_grid(views: Tensor, generator: torch.Generator) -> Tensor:
    """Fill each view with a grid of random crops of itself, each half as long on every side.

    An encoder then processes all crops of a sample at once, in the time of one sample. A receptive
    field that crosses an edge between two crops sees the same sample on both sides of the edge.
    """
    n, _, *sides = views.shape
    grids = torch.empty_like(views)
    for corner in product((0, 1), repeat=len(sides)):
        crop, cell = views, [slice(None), slice(None)]
        for axis, (side, is_second) in enumerate(zip(sides, corner, strict=True), start=2):
            half = side // 2
            length = side - half if is_second else half
            start = _uniform(n, 1, generator) * (side - length + 1)
            window = start.long() + torch.arange(length, device=views.device)  # (n, length)
            shape = [n] + [length if a == axis else 1 for a in range(1, views.ndim)]
            crop = crop.take_along_dim(window.view(shape), axis)
            cell.append(slice(half, None) if is_second else slice(half))
        grids[tuple(cell)] = crop
    return grids


def occlude(views: Tensor, generator: torch.Generator) -> Tensor:
    """Set a random box of each view to 0: between a third and two thirds of every side.

    On every side, at least a third remains visible at one end. In an image of 32 x 32 pixels, at
    least 10 x 10 are then hidden and 10 x 10 visible, as in the paper. Views are standardised.
    """
    n, _, *sides = views.shape
    is_hidden = torch.ones((), dtype=torch.bool, device=views.device)
    for axis, side in enumerate(sides, start=2):
        length = side * (1 + _uniform(n, 1, generator)) / 3
        third = side / 3
        is_late = _uniform(n, 1, generator) < 0.5  # then the visible third is before the box
        start = (side - third - length) * _uniform(n, 1, generator) + third * is_late
        position = torch.arange(side, device=views.device) + 0.5
        is_inside = (position > start) & (position < start + length)  # (n, side)
        shape = [n] + [side if a == axis else 1 for a in range(1, views.ndim)]
        is_hidden = is_hidden & is_inside.view(shape)
    return views * ~is_hidden  # NaN after the end of a signal remains NaN


def are_photographs(n_channels: int) -> bool:
    """Whether images of so many channels are treated as colour photographs.

    Their default views are flipped and change in colour; no other images' are.
    """
    return n_channels == 3


def augment_images(images: Tensor, generator: torch.Generator, size: float = 1.0) -> Tensor:
    """Make the default views of images, which depend on their channels and size.

    Images of three channels are treated as colour photographs: they are cropped and flipped, and
    their colours are changed. All other images (digits, spectra, scans) are cropped and change
    their contrast, but are not flipped. If they have fewer than `CROPPED_SIDE` pixels on a side, a
    crop would leave too little, so they are only moved.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)
    generator : torch.Generator
    size : float, default=1.0
        Sides of the views of colour photographs, as a fraction of the sides of the image.

    Returns
    -------
    images : Tensor of shape (n, channels, size * height, size * width)
    """
    if are_photographs(images.shape[1]):
        return jitter_colors(crop_and_flip(images, generator, size=size), generator)
    if min(images.shape[2:]) < CROPPED_SIDE:
        return move(images, generator)
    return jitter_contrast(crop_and_flip(images, generator, flip=0.0), generator)


def move(
    images: Tensor,
    generator: torch.Generator,
    degrees: float = 15.0,
    scale: float = 0.15,
    shift: float = 0.125,
) -> Tensor:
    """Rotate, scale and shift images; pixels from outside an image repeat its border.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width) or (n, channels, depth, height, width)
        Images, or volumes, which are rotated in all three planes.
    generator : torch.Generator
    degrees : float, default=15
        Largest rotation in each plane, in both directions.
    scale : float, default=0.15
        Largest relative change of size, drawn for each side separately.
    shift : float, default=0.125
        Largest shift, as a fraction of each side.
    """
    n, _, *sides = images.shape
    n_sides = len(sides)
    planes = list(combinations(range(n_sides), 2))
    angles = _symmetric(n, len(planes), generator) * math.radians(degrees)
    matrix = torch.eye(n_sides, device=images.device).expand(n, -1, -1)
    for (a, b), angle in zip(planes, angles.unbind(1), strict=True):
        matrix = matrix @ _rotation(n_sides, a, b, angle)
    zoom = 1 + _symmetric(n, n_sides, generator) * scale
    matrix = matrix * zoom[:, None, :]
    if len(set(sides)) > 1:
        # Grids run from -1 to 1 on every side, in the order (width, height, depth).
        lengths = [torch.full((), float(side), device=images.device) for side in reversed(sides)]
        matrix = matrix * (torch.stack(lengths) / torch.stack(lengths)[:, None])
    offset = 2 * shift * _symmetric(n, n_sides, generator)
    return _resample(images, torch.cat([matrix, offset[:, :, None]], 2), sides)


def _rotation(n_sides: int, a: int, b: int, angle: Tensor) -> Tensor:
    rotation = torch.eye(n_sides, device=angle.device).repeat(len(angle), 1, 1)
    rotation[:, a, a] = rotation[:, b, b] = angle.cos()
    rotation[:, b, a] = angle.sin()
    rotation[:, a, b] = -angle.sin()
    return rotation  # (n, n_sides, n_sides)


def crop_and_flip(
    images: Tensor,
    generator: torch.Generator,
    smallest: float = 0.3,
    size: float = 1.0,
    flip: float = 0.5,
) -> Tensor:
    """Cut a random box out of each image, flip some of the boxes, and resize them.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)
    generator : torch.Generator
    smallest : float, default=0.3
        Smallest area of the box, as a fraction of the image.
    size : float, default=1.0
        Sides of the result, as a fraction of the sides of the image. At 0.75, objects in a box of
        average area keep their size.
    flip : float, default=0.5
        Probability that the last axis is flipped.
    """
    n = len(images)
    area = smallest + (1 - smallest) * _uniform(n, 1, generator)
    log_aspect = _symmetric(n, 1, generator) * math.log(4 / 3) / 2
    box = area.sqrt() * torch.cat([log_aspect.exp(), (-log_aspect).exp()], 1)
    box = box.clamp(max=1)  # (n, 2): width, height
    center = (1 - box) * _symmetric(n, 2, generator)
    sign = 1 - 2 * (_uniform(n, 1, generator) < flip).to(box.dtype)
    box = torch.cat([box[:, :1] * sign, box[:, 1:]], 1)
    theta = torch.cat([torch.diag_embed(box), center[:, :, None]], 2)  # (n, 2, 3)
    sides = [round(size * side) for side in images.shape[2:]]
    return _resample(images, theta, sides)


def jitter_colors(
    images: Tensor,
    generator: torch.Generator,
    strength: float = 0.4,
    gray: float = 0.2,
    tint: float = 0.2,
) -> Tensor:
    """Change the colour of the light, brightness, contrast and saturation; make some images grey.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)
        Standardised, so that a change of brightness is measured in standard deviations.
    generator : torch.Generator
    strength : float, default=0.4
        Largest relative change of brightness, contrast and saturation, in both directions.
    gray : float, default=0.2
        Probability that an image becomes grey.
    tint : float, default=0.2
        Largest relative change of each channel by itself, and its largest shift, in both
        directions. Otherwise the mean colour of a view would say too much about the image.
    """
    n, n_channels = images.shape[:2]
    draws = _uniform(n, 4 + 2 * n_channels, generator)[:, :, None, None]
    is_gray, changes = draws[:, :1] < gray, 2 * draws[:, 1:] - 1
    brightness, contrast, saturation = (strength * changes[:, :3]).split(1, 1)  # each (n, 1, 1, 1)
    gain, shift = (tint * changes[:, 3:]).chunk(2, 1)  # each (n, channels, 1, 1)
    saturation = torch.where(is_gray, -1.0, saturation)
    images = torch.addcmul(shift, images, 1 + gain)
    images = torch.lerp(images.mean(1, keepdim=True), images, 1 + saturation)
    return _change(images, contrast, brightness)


def jitter_contrast(images: Tensor, generator: torch.Generator, strength: float = 0.4) -> Tensor:
    """Change brightness and contrast.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)
        Standardised, so that a change of brightness is measured in standard deviations.
    generator : torch.Generator
    strength : float, default=0.4
        Largest relative change of either, in both directions.
    """
    changes = _symmetric(len(images), 2, generator)[:, :, None, None, None] * strength
    brightness, contrast = changes.unbind(1)  # each (n, 1, 1, 1)
    return _change(images, contrast, brightness)


def _change(images: Tensor, contrast: Tensor, brightness: Tensor) -> Tensor:
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + (images - mean) * (1 + contrast) + brightness


def augment_signals(signals: Tensor, generator: torch.Generator) -> Tensor:
    """Make the default views of signals: crop, stretch and warp in time, scale, and add noise.

    Parameters
    ----------
    signals : Tensor of shape (n, channels, length)
    generator : torch.Generator

    Returns
    -------
    signals : Tensor of the same shape
    """
    return jitter_amplitudes(crop_and_warp(signals, generator), generator)


def crop_and_warp(
    signals: Tensor, generator: torch.Generator, smallest: float = 0.6, warp: float = 0.2
) -> Tensor:
    """Cut out a random interval, and resample it to full length at a varying speed.

    Signals that end in NaN, in all channels at the same time, keep their length.

    Parameters
    ----------
    signals : Tensor of shape (n, channels, length)
    generator : torch.Generator
    smallest : float, default=0.6
        Shortest interval, as a fraction of the signal.
    warp : float, default=0.2
        Standard deviation of the logarithm of the speed. The speed changes about four times.
    """
    n, _, length = signals.shape
    last = (~signals[:, 0].isnan()).sum(1, keepdim=True) - 1  # (n, 1), index of the last point
    fraction = smallest + (1 - smallest) * _uniform(n, 1, generator)
    start = (1 - fraction) * _uniform(n, 1, generator)
    speed = (warp * torch.randn(n, 1, 5, generator=generator, device=generator.device)).exp()
    speed = functional.interpolate(speed, length, mode="linear", align_corners=True)[:, 0]
    time = _cumulative_sum(speed)
    time = (time - time[:, :1]) / (time.gather(1, last) - time[:, :1])  # (n, length), 0 to 1
    position = (start + fraction * time) * last
    before = torch.minimum(position.floor().long(), last - 1)
    weight = (position - before)[:, None]  # (n, 1, length)
    weight = weight.masked_fill((time > 1)[:, None], torch.nan)
    before = before[:, None].expand(signals.shape)
    return signals.gather(2, before) * (1 - weight) + signals.gather(2, before + 1) * weight


def jitter_amplitudes(
    signals: Tensor, generator: torch.Generator, scale: float = 0.2, noise: float = 0.1
) -> Tensor:
    """Scale each channel and add white noise.

    Parameters
    ----------
    signals : Tensor of shape (n, channels, length)
        Standardised, so that noise is measured in standard deviations.
    generator : torch.Generator
    scale : float, default=0.2
        Largest relative change of each channel, in both directions.
    noise : float, default=0.1
        Standard deviation of the noise.
    """
    n, n_channels, _ = signals.shape
    gain = 1 + scale * _symmetric(n, n_channels, generator)
    white_noise = torch.randn(signals.shape, generator=generator, device=generator.device)
    return gain[:, :, None] * signals + noise * white_noise


def augment_oscillations(signals: Tensor, generator: torch.Generator) -> Tensor:
    """Make the default views of signals that are long and oscillate, such as audio.

    They are cut, resampled a little, filtered, made louder or quieter, and disturbed by noise.

    Parameters
    ----------
    signals : Tensor of shape (n, channels, length)
    generator : torch.Generator

    Returns
    -------
    signals : Tensor of the same shape
    """
    views = equalize(crop_and_warp(signals, generator, smallest=0.85, warp=0.1), generator)
    level = 0.4 * 10 ** -_uniform(len(views), 1, generator)  # of the noise
    white_noise = torch.randn(views.shape, generator=generator, device=generator.device)
    return views + level[:, :, None] * white_noise


def equalize(
    signals: Tensor, generator: torch.Generator, strength: float = 0.4, level: float = 0.7
) -> Tensor:
    """Change the level of each channel, and its balance of low and high frequencies.

    Signals that end in NaN, in all channels at the same time, keep their length.

    Parameters
    ----------
    signals : Tensor of shape (n, channels, length)
    generator : torch.Generator
    strength : float, default=0.4
        Standard deviation of the logarithm of the gain at nine frequencies from zero to the
        highest. Between them, the logarithm is interpolated.
    level : float, default=0.7
        Largest change of the logarithm of the gain at all frequencies, in both directions.
    """
    n, n_channels, length = signals.shape
    has_ended = signals.isnan()
    spectrum = torch.fft.rfft(signals.masked_fill(has_ended, 0.0))
    knots = torch.randn(n, n_channels, 9, generator=generator, device=generator.device)
    log_gain = functional.interpolate(
        strength * knots, spectrum.shape[2], mode="linear", align_corners=True
    )
    log_gain = log_gain + level * _symmetric(n, n_channels, generator)[:, :, None]
    filtered = torch.fft.irfft(spectrum * log_gain.exp(), length)
    return filtered.masked_fill(has_ended, torch.nan)


def swap_cells(
    rows: Tensor,
    generator: torch.Generator,
    probability: float = 0.25,
    column_groups: tuple[tuple[int, ...], ...] = (),
) -> Tensor:
    """Replace cells by the value of the same column in a random row of the batch.

    Parameters
    ----------
    rows : Tensor of shape (n, n_columns)
    generator : torch.Generator
    probability : float, default=0.25
        Probability that a cell is replaced.
    column_groups : tuple of tuple of int, default=()
        Columns whose cells are replaced together, by cells of the same row.
    """
    n, n_columns = rows.shape
    donors = torch.randint(n, rows.shape, generator=generator, device=generator.device)
    swapped = _uniform(n, n_columns, generator) < probability
    for first, *others in column_groups:  # the group follows its first column
        for other in others:  # one by one: lists of columns would be copied to the device
            donors[:, other] = donors[:, first]
            swapped[:, other] = swapped[:, first]
    return torch.where(swapped, rows.gather(0, donors), rows)


def jitter_cells(rows: Tensor, generator: torch.Generator, noise: float = 0.3) -> Tensor:
    """Make the default views of rows of a table: add white noise.

    Parameters
    ----------
    rows : Tensor of shape (n, n_columns)
        Standardised, so that noise is measured in standard deviations.
    generator : torch.Generator
    noise : float, default=0.3
        Standard deviation of the noise.
    """
    return rows + noise * torch.randn(rows.shape, generator=generator, device=generator.device)


def _cumulative_sum(x: Tensor) -> Tensor:
    """Cumulative sums of rows (n, length); CUDA's kernel does not repeat bit for bit."""
    if x.device.type == "cpu" or not torch.are_deterministic_algorithms_enabled():
        return x.cumsum(1)
    step = 1
    while step < x.shape[1]:  # each entry is a sum of the last ``step`` ones
        x = torch.cat([x[:, :step], x[:, step:] + x[:, :-step]], 1)
        step *= 2
    return x


def _uniform(n: int, k: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n, k, generator=generator, device=generator.device)


def _symmetric(n: int, k: int, generator: torch.Generator) -> Tensor:
    return 2 * _uniform(n, k, generator) - 1


def _resample(images: Tensor, theta: Tensor, sides: list[int]) -> Tensor:
    shape = [*images.shape[:2], *sides]
    grid = functional.affine_grid(theta, shape, align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
