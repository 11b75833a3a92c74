"""Starts: one Gaussian per voxel that carries mass, at the convex optimum; or Gaussians at random, as in the paper."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gemmap.errors import NumericsError
from gemmap.fit.copies import ALONE, Copies
from gemmap.fit.normal import NormalEquations
from gemmap.fit.parameters import Parameters

#: Mass that may be left out: the tail of nearly empty voxels would cost most of the Gaussians.
DROPPED_MASS = 1e-3
#: Default number of Gaussians per voxel of the particle sphere.
GAUSSIANS_PER_VOXEL = 0.3
#: Random offsets that Gaussians on voxels share: a prime, so that neighbours along no axis have the same one.
_OFFSETS = 10007


def default_count(radius_px: float) -> int:
    """Upper bound on the number of Gaussians, from the particle's volume in voxels."""
    return max(1000, int(GAUSSIANS_PER_VOXEL * 4.0 / 3.0 * math.pi * radius_px**3))


@dataclass(frozen=True)
class VoxelStart:
    """What Gaussians are made of: voxels u of a blob, the price of mass, how many at most, and a seed.

    With ``copies`` they are those of an asymmetric unit; the bound counts copies too.
    """

    u: Float[Tensor, "d d d"]
    blob_px: float
    price: float
    count: int
    seed: int
    copies: Copies = ALONE

    def on_voxels(self) -> Parameters:
        """Gaussians on the voxels that carry mass."""
        most = max(1, self.count // len(self.copies))
        return from_voxels(self.copies.asymmetric_unit(self.u), self.blob_px, most, self.seed)


def from_voxels(u: Float[Tensor, "d d d"], blob_px: float, count: int, seed: int) -> Parameters:
    """At most ``count`` Gaussians of width ``blob_px`` on the heaviest voxels of u, masses as the voxels, total kept.

    Centres get a random offset of 0.01 voxel (from the seed): on the exact lattice, derivatives of neighbours are
    tied by symmetry. The offset belongs to the voxel, not to its place in the order of masses, which rounding may
    change.

    Raises
    ------
    NumericsError
        If no voxel carries mass.
    """
    size = u.shape[0]
    flat = u.ravel()
    order = torch.argsort(flat, descending=True)
    running = torch.cumsum(flat[order].double(), 0)
    wanted = int(torch.searchsorted(running, (1.0 - DROPPED_MASS) * running[-1])) + 1
    rows = order[: min(wanted, count, int((flat > 0).sum()))]
    if len(rows) == 0:
        raise NumericsError(
            "No Gaussian is left: no voxel of the fitted region carries mass; check poses, CTFs, --mask and --invert."
        )
    masses = flat[rows]
    masses = masses * float(running[-1] / masses.double().sum().clamp_min(1e-30))
    centres = _positions(rows, size).to(u.dtype)
    offsets = torch.randn((_OFFSETS, 3), generator=torch.Generator().manual_seed(seed))
    centres = centres + 0.01 * offsets.to(u.device)[rows % _OFFSETS]
    n = len(rows)
    quaternions = torch.zeros((n, 4), device=u.device)
    quaternions[:, 0] = 1.0
    return Parameters(
        centres.contiguous(), torch.full((n, 3), math.log(blob_px), device=u.device), quaternions, masses.log()
    )


def at_random(
    equations: NormalEquations, window: Float[Tensor, "d d d"], count: int, seed: int, copies: Copies = ALONE
) -> Parameters:
    """``count`` equal round Gaussians drawn evenly from the region, as the paper starts; ``copies`` complete them.

    ``window`` says where, 0 to 1. Their standard deviation is half the spacing that fills the region; their mass is the
    one that explains the data best, <b, V> / <V, KV> for one unit.

    Raises
    ------
    NumericsError
        If that mass is not positive: the contrast is inverted, or there is no signal.
    """
    device, dtype = equations.data.device, equations.data.dtype
    generator = torch.Generator().manual_seed(seed)
    running = torch.cumsum(window.ravel().double().cpu(), 0)
    drawn = torch.rand(count, generator=generator, dtype=torch.float64) * running[-1]
    voxels = _positions(torch.searchsorted(running, drawn, right=True).clamp_max(len(running) - 1), equations.size)
    centres = (voxels + torch.rand((count, 3), generator=generator) - 0.5).to(device, dtype)
    spacing = float(running[-1] / (count * len(copies))) ** (1.0 / 3.0)
    log_scales = torch.full((count, 3), math.log(max(0.5 * spacing, 0.5)), device=device, dtype=dtype)
    quaternions = torch.zeros((count, 4), device=device, dtype=dtype)
    quaternions[:, 0] = 1.0
    unit = Parameters(centres, log_scales, quaternions, torch.zeros(count, device=device, dtype=dtype))
    volume = copies.expand(unit).voxelize(equations.size)
    mass = float((equations.data * volume).sum() / (equations.apply(volume) * volume).sum().clamp_min(1e-30))
    if not mass > 0:
        raise NumericsError(
            f"Gaussians spread over the particle would need the mass {mass:.3g}: the images hold no signal there, or "
            "their contrast is inverted; check poses, CTFs and --invert."
        )
    return Parameters(centres, log_scales, quaternions, unit.log_masses + math.log(mass))


def _positions(rows: Int[Tensor, " n"], size: int) -> Int[Tensor, "n 3"]:
    """Positions xyz from the origin of voxels given by their place in a raveled cube."""
    z, rest = rows // (size * size), rows % (size * size)
    return torch.stack([rest % size, rest // size, z], dim=1) - size // 2
