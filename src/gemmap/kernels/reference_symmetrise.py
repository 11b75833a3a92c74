"""The readable definition of the sum over rotations of the grid, in plain torch."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


@torch.no_grad()
def symmetrise(
    volume: Float[Tensor, "m m h2 3"], rotations: Int[Tensor, "n 3 3"], out: Float[Tensor, "m m h2 3"]
) -> None:
    """Fill ``out`` with the sum over rotations R of the complete half-complex volume at R k.

    Entries of the rotations are -1, 0 and 1, one of them in each row. A point with x < 0 is read at minus its position,
    conjugated. Points at a radius of M/2 + 1 or more are not read: slices end at M/2 - 1, and their
    neighbours less than 2 beyond.
    """
    m, device = len(volume), volume.device
    axis = torch.arange(-(m // 2) + 1, m // 2, device=device)
    z, y, x = torch.meshgrid(axis, axis, axis[m // 2 - 1 :], indexing="ij")
    k = torch.stack([x, y, z], -1)[x**2 + y**2 + z**2 < (m // 2 + 1) ** 2]
    conjugate = torch.tensor([1, -1, 1], dtype=volume.dtype, device=device)
    out.zero_()
    for rotation in rotations:
        # Whole numbers: exact in the float64 that every device multiplies matrices in.
        moved = (k.double() @ rotation.double().T).long()
        mirrored = moved[:, :1] < 0
        moved = torch.where(mirrored, -moved, moved)
        values = volume[moved[:, 2] % m, moved[:, 1] % m, moved[:, 0]]
        out[k[:, 2] % m, k[:, 1] % m, k[:, 0]] += torch.where(mirrored, values * conjugate, values)
