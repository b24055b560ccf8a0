"""Augmentation: changes of geometry, and the corruption that cameras and files bring.

Every function takes and returns a batch (n, 1, 48, 48) of floats in [0, 1] and works on the batch's device. Random
numbers come from the CPU, from the generator that is handed in: a seed gives the same faces on every device, which a
GPU's own generator would not, and no step has to wait for the GPU.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

JPEG_LUMINANCE = (  # ITU-T T.81 (1992), table K.1
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


def uniform(x: Tensor, low: float, high: float, rng: Generator) -> Tensor:
    """A number between `low` and `high` for each face, on the device of the faces."""
    return _on_device(x, torch.rand(len(x), generator=rng) * (high - low) + low)


def _on_device(x: Tensor, drawn: Tensor) -> Tensor:
    """`drawn` on the device of `x`, copied without waiting."""
    return drawn.to(x.device, non_blocking=True)


def affine(x: Tensor, rng: Generator, *, rotation: float, zoom: float, shift: float, flip: bool) -> Tensor:
    """Turn by up to ±`rotation` degrees, scale by up to 1 + `zoom` either way, shift by up to ±`shift` of the side."""
    n = len(x)
    angle = uniform(x, -rotation, rotation, rng) * (math.pi / 180)
    scale = uniform(x, -math.log1p(zoom), math.log1p(zoom), rng).exp()
    mirror = 1.0 - 2.0 * (uniform(x, 0, 1, rng) < 0.5) if flip else torch.ones_like(scale)
    cos, sin = angle.cos() / scale, angle.sin() / scale
    right, down = uniform(x, -2 * shift, 2 * shift, rng), uniform(x, -2 * shift, 2 * shift, rng)
    theta = torch.stack([cos * mirror, -sin, right, sin * mirror, cos, down], 1).view(n, 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def light(x: Tensor, rng: Generator, amount: float) -> Tensor:
    """Change contrast, brightness and gamma by up to `amount`; gamma reaches further into the dark."""
    n = len(x)
    contrast = uniform(x, 1 - amount, 1 + amount, rng).view(n, 1, 1, 1)
    brightness = uniform(x, -amount / 2, amount / 2, rng).view(n, 1, 1, 1)
    gamma = uniform(x, -amount, 2 * amount, rng).exp().view(n, 1, 1, 1)
    mean = x.mean((1, 2, 3), keepdim=True)
    return ((x - mean) * contrast + mean + brightness).clamp(1e-4, 1).pow(gamma)


def erase(x: Tensor, rng: Generator, share: float) -> Tensor:
    """Cover 2 % to 25 % of a `share` of the faces with a gray rectangle (Zhong et al. 2017, arXiv:1708.04896)."""
    n, side = len(x), x.shape[-1]
    area, ratio = uniform(x, 0.02, 0.25, rng), uniform(x, math.log(0.4), math.log(2.5), rng).exp()
    height, width = (area * ratio).sqrt(), (area / ratio).sqrt()
    top, left = uniform(x, 0, 1, rng) * (1 - height), uniform(x, 0, 1, rng) * (1 - width)
    line = (torch.arange(side, device=x.device) + 0.5) / side
    rows = (line >= top[:, None]) & (line < (top + height)[:, None])
    columns = (line >= left[:, None]) & (line < (left + width)[:, None])
    hit = (uniform(x, 0, 1, rng) < share)[:, None, None]
    covered = (rows[:, :, None] & columns[:, None, :] & hit)[:, None]
    return torch.where(covered, uniform(x, 0, 1, rng).view(n, 1, 1, 1), x)


def blur(x: Tensor, rng: Generator) -> Tensor:
    """A Gaussian blur of standard deviation 0.4 to 1.6 pixels, another for each face."""
    n, reach = len(x), 4
    sigma = uniform(x, 0.4, 1.6, rng)[:, None]
    line = torch.arange(-reach, reach + 1, device=x.device)
    kernel = (-(line**2) / (2 * sigma**2)).exp()
    kernel = kernel / kernel.sum(1, keepdim=True)
    faces = F.pad(x.view(1, n, *x.shape[2:]), (reach,) * 4, mode="replicate")
    faces = F.conv2d(faces, kernel.view(n, 1, -1, 1), groups=n)
    return F.conv2d(faces, kernel.view(n, 1, 1, -1), groups=n).view_as(x)


def shrink(x: Tensor, rng: Generator) -> Tensor:
    """Scale down to a side of 14 to 40 pixels and up again, as a small face in a picture is; one side for the batch."""
    side = int((torch.rand(1, generator=rng) * 27 + 14).item())
    small = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(small, size=x.shape[2:], mode="bilinear", align_corners=False)


def noise(x: Tensor, rng: Generator) -> Tensor:
    """Gaussian noise of standard deviation 0 to 0.1, another for each face."""
    sigma = uniform(x, 0, 0.1, rng).view(-1, 1, 1, 1)
    return (x + sigma * _on_device(x, torch.randn(x.shape, generator=rng))).clamp(0, 1)


def jpeg(x: Tensor, rng: Generator) -> Tensor:
    """What JPEG of quality 10 to 80 leaves of it: 8×8 cosine transforms, rounded to the quantisation table."""
    n, side = len(x), x.shape[-1]
    k = torch.arange(8, dtype=x.dtype)
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    basis, luminance = _on_device(x, basis), _on_device(x, torch.tensor(JPEG_LUMINANCE, dtype=x.dtype))
    quality = uniform(x, 10, 80, rng)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50).view(n, 1, 1, 1, 1)
    table = (luminance * scale).clamp(min=1)
    blocks = (x * 255 - 128).view(n, side // 8, 8, side // 8, 8).permute(0, 1, 3, 2, 4)
    cosines = (basis @ blocks @ basis.T / table).round() * table
    pixels = (basis.T @ cosines @ basis).permute(0, 1, 3, 2, 4).reshape(x.shape)
    return ((pixels + 128) / 255).clamp(0, 1)


def degrade(x: Tensor, rng: Generator, share: float) -> Tensor:
    """Blur, shrink, add noise to and compress a `share` of the batch each, chosen independently."""
    x = x.clone()
    for corrupt in (blur, shrink, noise, jpeg):
        hit = _on_device(x, (torch.rand(len(x), generator=rng) < share).nonzero().flatten())
        if len(hit):
            x[hit] = corrupt(x[hit], rng)
    return x
