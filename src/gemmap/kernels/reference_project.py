"""Projection in plain torch: any floating dtype, any device, differentiable. It defines what is correct.

P[y, x] = sum_j mass_j N2((x, y) - size//2 - c_j; C_j) over pixels within Mahalanobis distance ``cut`` of each Gaussian,
with the centre c = (A centre)_xy - shift and the covariance C = [A S A^T]_2x2 of each image. Images are done one after
the other, Gaussians in chunks on windows that hold the support of all of them.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gemmap.gaussians import covariance
from gemmap.kernels.reference import windows


def project(
    centres: Float[Tensor, "n 3"],
    scales: Float[Tensor, "n 3"],
    quaternions: Float[Tensor, "n 4"],
    masses: Float[Tensor, " n"],
    rotations: Float[Tensor, "b 3 3"],
    shifts: Float[Tensor, "b 2"],
    size: int,
    cut: float,
) -> Float[Tensor, "b d d"]:
    """Images of the Gaussians; see :func:`gemmap.kernels.projections.project`.

    On a GPU the order of additions, and with it the last bit, is not fixed.
    """
    images = [centres.new_zeros(0, size * size)]
    for rotation, shift in zip(rotations, shifts, strict=True):
        seen, half_widths, whitening, norms = _view(centres, scales, quaternions, rotation, shift, cut)
        image = centres.new_zeros(size * size)
        for rows, pixels, inside in windows(seen, half_widths, size):
            _, kernel = _evaluate(seen[rows], whitening[rows], norms[rows], pixels, inside, size, cut)
            image = image.index_add(0, _flat(pixels, size).flatten(), (masses[rows, None] * kernel).flatten())
        images.append(image[None])
    return torch.cat(images).reshape(-1, size, size)


def project_gather(
    grad_images: Float[Tensor, "b d d"],
    centres: Float[Tensor, "n 3"],
    scales: Float[Tensor, "n 3"],
    quaternions: Float[Tensor, "n 4"],
    masses: Float[Tensor, " n"],
    rotations: Float[Tensor, "b 3 3"],
    shifts: Float[Tensor, "b 2"],
    cut: float,
) -> tuple[
    Float[Tensor, "n 3"],
    Float[Tensor, "n 3"],
    Float[Tensor, "n 4"],
    Float[Tensor, " n"],
    Float[Tensor, "b 3 3"],
    Float[Tensor, "b 2"],
]:
    """Derivatives of <grad_images, images>; see :func:`gemmap.kernels.projections.project_gather`.

    With the moments M0, M1, M2 of gradient x kernel about the centre in the image, Q = C^-1 and H the first two rows of
    A: dL/dmass = M0, dL/dc = mass Q M1, dL/dC = mass / 2 (Q M2 Q - M0 Q); dL/dcentre = H^T dL/dc, dL/dS = H^T dL/dC H,
    dL/dH = dL/dc centre^T + 2 dL/dC H S, dL/dshift = -dL/dc. The last row of A has no derivative.
    """
    size = grad_images.shape[1]
    g_centres, g_masses = torch.zeros_like(centres), torch.zeros_like(masses)
    g_s = centres.new_zeros(len(masses), 3, 3)
    g_rotations, g_shifts = torch.zeros_like(rotations), torch.zeros_like(shifts)
    s = covariance.covariances(scales, quaternions)
    for i, (grad, rotation, shift) in enumerate(zip(grad_images, rotations, shifts, strict=True)):
        seen, half_widths, whitening, norms = _view(centres, scales, quaternions, rotation, shift, cut)
        h = rotation[:2]
        for rows, pixels, inside in windows(seen, half_widths, size):
            d, kernel = _evaluate(seen[rows], whitening[rows], norms[rows], pixels, inside, size, cut)
            weight = kernel * grad.flatten()[_flat(pixels, size)]
            m0 = weight.sum(1)
            m1 = torch.einsum("nv,nvi->ni", weight, d)
            m2 = torch.einsum("nv,nvi,nvj->nij", weight, d, d)
            q, mass = whitening[rows].mT @ whitening[rows], masses[rows, None]
            g_seen = mass * (q @ m1[..., None])[..., 0]
            g_covariance = 0.5 * mass[..., None] * (q @ m2 @ q - m0[:, None, None] * q)
            g_masses[rows] += m0
            g_centres[rows] += g_seen @ h
            g_s[rows] += h.mT @ g_covariance @ h
            g_rotations[i, :2] += g_seen.mT @ centres[rows] + 2 * (g_covariance @ h @ s[rows]).sum(0)
            g_shifts[i] -= g_seen.sum(0)
    g_scales, g_quaternions = covariance.differentiate(g_s, scales, quaternions)
    return g_centres, g_scales, g_quaternions, g_masses, g_rotations, g_shifts


def _view(
    centres: Tensor, scales: Tensor, quaternions: Tensor, rotation: Tensor, shift: Tensor, cut: float
) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n 2"], Float[Tensor, "n 2 2"], Float[Tensor, " n"]]:
    """Centres in an image, extents of the supports, W with W^T W = C^-1, and 2 pi sqrt(det C).

    C = B B^T with B = A_2x3 R diag(s), and det C is the squared length of the cross product of B's two rows
    (Cauchy-Binet): positive for all scales > 0, without a subtraction of nearly equal numbers.
    """
    seen = centres @ rotation[:2].mT - shift
    b = rotation[:2] @ (covariance.rotation_matrices(quaternions) * scales[:, None, :])
    (xx, xy), (_, yy) = ((b @ b.mT)[:, row].unbind(1) for row in (0, 1))
    root_det = torch.linalg.cross(b[:, 0], b[:, 1]).norm(dim=1)
    width_y = yy.sqrt()
    along_x = width_y / root_det
    whitening = torch.stack([along_x, -along_x * xy / yy, torch.zeros_like(yy), 1 / width_y], -1).reshape(-1, 2, 2)
    return seen, cut * torch.stack([xx.sqrt(), width_y], 1), whitening, 2 * math.pi * root_det


def _evaluate(
    seen: Float[Tensor, "m 2"],
    whitening: Float[Tensor, "m 2 2"],
    norms: Float[Tensor, " m"],
    pixels: Int[Tensor, "m v 2"],
    inside: Bool[Tensor, "m v"],
    size: int,
    cut: float,
) -> tuple[Float[Tensor, "m v 2"], Float[Tensor, "m v"]]:
    """Offsets from the centres and normalised kernels at the pixels; zero outside the support and the image."""
    d = (pixels - size // 2).to(seen.dtype) - seen[:, None]
    square = (d @ whitening.mT).square().sum(2)
    kernel = torch.exp(-0.5 * square) / norms[:, None]
    return d, torch.where(inside & (square <= cut * cut), kernel, 0)


def _flat(pixels: Int[Tensor, "m v 2"], size: int) -> Int[Tensor, "m v"]:
    """Index of pixels in the flattened (y, x) image."""
    return pixels[..., 1] * size + pixels[..., 0]
