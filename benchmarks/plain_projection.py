"""The images engine in plain torch with autograd: what it takes without kernels of its own.

Written as carefully as torch allows: every Gaussian is evaluated on a square window just large enough for its support,
Gaussians of one window size at a time and few enough that the temporaries stay in the cache, and added with
``index_add``. The derivatives are autograd's. ``dense_project`` evaluates every Gaussian at every pixel.
"""

import math
from typing import TypeAlias

import torch
from torch import Tensor

from gemmap.fit.image_loss import ImageBatch
from gemmap.geometry.grids import half_plane_frequencies, shell_index
from gemmap.physics.image_model import transfer

#: Centres, scales, quaternions and masses; lengths in pixels.
Geometry: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]

#: Pixels of windows that are evaluated at a time; of 2^16 to 2^22 the fastest on a core with 2 MB of cache.
PIXELS_AT_A_TIME = 2**18


def rotation_matrices(quaternions: Tensor) -> Tensor:
    """Matrices (n, 3, 3) of wxyz quaternions of any length."""
    w, x, y, z = torch.nn.functional.normalize(quaternions, dim=1).unbind(1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, 1).reshape(-1, 3, 3)


def view(geometry: Geometry, rotation: Tensor, shift: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Centres in pixels (n, 2), covariances (n, 2, 2) of the Gaussians in an image, and heights."""
    centres, scales, quaternions, masses = geometry
    seen = centres @ rotation[:2].T - shift + size // 2
    b = rotation[:2] @ (rotation_matrices(quaternions) * scales[:, None])
    covariances = b @ b.mT
    return seen, covariances, masses / (2 * math.pi * torch.linalg.det(covariances).sqrt())


def square_distances(x: Tensor, y: Tensor, covariances: Tensor) -> Tensor:
    """Squared Mahalanobis distances (n, h, w) of offsets x (n, w) and y (n, h)."""
    xx, xy, yy = covariances[:, 0, 0], covariances[:, 0, 1], covariances[:, 1, 1]
    det = xx * yy - xy * xy
    of_x, of_y = (yy / det)[:, None] * x * x, (xx / det)[:, None] * y * y
    return of_x[:, None] + of_y[:, :, None] - ((2 * xy / det)[:, None] * x)[:, None] * y[:, :, None]


def plain_project(geometry: Geometry, rotation: Tensor, shift: Tensor, size: int, cut: float = 3.5) -> Tensor:
    """One image (size, size) of Gaussians."""
    seen, covariances, heights = view(geometry, rotation, shift, size)
    with torch.no_grad():
        reach = torch.ceil(cut * torch.diagonal(covariances, dim1=1, dim2=2).amax(1).sqrt()).long()
    # A frame of one pixel takes what falls outside.
    image = torch.zeros((size + 2) ** 2)
    for half in torch.unique(reach).tolist():
        window = torch.arange(-half, half + 1)
        for rows in torch.nonzero(reach == half)[:, 0].split(max(1, PIXELS_AT_A_TIME // len(window) ** 2)):
            pixels = seen[rows].detach().round().long()[:, :, None] + window
            offsets = pixels - seen[rows, :, None]
            square = square_distances(offsets[:, 0], offsets[:, 1], covariances[rows])
            values = heights[rows, None, None] * torch.exp(-0.5 * square) * (square <= cut * cut)
            columns, lines = (pixels.clamp(-1, size) + 1).unbind(1)
            flat = lines[:, :, None] * (size + 2) + columns[:, None]
            image = image.index_add(0, flat.flatten(), values.flatten())
    return image.reshape(size + 2, size + 2)[1:-1, 1:-1]


def dense_project(geometry: Geometry, rotation: Tensor, shift: Tensor, size: int, cut: float = 3.5) -> Tensor:
    """The same image, every Gaussian at every pixel."""
    seen, covariances, heights = view(geometry, rotation, shift, size)
    offsets = torch.arange(size) - seen[:, :, None]
    square = square_distances(offsets[:, 0], offsets[:, 1], covariances)
    return (heights[:, None, None] * torch.exp(-0.5 * square) * (square <= cut * cut)).sum(0)


def plain_loss(projection: Tensor, batch: ImageBatch, place: int, weights: Tensor) -> Tensor:
    """Loss of one image of a batch: 1/2 sum weights |c CTF P - Y|^2 over the half-plane."""
    ctf = transfer(batch.coefficients[place : place + 1], batch.box_px)[0].to(projection.dtype)
    residual = batch.scales[place] * ctf * torch.fft.rfft2(projection) - torch.fft.rfft2(batch.images[place])
    return 0.5 * (weights * (residual.real.square() + residual.imag.square())).sum()


def plain_slopes(parameters: tuple[Tensor, ...], batch: ImageBatch, rotations: Tensor, shifts: Tensor) -> list[Tensor]:
    """Derivatives of the loss of a batch by centres, log scales, quaternions and log masses, image by image."""
    size = batch.box_px
    ky, kx = half_plane_frequencies(size)
    mates = torch.from_numpy((4 * (ky**2 + kx**2) < size**2) * (2.0 - (kx == 0))).float()
    shells = torch.from_numpy(shell_index(size, 2)).clamp(max=size // 2)
    leaves = [p.detach().requires_grad_() for p in parameters]
    for place in range(len(rotations)):
        geometry = leaves[0], leaves[1].exp(), leaves[2], leaves[3].exp()
        projection = plain_project(geometry, rotations[place], shifts[place], size)
        plain_loss(projection, batch, place, mates * batch.inverse_noise[place][shells]).backward()  # type: ignore[no-untyped-call]
    return [leaf.grad for leaf in leaves if leaf.grad is not None]
