"""Gaussians to images and back, on the CPU with numba: arrays in, arrays out."""

from typing import TypeAlias

import numpy as np
from numba import get_num_threads

from gemmap._types import Float
from gemmap.kernels.cpu_projector import RUN, build_table, differentiate, gather, splat

Gradients: TypeAlias = tuple[
    Float[np.ndarray, "n 3"],
    Float[np.ndarray, "n 3"],
    Float[np.ndarray, "n 4"],
    Float[np.ndarray, " n"],
    Float[np.ndarray, "b 3 3"],
    Float[np.ndarray, "b 2"],
]


def project(
    centres: Float[np.ndarray, "n 3"],
    scales: Float[np.ndarray, "n 3"],
    quaternions: Float[np.ndarray, "n 4"],
    masses: Float[np.ndarray, " n"],
    rotations: Float[np.ndarray, "b 3 3"],
    shifts: Float[np.ndarray, "b 2"],
    size: int,
    cut: float,
) -> Float[np.ndarray, "b d d"]:
    """Images of the Gaussians, float32; see :func:`gemmap.kernels.projections.project`."""
    images = np.empty((len(rotations), size, size), np.float32)
    bands = -(-get_num_threads() // max(len(rotations), 1))
    table = build_table(centres, scales, quaternions, masses)
    splat(table, rotations.astype(np.float64), shifts.astype(np.float64), cut, min(bands, size), images)
    return images


def project_gather(
    grad_images: Float[np.ndarray, "b d d"],
    centres: Float[np.ndarray, "n 3"],
    scales: Float[np.ndarray, "n 3"],
    quaternions: Float[np.ndarray, "n 4"],
    masses: Float[np.ndarray, " n"],
    rotations: Float[np.ndarray, "b 3 3"],
    shifts: Float[np.ndarray, "b 2"],
    cut: float,
) -> Gradients:
    """Derivatives of <grad_images, images>, float32; see :func:`gemmap.kernels.projections.project_gather`."""
    b = len(rotations)
    table = build_table(centres, scales, quaternions, masses)
    in_space = np.zeros((len(masses), 10))
    of_runs = np.zeros((-(-len(masses) // RUN), b, 8))
    gather(table, rotations.astype(np.float64), shifts.astype(np.float64), cut, grad_images, in_space, of_runs)
    gradients = tuple(np.empty(a.shape, np.float32) for a in (centres, scales, quaternions, masses))
    differentiate(in_space, scales, quaternions, *gradients)
    of_poses = of_runs.sum(0)
    g_rotations = np.zeros((b, 3, 3), np.float32)
    # Where a fit has diverged the sums leave the range of float32: infinity says so, and the loss is watched.
    with np.errstate(over="ignore"):
        g_rotations[:, :2] = of_poses[:, :6].reshape(b, 2, 3)
        return *gradients, g_rotations, of_poses[:, 6:].astype(np.float32)
