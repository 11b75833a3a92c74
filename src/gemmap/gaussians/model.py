"""The Gaussian set as a value: 11 numbers each, masses instead of peaks.

V(x) = sum_j mass_j N3(x; centre_j, S_j), S_j = R(q_j) diag(scale_j^2) R(q_j)^T, N3 the normalised Gaussian. A
projection of a normalised Gaussian is again normalised, so no determinant ratio appears. The grey value of a voxel is
V(x) times the voxel's volume, so that the sum over voxels is the sum of the masses (RELION's grey values).
"""

from dataclasses import dataclass, fields
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

from gemmap.errors import InputError


@dataclass(frozen=True, eq=False)
class Gaussians:
    """n Gaussians in Å, origin at the centre of the map (voxel N//2).

    Attributes
    ----------
    centres_a
        (n, 3), xyz in Å from the map's origin.
    scales_a
        (n, 3), standard deviations along the three own axes, Å, > 0.
    quaternions
        (n, 4), wxyz, unit length; R(q) takes own axes to map axes.
    masses
        (n,), integral over space in grey values; positive for matter, negative where solvent is displaced.
    """

    centres_a: Float[Tensor, "n 3"]
    scales_a: Float[Tensor, "n 3"]
    quaternions: Float[Tensor, "n 4"]
    masses: Float[Tensor, " n"]

    def __post_init__(self) -> None:
        n = len(self.masses)
        for name, width in (("centres_a", 3), ("scales_a", 3), ("quaternions", 4)):
            shape = tuple(getattr(self, name).shape)
            if shape != (n, width):
                raise InputError(f"Gaussians: {name} has shape {shape}; expected ({n}, {width}).")

    def __len__(self) -> int:
        return len(self.masses)

    def select(self, rows: Tensor) -> Self:
        """Return the Gaussians of the given rows."""
        return type(self)(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @classmethod
    def concatenate(cls, *parts: "Gaussians") -> Self:
        """Return one set holding all Gaussians of the parts, in order."""
        return cls(**{f.name: torch.cat([getattr(p, f.name) for p in parts]) for f in fields(cls)})
