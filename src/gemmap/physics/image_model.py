"""What makes an image of a projection, as one row of numbers per image.

The transform of image i is c T(k) P(k) exp(i odd(k)) exp(+2 pi i k.s) plus noise, P(k) = F(G^T k): with the matrix M of
anisotropic magnification, CTF, envelope and aberrations are evaluated at M k, and the view G and the scale c take up M
and the pixel size (docs/derivations.md). In kx and ky all of this is polynomials, so that is what a kernel gets, worked
out in float64: gamma of the CTF with the even aberrations (degrees 0, 2, 4, 6), the odd aberrations (1, 3, 5), and the
envelope's exponent (2). Frequencies are Fourier indices of the image, so no kernel knows a pixel size.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gemmap._types import PerParticle, Rotations
from gemmap.geometry.grids import half_plane_frequencies
from gemmap.physics.ctf import CtfParameters
from gemmap.physics.zernike import DEGREES, Parity, aberration_polynomial, compose, powers_of

#: Columns of the coefficients. gamma in turns, even; odd aberrations in turns; exponent of the envelope (kx^2, kx ky,
#: ky^2); factor of the CTF; :class:`Mode`. Powers are in the order of :mod:`gemmap.physics.zernike`.
EVEN, ODD, ENVELOPE = slice(0, 16), slice(16, 28), slice(28, 31)
FACTOR, MODE, N_COLUMNS = 31, 32, 33


class Mode(IntEnum):
    """How the CTF meets the images."""

    #: It is in them: T = CTF.
    IN_IMAGE = 0
    #: It is in them but for its sign: T = |CTF|.
    FLIPPED = 1
    #: T = CTF, and they were multiplied by it once more.
    MULTIPLIED = 2


@dataclass(frozen=True, eq=False)
class ImageModel:
    """The model of n images.

    Attributes
    ----------
    coefficients
        (n, 33), as the columns above; :func:`image_coefficients`.
    scales
        c, (n,): the particle's scale times the area of a map's pixel over that of an image's.
    shifts
        s, (n, 2), (x, y) in sides of the image.
    views
        G, (n, 3, 3): image frequency (kx, ky) reads the map's transform at G^T (kx, ky, 0), both in Fourier indices; a
        point p of the map, in its voxels, is seen at the first two of G p, in pixels of the image.
    """

    coefficients: Float[np.ndarray, "n 33"]
    scales: PerParticle
    shifts: Float[np.ndarray, "n 2"]
    views: Rotations

    def __len__(self) -> int:
        return len(self.scales)


def image_coefficients(
    ctf: CtfParameters | None,
    n: int,
    side_a: float,
    *,
    odd_zernike: tuple[float, ...] = (),
    even_zernike: tuple[float, ...] = (),
    magnification: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 1.0),
    mode: Mode = Mode.IN_IMAGE,
) -> Float[np.ndarray, "n 33"]:
    """Coefficients of n images that were recorded alike.

    Parameters
    ----------
    ctf
        CTF of each image; None for images without, whose T is 1.
    side_a
        Side of the images in Å.
    odd_zernike, even_zernike
        Aberrations in rad, in RELION's order (:mod:`gemmap.physics.zernike`).
    magnification
        M, row by row.
    mode
        What the images went through.

    Raises
    ------
    InputError
        If an aberration has an order that is not modelled.
    """
    out = np.zeros((n, N_COLUMNS))
    out[:, FACTOR] = 1.0
    if ctf is None:
        out[:, EVEN.start] = -0.25  # -sin gamma = 1
    else:
        cxx, cxy, cyy, c4, c0, bfactor, factor = ctf.phase_coefficients().T
        out[:, EVEN] = aberration_polynomial(even_zernike, "even")
        # (kx^2 + ky^2)^2 = kx^4 + 2 kx^2 ky^2 + ky^4.
        zero = np.zeros(n)
        out[:, :9] += np.stack([c0, cxx, cxy, cyy, c4, zero, 2.0 * c4, zero, c4], axis=1)
        out[:, EVEN] /= 2.0 * np.pi
        out[:, ENVELOPE] = -0.25 * np.stack([bfactor, zero, bfactor], axis=1)
        out[:, FACTOR], out[:, MODE] = factor, mode
    out[:, ODD] = aberration_polynomial(odd_zernike, "odd") / (2.0 * np.pi)
    m = np.reshape(magnification, (2, 2))
    if not np.array_equal(m, np.eye(2)):
        out[:, EVEN], out[:, ODD] = compose(out[:, EVEN], "even", m), compose(out[:, ODD], "odd", m)
        out[:, ENVELOPE] = out[:, ENVELOPE] @ powers_of(m, 2)
    out[:, EVEN] /= side_a ** _degrees("even")
    out[:, ODD] /= side_a ** _degrees("odd")
    out[:, ENVELOPE] /= side_a**2
    return out


def transfer(coefficients: Float[Tensor, "n 33"], box_px: int) -> Float[Tensor, "n d h"]:
    """T on the half-plane grid of ``box_px`` x ``box_px`` images, without c; axes (image, ky, kx)."""
    xx, xy, yy = (coefficients[:, ENVELOPE.start + i, None, None] for i in range(3))
    kx, ky = _frequencies(coefficients, box_px)
    envelope = torch.exp(xx * kx**2 + xy * kx * ky + yy * ky**2)
    gamma = 2.0 * torch.pi * _polynomial(coefficients[:, EVEN], "even", box_px)
    ctf = -coefficients[:, FACTOR, None, None] * envelope * torch.sin(gamma)
    return torch.where(coefficients[:, MODE, None, None] == Mode.FLIPPED, ctf.abs(), ctf)


def odd_turns(coefficients: Float[Tensor, "n 33"], box_px: int) -> Float[Tensor, "n d h"]:
    """Odd aberrations on the same grid, in turns."""
    return _polynomial(coefficients[:, ODD], "odd", box_px)


def _polynomial(coefficients: Float[Tensor, "n p"], parity: Parity, box_px: int) -> Float[Tensor, "n d h"]:
    kx, ky = _frequencies(coefficients, box_px)
    powers = torch.stack([kx ** (degree - j) * ky**j for degree in DEGREES[parity] for j in range(degree + 1)])
    return torch.einsum("np,pij->nij", coefficients, powers)


def _frequencies(like: Tensor, box_px: int) -> tuple[Tensor, Tensor]:
    ky, kx = (torch.from_numpy(k).to(like) for k in half_plane_frequencies(box_px))
    return kx, ky


def _degrees(parity: Parity) -> Float[np.ndarray, " p"]:
    """Degree of every power."""
    return np.concatenate([np.full(degree + 1, float(degree)) for degree in DEGREES[parity]])
