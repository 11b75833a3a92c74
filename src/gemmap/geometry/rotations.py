"""The only place where a rotation convention is named.

Inside GEM a pose is a matrix A with ``p_img = A p_vol`` (xyz column vectors): the image is the integral of the rotated
density over z, so in Fourier space the image plane point (kx, ky, 0) is read from the volume at ``A^T (kx, ky, 0)``.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from gemmap._types import Float, Rotations
from gemmap.errors import InputError


def from_relion_euler(
    rot_deg: Float[np.ndarray, " n"], tilt_deg: Float[np.ndarray, " n"], psi_deg: Float[np.ndarray, " n"]
) -> Rotations:
    """Rotations A from RELION's rot, tilt, psi in degrees: A = (Rz(rot) Ry(tilt) Rz(psi))^T.

    Source: RELION ``src/euler.cpp``, ``Euler_angles2matrix``.
    """
    angles = np.stack([rot_deg, tilt_deg, psi_deg], axis=-1).astype(np.float64)
    if len(angles) == 0:
        return np.zeros((0, 3, 3))
    return np.ascontiguousarray(np.swapaxes(Rotation.from_euler("ZYZ", angles, degrees=True).as_matrix(), -1, -2))


def to_relion_euler(rotations: Rotations) -> Float[np.ndarray, "n 3"]:
    """RELION's (rot, tilt, psi) in degrees, tilt in 0..180, that give the rotations back."""
    r = np.asarray(rotations, dtype=np.float64)
    tilt = np.arctan2(np.hypot(r[:, 0, 2], r[:, 1, 2]), r[:, 2, 2])
    degenerate = np.hypot(r[:, 0, 2], r[:, 1, 2]) < 1e-9
    rot = np.where(degenerate, 0.0, np.arctan2(r[:, 2, 1], r[:, 2, 0]))
    # With sin(tilt) = 0 only rot +- psi is defined: all of it goes into psi.
    psi = np.where(degenerate, np.arctan2(r[:, 0, 1], r[:, 1, 1]), np.arctan2(r[:, 1, 2], -r[:, 0, 2]))
    return np.asarray(np.degrees(np.stack([rot, tilt, psi], axis=-1)))


def from_cryosparc_pose(rotvec_rad: Float[np.ndarray, "n 3"]) -> Rotations:
    """Rotations A from cryoSPARC's ``alignments3D/pose`` (rotation vectors in radians): A = expmap(pose)^T."""
    if len(rotvec_rad) == 0:
        return np.zeros((0, 3, 3))
    return np.ascontiguousarray(np.swapaxes(Rotation.from_rotvec(rotvec_rad).as_matrix(), -1, -2))


def to_cryosparc_pose(rotations: Rotations) -> Float[np.ndarray, "n 3"]:
    """CryoSPARC rotation vectors in radians that give the rotations back."""
    if len(rotations) == 0:
        return np.zeros((0, 3))
    return np.asarray(Rotation.from_matrix(np.swapaxes(rotations, -1, -2)).as_rotvec(), np.float64)


def require_rotations(matrices: Rotations, source: str) -> Rotations:
    """Return the matrices as float64 after checking that each is a rotation (orthonormal, determinant +1).

    Raises
    ------
    InputError
        Naming ``source`` and the first matrix that is not a rotation within 1e-3.
    """
    m = np.asarray(matrices, dtype=np.float64)
    if m.ndim != 3 or m.shape[1:] != (3, 3):
        raise InputError(f"{source}: rotations have shape {m.shape}; expected (n, 3, 3).")
    with np.errstate(invalid="ignore"):
        off = np.abs(m @ np.swapaxes(m, -1, -2) - np.eye(3)).max(axis=(1, 2), initial=0.0)
        bad = ~(off < 1e-3) | ~(np.linalg.det(m) > 0)
    if bad.any():
        raise InputError(
            f"{source}: {int(bad.sum())} of {len(m)} matrices are not rotations (the first is particle "
            f"{int(np.flatnonzero(bad)[0]) + 1}); expected orthonormal matrices with determinant +1."
        )
    return m
