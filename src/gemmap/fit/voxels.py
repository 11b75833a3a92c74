"""Non-negative voxels: the convex second baseline, and the start of the Gaussians.

Minimise 1/2 V'KV - b'V + penalty sum(u) over V = blob * u, u >= 0 inside the region, by FISTA with restarts (Beck &
Teboulle 2009; O'Donoghue & Candes 2015). No seed, no learning rate. The penalty is counted in standard deviations of
(blob * b) under white noise, so the same number means the same at every dose and in every unit.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gemmap.fit.convolution import convolve
from gemmap.fit.normal import NormalEquations

#: Density at the outer end of the region's soft edge costs this many times more, so that noise fades out there instead
#: of ending on a sphere that both halves share.
EDGE_PENALTY = 3.0


@dataclass(frozen=True)
class VoxelSettings:
    """Width of the blob in voxels, penalty in noise standard deviations, number of iterations."""

    blob_px: float = 0.5
    penalty: float = 1.0
    iterations: int = 20


def blob_transform(
    size: int, sigma_px: float, device: torch.device
) -> tuple[Float[Tensor, " h"], Float[Tensor, " m"], Float[Tensor, " m"]]:
    """Transform of a normalised isotropic Gaussian at the origin, on a grid of side ``size``: its factors x, y, z."""
    x, y = torch.fft.rfftfreq(size, device=device), torch.fft.fftfreq(size, device=device)
    along_x, along_y = (torch.exp(-2.0 * (math.pi * sigma_px * f) ** 2) for f in (x, y))
    return along_x, along_y, along_y


def noise_of_blob(equations: NormalEquations, sigma_px: float) -> float:
    """Standard deviation of (blob * b) per voxel under white noise."""
    x, y, z = blob_transform(equations.grid, sigma_px, equations.kernel.device)
    both = torch.full_like(x, 2.0, dtype=torch.float64)
    both[0] = both[-1] = 1.0
    smooth = (equations.kernel @ z.square() @ y.square()).mul(x.square()).double()
    return math.sqrt(float((smooth * both).sum() / (equations.kernel.sum((1, 2), dtype=torch.float64) * both).sum()))


def blur(volume: Float[Tensor, "d d d"], sigma_px: float, grid: int) -> Float[Tensor, "d d d"]:
    """Return blob * u, computed on a zero-padded grid."""
    return convolve(volume, blob_transform(grid, sigma_px, volume.device))


def fit_voxels(
    equations: NormalEquations,
    region: Float[Tensor, "d d d"],
    settings: VoxelSettings,
    watch: Callable[[int, Float[Tensor, "d d d"]], None] | None = None,
) -> Float[Tensor, "d d d"]:
    """Return u >= 0 (the map is blob * u), zero where ``region`` is zero.

    ``watch(iteration, u)`` is called after every iteration; ``u`` changes after that.
    """
    blob = blob_transform(equations.grid, settings.blob_px, equations.kernel.device)
    level = settings.penalty * noise_of_blob(equations, settings.blob_px)
    price = level * (1.0 + EDGE_PENALTY * (1.0 - region))
    linear = convolve(equations.data, blob, equations.room).sub_(price)
    x, y, z = (factor.square() for factor in blob)
    kernel = (equations.kernel * z).mul_(y[:, None]).mul_(x[:, None, None])
    step = 1.0 / float(kernel.max())
    inside = (region > 0).to(linear.dtype)
    u, new, y, room = torch.zeros_like(linear), torch.empty_like(linear), torch.zeros_like(linear), equations.room
    # Cubes are as large as they are many: each has its place, and the descent shares that of the change.
    change, t = torch.empty_like(linear), 1.0
    for iteration in range(1, settings.iterations + 1):
        if iteration > 1:
            descent = convolve(y, kernel, room, change).sub_(linear)
        else:
            descent = torch.neg(linear, out=change)
        torch.add(y, descent, alpha=-step, out=new).clamp_min_(0.0).mul_(inside)
        overshoot = torch.sub(y, new, out=y)
        torch.sub(new, u, out=change)
        if float(torch.sum(overshoot.mul_(change))) > 0.0:
            t = 1.0
        t_next = 0.5 * (1.0 + math.sqrt(1.0 + 4.0 * t * t))
        torch.add(new, change, alpha=(t - 1.0) / t_next, out=y)
        u, new, t = new, u, t_next
        if watch is not None:
            watch(iteration, u)
    return u
