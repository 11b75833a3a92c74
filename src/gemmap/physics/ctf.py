r"""Contrast transfer function, in RELION's sign.

.. math::

    \mathrm{CTF}(k) = -s \, e^{-B k^2 / 4} \sin\gamma(k), \qquad
    \gamma = -\pi\lambda (dU k_a^2 + dV k_b^2) + \tfrac{\pi}{2} C_s \lambda^3 k^4
             - \phi - \arctan\frac{Q_0}{\sqrt{1-Q_0^2}}

with k_a, k_b the frequency along and across the defocus angle, measured from +x (columns) towards +y (rows). The value
at k = 0 is +Q0 (no phase plate): it goes with bright particles and positive density. Source: RELION ``src/ctf.cpp``.
"""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gemmap._types import PerParticle
from gemmap.errors import InputError
from gemmap.units import ANGSTROM_PER_MM, electron_wavelength_a


@dataclass(frozen=True, eq=False)
class CtfParameters:
    """CTF parameters of n particles; every field is a float64 array of shape (n,).

    Defocus is positive for underfocus. ``bfactor_a2`` damps as exp(-B k^2 / 4) when positive.
    """

    defocus_u_a: PerParticle
    defocus_v_a: PerParticle
    defocus_angle_rad: PerParticle
    voltage_kv: PerParticle
    cs_mm: PerParticle
    amplitude_contrast: PerParticle
    phase_shift_rad: PerParticle
    bfactor_a2: PerParticle
    scale: PerParticle

    def __post_init__(self) -> None:
        n = len(self.defocus_u_a)
        for f in fields(self):
            value = getattr(self, f.name)
            if len(value) != n:
                raise InputError(f"CTF column {f.name} has {len(value)} rows; expected {n}.")
            bad = ~np.isfinite(value)
            if bad.any():
                raise InputError(
                    f"CTF column {f.name} is not a number for {int(bad.sum())} of {n} particles "
                    f"(the first is particle {int(np.flatnonzero(bad)[0]) + 1}): estimate their CTF or remove them."
                )
        if n and not (np.abs(self.amplitude_contrast) <= 1.0).all():
            raise InputError("Amplitude contrast must lie between -1 and 1: it is a fraction, not a percentage.")
        for kv in np.unique(self.voltage_kv):
            electron_wavelength_a(float(kv))

    def __len__(self) -> int:
        return len(self.defocus_u_a)

    def select(self, rows: np.ndarray) -> Self:
        """Return the parameters of the given rows."""
        return type(self)(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def phase_coefficients(self) -> Float[np.ndarray, "n 7"]:
        """Coefficients (cxx, cxy, cyy, c4, c0, bfactor, scale), with k in 1/Å and the first four in powers of Å.

        gamma = cxx kx^2 + cxy kx ky + cyy ky^2 + c4 k^4 + c0; CTF = -scale exp(-bfactor k^2 / 4) sin(gamma).
        """
        kvs, inverse = np.unique(self.voltage_kv, return_inverse=True)
        wavelength = np.array([electron_wavelength_a(float(v)) for v in kvs])[inverse]
        cos, sin = np.cos(self.defocus_angle_rad), np.sin(self.defocus_angle_rad)
        u, v = -np.pi * wavelength * self.defocus_u_a, -np.pi * wavelength * self.defocus_v_a
        q0 = self.amplitude_contrast
        return np.stack(
            [
                u * cos**2 + v * sin**2,
                2.0 * (u - v) * cos * sin,
                u * sin**2 + v * cos**2,
                0.5 * np.pi * self.cs_mm * ANGSTROM_PER_MM * wavelength**3,
                -self.phase_shift_rad - np.arctan2(q0, np.sqrt(1.0 - q0**2)),
                self.bfactor_a2,
                self.scale,
            ],
            axis=-1,
        )


def ctf_half_plane(params: CtfParameters, box_px: int, pixel_size_a: float) -> Float[Tensor, "n d h"]:
    """CTF on the half-plane Fourier grid of ``box_px`` x ``box_px`` images, float64, axes (particle, ky, kx)."""
    # rfftfreq, not fftfreq: at even sizes the Nyquist column is +1/2.
    kx, ky = np.fft.rfftfreq(box_px, pixel_size_a), np.fft.fftfreq(box_px, pixel_size_a)[:, None]
    return torch.from_numpy(ctf_at(params, kx, ky))


def ctf_at(
    params: CtfParameters, kx: np.ndarray, ky: np.ndarray, even_rad: np.ndarray | float = 0.0
) -> Float[np.ndarray, "n ..."]:
    """CTF of every particle at any frequencies.

    Parameters
    ----------
    kx, ky
        In 1/Å, of shapes that broadcast to two axes.
    even_rad
        Symmetric aberrations at these frequencies; added to gamma.
    """
    c = params.phase_coefficients()[:, :, None, None]
    k2 = kx**2 + ky**2
    gamma = c[:, 0] * kx**2 + c[:, 1] * kx * ky + c[:, 2] * ky**2 + c[:, 3] * k2**2 + c[:, 4] + even_rad
    return np.asarray(-c[:, 6] * np.exp(-0.25 * c[:, 5] * k2) * np.sin(gamma))
