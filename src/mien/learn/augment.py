"""What may happen to a face before the network sees it: geometry, and the harm that cameras and detectors do.

Every function takes and gives a batch (n, 1, 48, 48) of floats in [0, 1] and works where the batch is. Chance is drawn
on the CPU, from the generator that is handed in: a seed gives the same faces on every device, which a GPU's own
generator would not, and no decision has to wait for the GPU.
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


def uniform(x: Tensor, low: float, high: float, chance: Generator) -> Tensor:
    """A number between `low` and `high` for each face, where the faces are."""
    return _beside(x, torch.rand(len(x), generator=chance) * (high - low) + low)


def _beside(x: Tensor, drawn: Tensor) -> Tensor:
    """`drawn` on the device of `x`; the copy waits for nothing."""
    return drawn.to(x.device, non_blocking=True)


def affine(x: Tensor, chance: Generator, *, rotation: float, zoom: float, shift: float, flip: bool) -> Tensor:
    """Turn by up to ±`rotation` degrees, scale by up to 1 + `zoom` either way, shift by up to ±`shift` of the side."""
    n = len(x)
    angle = uniform(x, -rotation, rotation, chance) * (math.pi / 180)
    scale = uniform(x, -math.log1p(zoom), math.log1p(zoom), chance).exp()
    mirror = 1.0 - 2.0 * (uniform(x, 0, 1, chance) < 0.5) if flip else torch.ones_like(scale)
    cos, sin = angle.cos() / scale, angle.sin() / scale
    right, down = uniform(x, -2 * shift, 2 * shift, chance), uniform(x, -2 * shift, 2 * shift, chance)
    theta = torch.stack([cos * mirror, -sin, right, sin * mirror, cos, down], 1).view(n, 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def light(x: Tensor, chance: Generator, amount: float) -> Tensor:
    """Change contrast, brightness and gamma by up to `amount`; gamma reaches further into the dark."""
    n = len(x)
    contrast = uniform(x, 1 - amount, 1 + amount, chance).view(n, 1, 1, 1)
    brightness = uniform(x, -amount / 2, amount / 2, chance).view(n, 1, 1, 1)
    gamma = uniform(x, -amount, 2 * amount, chance).exp().view(n, 1, 1, 1)
    mean = x.mean((1, 2, 3), keepdim=True)
    return ((x - mean) * contrast + mean + brightness).clamp(1e-4, 1).pow(gamma)


def erase(x: Tensor, chance: Generator, share: float) -> Tensor:
    """Cover 2 % to 25 % of a `share` of the faces with a gray rectangle (Zhong et al. 2017, arXiv:1708.04896)."""
    n, side = len(x), x.shape[-1]
    area, ratio = uniform(x, 0.02, 0.25, chance), uniform(x, math.log(0.4), math.log(2.5), chance).exp()
    height, width = (area * ratio).sqrt(), (area / ratio).sqrt()
    top, left = uniform(x, 0, 1, chance) * (1 - height), uniform(x, 0, 1, chance) * (1 - width)
    line = (torch.arange(side, device=x.device) + 0.5) / side
    rows = (line >= top[:, None]) & (line < (top + height)[:, None])
    columns = (line >= left[:, None]) & (line < (left + width)[:, None])
    hit = (uniform(x, 0, 1, chance) < share)[:, None, None]
    covered = (rows[:, :, None] & columns[:, None, :] & hit)[:, None]
    return torch.where(covered, uniform(x, 0, 1, chance).view(n, 1, 1, 1), x)


def blur(x: Tensor, chance: Generator) -> Tensor:
    """A Gaussian blur of standard deviation 0.4 to 1.6 pixels, another for each face."""
    n, reach = len(x), 4
    sigma = uniform(x, 0.4, 1.6, chance)[:, None]
    line = torch.arange(-reach, reach + 1, device=x.device)
    kernel = (-(line**2) / (2 * sigma**2)).exp()
    kernel = kernel / kernel.sum(1, keepdim=True)
    faces = F.pad(x.view(1, n, *x.shape[2:]), (reach,) * 4, mode="replicate")
    faces = F.conv2d(faces, kernel.view(n, 1, -1, 1), groups=n)
    return F.conv2d(faces, kernel.view(n, 1, 1, -1), groups=n).view_as(x)


def shrink(x: Tensor, chance: Generator) -> Tensor:
    """Scale down to a side of 14 to 40 pixels and up again, as a small face in a picture is; one side for the batch."""
    side = int((torch.rand(1, generator=chance) * 27 + 14).item())
    small = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(small, size=x.shape[2:], mode="bilinear", align_corners=False)


def noise(x: Tensor, chance: Generator) -> Tensor:
    """Gaussian noise of standard deviation 0 to 0.1, another for each face."""
    sigma = uniform(x, 0, 0.1, chance).view(-1, 1, 1, 1)
    return (x + sigma * _beside(x, torch.randn(x.shape, generator=chance))).clamp(0, 1)


def jpeg(x: Tensor, chance: Generator) -> Tensor:
    """What JPEG of quality 10 to 80 leaves of it: 8×8 cosine transforms, rounded to the quantisation table."""
    n, side = len(x), x.shape[-1]
    k = torch.arange(8, dtype=x.dtype)
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    basis, luminance = _beside(x, basis), _beside(x, torch.tensor(JPEG_LUMINANCE, dtype=x.dtype))
    quality = uniform(x, 10, 80, chance)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50).view(n, 1, 1, 1, 1)
    table = (luminance * scale).clamp(min=1)
    blocks = (x * 255 - 128).view(n, side // 8, 8, side // 8, 8).permute(0, 1, 3, 2, 4)
    cosines = (basis @ blocks @ basis.T / table).round() * table
    pixels = (basis.T @ cosines @ basis).permute(0, 1, 3, 2, 4).reshape(x.shape)
    return ((pixels + 128) / 255).clamp(0, 1)


def degrade(x: Tensor, chance: Generator, share: float) -> Tensor:
    """Blur, shrink, add noise to and compress a `share` of the batch each, chosen apart from one another."""
    x = x.clone()
    for harm in (blur, shrink, noise, jpeg):
        hit = _beside(x, (torch.rand(len(x), generator=chance) < share).nonzero().flatten())
        if len(hit):
            x[hit] = harm(x[hit], chance)
    return x
