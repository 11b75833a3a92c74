"""Poses, CTF parameters and RELION 3.1 STAR files of simulated particles."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

PARTICLES_PER_MICROGRAPH = 100
VOLTAGE_KV, CS_MM, AMPLITUDE_CONTRAST = 300.0, 2.7, 0.1

OPTICS = """
# version 30001

data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
_rlnVoltage #3
_rlnSphericalAberration #4
_rlnAmplitudeContrast #5
_rlnMicrographOriginalPixelSize #6
_rlnImagePixelSize #7
_rlnImageSize #8
_rlnImageDimensionality #9
1 opticsGroup1 {kv} {cs} {q0} {pixel} {pixel} {box} 2

# version 30001

data_particles

loop_
"""
COLUMNS = (
    "rlnImageName",
    "rlnMicrographName",
    "rlnOpticsGroup",
    "rlnAngleRot",
    "rlnAngleTilt",
    "rlnAnglePsi",
    "rlnOriginXAngst",
    "rlnOriginYAngst",
    "rlnDefocusU",
    "rlnDefocusV",
    "rlnDefocusAngle",
    "rlnPhaseShift",
    "rlnRandomSubset",
)


@dataclass(frozen=True)
class Particles:
    """Euler angles (n, 3) in degrees, RELION's (rot, tilt, psi); origins (n, 2) in Å; defocus in Å; half-set 1 or 2."""

    euler_deg: np.ndarray
    origin_a: np.ndarray
    defocus_u_a: np.ndarray
    defocus_v_a: np.ndarray
    defocus_angle_deg: np.ndarray
    subset: np.ndarray

    def __len__(self) -> int:
        return len(self.subset)


def random_particles(n: int, pixel_size_a: float, seed: int, max_shift_px: float = 3.0) -> Particles:
    """Uniform orientations and shifts, defocus 8,000-25,000 Å, astigmatism up to 800 Å, halves drawn in pairs."""
    rng = np.random.default_rng(seed)
    # scipy's intrinsic ZYZ angles of a uniform rotation are RELION's (rot, tilt, psi).
    euler = Rotation.random(n, random_state=rng).as_euler("ZYZ", degrees=True)
    defocus, astigmatism = rng.uniform(8000, 25000, n), rng.uniform(0, 800, n)
    pairs = np.where(rng.random(((n + 1) // 2, 1)) < 0.5, [[1, 2]], [[2, 1]])
    return Particles(
        euler_deg=euler,
        origin_a=rng.uniform(-max_shift_px, max_shift_px, (n, 2)) * pixel_size_a,
        defocus_u_a=defocus + astigmatism / 2,
        defocus_v_a=defocus - astigmatism / 2,
        defocus_angle_deg=rng.uniform(-90, 90, n),
        subset=pairs.ravel()[:n],
    )


def with_pose_error(particles: Particles, angle_deg: float, shift_a: float, seed: int) -> Particles:
    """Poses turned by a Gaussian rotation vector and moved: both errors are standard deviations per axis."""
    rng = np.random.default_rng(seed)
    n = len(particles)
    true = Rotation.from_euler("ZYZ", particles.euler_deg, degrees=True)
    error = Rotation.from_rotvec(np.radians(angle_deg) * rng.normal(size=(n, 3)))
    return replace(
        particles,
        euler_deg=(true * error).as_euler("ZYZ", degrees=True),
        origin_a=particles.origin_a + shift_a * rng.normal(size=(n, 2)),
    )


def write_star(
    path: Path, particles: Particles, stack: Path, box_px: int, pixel_size_a: float, rows: np.ndarray | None = None
) -> None:
    """Write a RELION 3.1 STAR file naming images of ``stack``; ``rows`` selects or repeats particles (0-based)."""
    selected = np.arange(len(particles)) if rows is None else rows
    head = OPTICS.format(kv=VOLTAGE_KV, cs=CS_MM, q0=AMPLITUDE_CONTRAST, pixel=pixel_size_a, box=box_px)
    lines = [f"_{name} #{i}" for i, name in enumerate(COLUMNS, 1)]
    for i in selected:
        rot, tilt, psi = particles.euler_deg[i]
        x, y = particles.origin_a[i]
        lines.append(
            f"{i + 1:06d}@{stack} mic/{i // PARTICLES_PER_MICROGRAPH + 1:06d}.mrc 1 {rot:.6f} {tilt:.6f} {psi:.6f} "
            f"{x:.6f} {y:.6f} {particles.defocus_u_a[i]:.3f} {particles.defocus_v_a[i]:.3f} "
            f"{particles.defocus_angle_deg[i]:.4f} 0 {particles.subset[i]}"
        )
    path.write_text(head + "\n".join(lines) + "\n\n")
