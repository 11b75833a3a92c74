"""Gaussians of an asymmetric unit and their copies under the particle's point group.

Only the unit has parameters. It is expanded before a map or images are made of it, so those are symmetric whatever the
parameters are, and derivatives of the copies are collected back.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor

from gemmap.fit.parameters import Parameters
from gemmap.geometry.symmetry import NO_SYMMETRY, PointGroup

#: Width in voxels of the seams between asymmetric units, in which a voxel is shared by them. Copies of a lattice of
#: voxels do not fall on that lattice: with sharp seams there would be gaps and double density (docs/decisions.md).
SEAM_PX = 0.7
#: Directions tried for the middle of the asymmetric unit.
_DIRECTIONS = 2000


@dataclass(frozen=True, eq=False)
class Copies:
    """The copies that a group makes: copy g of Gaussian j of a unit of n is number g n + j; the first n are the unit.

    Attributes
    ----------
    rotations, quaternions
        (g, 3, 3) and (g, 4) wxyz, of the group.
    """

    rotations: Float[Tensor, "g 3 3"]
    quaternions: Float[Tensor, "g 4"]

    @classmethod
    def of(cls, group: PointGroup, device: torch.device) -> "Copies":
        """Copies under a group, for parameters on a device."""
        quaternions = np.roll(Rotation.from_matrix(group.rotations).as_quat(), 1, axis=1)
        return cls(*(torch.from_numpy(a.copy()).to(device, torch.float32) for a in (group.rotations, quaternions)))

    def __len__(self) -> int:
        return len(self.rotations)

    def expand(self, unit: Parameters) -> Parameters:
        """The unit and its copies; the unit itself if the group is trivial."""
        if len(self) == 1:
            return unit
        return Parameters(
            torch.einsum("gij,nj->gni", self.rotations, unit.centres).reshape(-1, 3).contiguous(),
            unit.log_scales.repeat(len(self), 1),
            _product(self.quaternions[:, None], unit.quaternions[None]).reshape(-1, 4).contiguous(),
            unit.log_masses.repeat(len(self)),
        )

    def collect(self, slopes: list[Tensor]) -> list[Tensor]:
        """Derivatives with respect to the four tensors of the unit from those of all copies."""
        if len(self) == 1:
            return slopes
        centres, log_scales, quaternions, log_masses = (s.reshape(len(self), -1, *s.shape[1:]) for s in slopes)
        conjugate = self.quaternions * self.quaternions.new_tensor([1.0, -1.0, -1.0, -1.0])
        return [
            torch.einsum("gij,gni->nj", self.rotations, centres),
            log_scales.sum(0),
            # q -> r q is a rotation of the four numbers of q; its transpose multiplies by the conjugate of r.
            _product(conjugate[:, None], quaternions).sum(0),
            log_masses.sum(0),
        ]

    def asymmetric_unit(self, u: Float[Tensor, "d d d"]) -> Float[Tensor, "d d d"]:
        """The part of symmetric voxels of which the copies make up the whole.

        Every voxel belongs to the copy whose middle is next to it; across the seams its share falls to 0 in a straight
        line, and all its shares sum to 1.
        """
        if len(self) == 1:
            return u
        index = torch.nonzero(u)
        position = (index.flip(1) - u.shape[0] // 2).to(self.rotations.dtype)
        directions, separation = self._middles()
        width = SEAM_PX * separation
        # Of no more memory than a few numbers a voxel, however many copies there are.
        nearest = torch.full_like(position[:, 0], -torch.inf)
        for direction in directions:
            torch.maximum(nearest, position @ direction, out=nearest)
        total = torch.zeros_like(nearest)
        for direction in directions:
            total += (1.0 - (nearest - position @ direction) / width).clamp_min_(0.0)
        own = (1.0 - (nearest - position @ directions[0]) / width).clamp_min_(0.0)
        out = torch.zeros_like(u)
        rows = tuple(index.unbind(1))
        out[rows] = u[rows] * (own / total).to(u.dtype)
        return out

    def _middles(self) -> tuple[Float[Tensor, "g 3"], float]:
        """Directions of the middles of all copies, the unit's first, as far from each other as can be; and how far."""
        n = torch.arange(_DIRECTIONS, dtype=torch.float64) + 0.5
        z, angle = 1.0 - 2.0 * n / _DIRECTIONS, torch.pi * (1.0 + 5.0**0.5) * n  # evenly on the sphere
        across = (1.0 - z * z).sqrt()
        points = torch.stack([across * angle.cos(), across * angle.sin(), z], 1).to(self.rotations)
        moved = torch.einsum("gij,nj->gni", self.rotations, points)
        distance = (moved[1:] - points).norm(dim=2).amin(0)
        best = int(distance.argmax())
        return moved[:, best], float(distance[best])


#: Of a particle without symmetry.
ALONE = Copies.of(NO_SYMMETRY, torch.device("cpu"))


def _product(a: Float[Tensor, "*b 4"], b: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 4"]:
    """Product of quaternions wxyz."""
    w, v = a[..., :1], a[..., 1:]
    s, u = b[..., :1], b[..., 1:]
    scalar = w * s - (v * u).sum(-1, keepdim=True)
    return torch.cat([scalar, w * u + s * v + torch.linalg.cross(v, u)], -1)
