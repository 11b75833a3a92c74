"""The readable definition of the one pass, in plain torch: weigh image transforms, insert them as slices.

Correct means: what these functions give. They run on any device and in float32 or float64, one image at a time where
that reads better; :mod:`gemmap.kernels.cpu_insert` does the same fast. All of them write into their last argument.
"""

import itertools

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from gemmap.geometry.grids import half_plane_frequencies, shell_index
from gemmap.physics.image_model import MODE, Mode, odd_turns, transfer


@torch.no_grad()
def prepare_slices(
    transforms: Complex[Tensor, "b d h"],
    coefficients: Float[Tensor, "b 33"],
    shifts: Float[Tensor, "b 2"],
    scales: Float[Tensor, " b"],
    group: Int[Tensor, " b"],
    inverse_noise: Float[Tensor, "g s"],
    out: Float[Tensor, "b d h 3"],
) -> None:
    """Fill ``out`` with (Re, Im, weight) of c T y exp(-i odd) exp(-2 pi i k.s) / sigma^2 and c^2 T^2 / sigma^2.

    Images that were multiplied by their CTF are T y already: they are not multiplied again.

    Parameters
    ----------
    transforms
        Plain rfft2 of the images y (origin at pixel 0); the result has its origin at D//2.
    coefficients, shifts, scales
        T and odd; s; c: :class:`gemmap.physics.image_model.ImageModel`.
    group, inverse_noise
        1/sigma^2 of image i in the shell of radius round(k) is ``inverse_noise[group[i], shell]``.
    out
        Axes (image, ky in FFT order, kx >= 0, component). Points at a radius of D/2 or more stay as they are.
    """
    d, device = out.shape[1], out.device
    ky, kx = (torch.from_numpy(k).to(device) for k in half_plane_frequencies(d))
    shell = torch.from_numpy(shell_index(d, 2)).to(device)
    inside = 4 * (kx**2 + ky**2) < d * d
    scale = scales[:, None, None]
    modelled = scale * transfer(coefficients, d)
    factor = torch.where(coefficients[:, MODE, None, None] == Mode.MULTIPLIED, scale, modelled)
    # Moving the content by +s and the origin to D//2: exp(-2 pi i k.s/D) exp(+2 pi i k.(D//2)/D).
    move = (d // 2) / d - shifts[:, :, None, None]
    turns = move[:, 0] * kx + move[:, 1] * ky - odd_turns(coefficients, d)
    centred = transforms * torch.exp(2j * torch.pi * turns)
    precision = inverse_noise[:, shell.clamp(max=d // 2)][group]
    values = torch.stack(
        [precision * factor * centred.real, precision * factor * centred.imag, precision * modelled**2], -1
    )
    out[:, inside] = values[:, inside].to(out.dtype)


@torch.no_grad()
def insert_slices(
    slices: Float[Tensor, "b d h 3"], views: Float[Tensor, "b 3 3"], volume: Float[Tensor, "m m h2 3"]
) -> None:
    """Add the slices to the half-complex volume (z and y in FFT order, x >= 0) with trilinear weights, in place.

    The point k of image i, |k| < D/2, goes to (M/D) G_i^T (kx, ky, 0), if |G_i^T k| is at most D/2 - D/M: one grid step
    inside Nyquist. Half of the image plane is inserted: kx > 0, kx = 0 with ky > 0, and k = 0 with half its weight; a
    point with x < 0 is inserted at minus its position, conjugated. The caller completes the plane x = 0
    (:func:`complete_plane`).
    """
    d, m, device = slices.shape[1], volume.shape[0], volume.device
    ky, kx = (torch.from_numpy(k).to(device) for k in half_plane_frequencies(d))
    chosen = (4 * (kx**2 + ky**2) < d * d) & ((kx > 0) | (ky >= 0))
    rows, columns = chosen.nonzero(as_tuple=True)
    k = torch.stack([kx[columns], ky[rows, 0]], -1).to(views.dtype)
    conjugate = torch.tensor([1, -1, 1], dtype=slices.dtype, device=device)
    grid = volume.view(-1, 3)
    for values, view in zip(slices[:, rows, columns], views, strict=True):
        position = k @ view[:2]
        # A point at that radius stays in, however it is rounded.
        near = position.square().sum(1) <= (d / 2 - d / m) ** 2 * (1 + 1e-9)
        at_origin = (k[near] == 0).all(1, keepdim=True)
        position, values = m / d * position[near], values[near]
        mirrored = position[:, :1] < 0
        position = torch.where(mirrored, -position, position)
        values = torch.where(mirrored, values * conjugate, values) * torch.where(at_origin, 0.5, 1.0).to(values.dtype)
        below = position.floor()
        above = position - below
        for corner in itertools.product((0, 1), repeat=3):
            step = torch.tensor(corner, device=device)
            weight = torch.where(step == 1, above, 1 - above).prod(1, keepdim=True).to(values.dtype)
            x, y, z = (below.long() + step).unbind(1)
            grid.index_add_(0, ((z % m) * m + y % m) * (m // 2 + 1) + x, weight * values)


@torch.no_grad()
def complete_plane(volume: Float[Tensor, "m m h2 3"]) -> None:
    """Add the Friedel mates of the plane x = 0, in place, so that it is Hermitian like the rest."""
    plane = volume[:, :, 0]
    mate = -torch.arange(len(volume), device=volume.device) % len(volume)
    conjugate = torch.tensor([1, -1, 1], dtype=volume.dtype, device=volume.device)
    volume[:, :, 0] = plane + plane[mate][:, mate] * conjugate
