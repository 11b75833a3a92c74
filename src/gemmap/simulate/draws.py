"""Random poses, defoci, scales and half-sets of simulated particles.

Every quantity has a stream of random numbers of its own, so that changing one option leaves the other draws as they
were.
"""

from dataclasses import replace
from enum import IntEnum

import numpy as np
from scipy.spatial.transform import Rotation

from gemmap._types import Rotations, Shifts
from gemmap.geometry.rotations import from_relion_euler
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.table import ParticleTable
from gemmap.physics.ctf import CtfParameters
from gemmap.simulate.config import SimulationConfig


class Stream(IntEnum):
    """Numbers of the random streams."""

    ROTATION = 0
    SHIFT = 1
    DEFOCUS = 2
    SCALE = 3
    HALF = 4
    POSE_ERROR = 5
    NOISE = 6


def draw_particles(config: SimulationConfig) -> ParticleTable:
    """Table of the particles with their true poses."""
    n = config.n_particles
    optics = config.optics or (OpticsGroup("opticsGroup1", config.pixel_size_a),)

    def constant(value: float) -> np.ndarray:
        return np.full(n, value, np.float64)

    # One row of random numbers per particle: the first particles stay the same when more are asked for.
    turns = _stream(config, Stream.DEFOCUS).random((n, 3))
    mean_a = config.defocus_min_a + turns[:, 0] * (config.defocus_max_a - config.defocus_min_a)
    half_difference_a = 0.5 * config.astigmatism_a * turns[:, 1]
    log_scale = config.scale_spread * _stream(config, Stream.SCALE).standard_normal(n)
    return ParticleTable(
        rotations=_rotations(config),
        shifts_a=_shifts(config),
        ctf=CtfParameters(
            defocus_u_a=mean_a + half_difference_a,
            defocus_v_a=mean_a - half_difference_a,
            defocus_angle_rad=np.pi * turns[:, 2],
            voltage_kv=constant(config.voltage_kv),
            cs_mm=constant(config.cs_mm),
            amplitude_contrast=constant(config.amplitude_contrast),
            phase_shift_rad=constant(np.radians(config.phase_shift_deg)),
            bfactor_a2=constant(config.bfactor_a2),
            scale=constant(1.0),
        ),
        # The mean of a log-normal variable is exp(mean + variance / 2).
        scale=np.exp(log_scale - 0.5 * config.scale_spread**2),
        optics_group=np.arange(n) % len(optics),
        optics=tuple(replace(group, box_px=config.box_px) for group in optics),
        half=1 + _stream(config, Stream.HALF).permutation(n) % 2,
        stack_of=np.zeros(n, np.int64),
        index_in_stack=np.arange(n),
        stacks=("particles.mrcs",),
        image_sign=constant(1.0),
        map_pixel_size_a=config.pixel_size_a if config.optics else None,
    )


def with_pose_errors(true: ParticleTable, config: SimulationConfig) -> ParticleTable:
    """The table as a refinement would give it: rotations and shifts off by the errors asked for."""
    error = _stream(config, Stream.POSE_ERROR).standard_normal((len(true), 5))
    # Squares of the components add up: each has the root mean square asked for, over the root of their number.
    rotvec = error[:, :3] * np.radians(config.pose_error_deg) / np.sqrt(3.0)
    return replace(
        true,
        rotations=Rotation.from_rotvec(rotvec).as_matrix() @ true.rotations,
        shifts_a=true.shifts_a + error[:, 3:] * config.shift_error_a / np.sqrt(2.0),
    )


def _stream(config: SimulationConfig, stream: Stream) -> np.random.Generator:
    return np.random.default_rng([config.seed, stream])


def _rotations(config: SimulationConfig) -> Rotations:
    """Rotations A whose view direction A^T z is uniform, or Fisher-distributed around z; in-plane angle uniform."""
    u = _stream(config, Stream.ROTATION).random((config.n_particles, 3))
    kappa = config.preferred_concentration
    if kappa is None:
        cos_tilt = 1.0 - 2.0 * u[:, 1]
    else:
        # Inverse of the distribution function of exp(kappa cos) on the sphere.
        cos_tilt = 1.0 + np.log1p(-u[:, 1] * -np.expm1(-2.0 * kappa)) / kappa
    tilt_deg = np.degrees(np.arccos(np.clip(cos_tilt, -1.0, 1.0)))
    return from_relion_euler(360.0 * u[:, 0], tilt_deg, 360.0 * u[:, 2])


def _shifts(config: SimulationConfig) -> Shifts:
    """Shifts uniform in a disc."""
    u = _stream(config, Stream.SHIFT).random((config.n_particles, 2))
    radius_a, angle = config.max_shift_a * np.sqrt(u[:, 0]), 2.0 * np.pi * u[:, 1]
    return np.stack([radius_a * np.cos(angle), radius_a * np.sin(angle)], axis=1)
