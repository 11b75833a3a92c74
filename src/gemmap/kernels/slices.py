"""Weighing and inserting Fourier slices: checks, transforms, and the choice of backend."""

import numpy as np
import scipy.fft

from gemmap._types import Float, Int, Rotations, Shifts
from gemmap.physics.ctf import CtfParameters

_CTF_COLUMNS = 7


def prepare(
    images: Float[np.ndarray, "b d d"],
    ctf: CtfParameters | None,
    shifts_a: Shifts,
    scales: Float[np.ndarray, " b"],
    group: Int[np.ndarray, " b"],
    inverse_noise: Float[np.ndarray, "g s"],
    pixel_size_a: float,
    workers: int = -1,
) -> Float[np.ndarray, "b d h 3"]:
    """Return (Re, Im, weight) of c CTF y exp(-2 pi i k.s/D) / sigma^2 and c^2 CTF^2 / sigma^2 on the half-plane."""
    from gemmap.kernels import cpu_insert

    b, d, _ = images.shape
    transforms = scipy.fft.rfft2(np.asarray(images, np.float32), workers=workers)
    coefficients = np.zeros((b, _CTF_COLUMNS)) if ctf is None else ctf.phase_coefficients()
    out = np.zeros((b, d, d // 2 + 1, 3), np.float32)
    cpu_insert.prepare_slices(
        transforms,
        coefficients,
        ctf is not None,
        np.ascontiguousarray(shifts_a, np.float64) / pixel_size_a,
        np.ascontiguousarray(scales, np.float64),
        np.ascontiguousarray(group, np.int64),
        np.ascontiguousarray(inverse_noise, np.float64),
        float(pixel_size_a),
        out,
    )
    return out


def insert(slices: Float[np.ndarray, "b d h 3"], rotations: Rotations, volume: Float[np.ndarray, "m m h2 3"]) -> None:
    """Add slices to the interleaved half-complex volume, in place."""
    from gemmap.kernels import cpu_insert

    cpu_insert.insert_slices(slices, np.ascontiguousarray(rotations, np.float64), volume)


def complete_plane(volume: Float[np.ndarray, "m m h2 3"]) -> None:
    """Add the Friedel mates of the plane x = 0, once all slices are in."""
    from gemmap.kernels import cpu_insert

    cpu_insert.complete_plane(volume)
