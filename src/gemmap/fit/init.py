"""Gaussians from non-negative voxels: one per voxel that carries mass, so that the fit starts at the convex optimum."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from gemmap.fit.parameters import Parameters

#: Mass that may be left out: the tail of nearly empty voxels would cost most of the Gaussians.
DROPPED_MASS = 1e-3
#: Default number of Gaussians per voxel of the particle sphere.
GAUSSIANS_PER_VOXEL = 0.3


def default_count(radius_px: float) -> int:
    """Upper bound on the number of Gaussians, from the particle's volume in voxels."""
    return max(1000, int(GAUSSIANS_PER_VOXEL * 4.0 / 3.0 * math.pi * radius_px**3))


def from_voxels(u: Float[Tensor, "d d d"], blob_px: float, count: int, seed: int) -> Parameters:
    """At most ``count`` Gaussians of width ``blob_px`` on the heaviest voxels of u, masses as the voxels, total kept.

    Centres get a random offset of 0.01 voxel (from the seed): on the exact lattice, derivatives of neighbours are
    tied by symmetry.
    """
    size = u.shape[0]
    flat = u.ravel()
    order = torch.argsort(flat, descending=True)
    running = torch.cumsum(flat[order].double(), 0)
    wanted = int(torch.searchsorted(running, (1.0 - DROPPED_MASS) * running[-1])) + 1
    rows = order[: min(wanted, count, int((flat > 0).sum()))]
    masses = flat[rows]
    masses = masses * float(running[-1] / masses.double().sum().clamp_min(1e-30))
    z, rest = rows // (size * size), rows % (size * size)
    centres = torch.stack([rest % size, rest // size, z], dim=1).to(u.dtype) - size // 2
    generator = torch.Generator().manual_seed(seed)
    centres = centres + 0.01 * torch.randn(centres.shape, generator=generator).to(u.device)
    n = len(rows)
    quaternions = torch.zeros((n, 4), device=u.device)
    quaternions[:, 0] = 1.0
    return Parameters(
        centres.contiguous(), torch.full((n, 3), math.log(blob_px), device=u.device), quaternions, masses.log()
    )
