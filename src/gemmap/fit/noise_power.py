"""Noise power of the images of every optics group, and the weights made of it."""

from collections.abc import Sequence

import numpy as np
import torch

from gemmap._types import Curve, Float, Int
from gemmap.errors import InputError
from gemmap.geometry.grids import shell_index
from gemmap.particles.batches import read_living
from gemmap.particles.dead_images import DeadImages, named
from gemmap.particles.optics import image_model
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable
from gemmap.physics.image_model import transfer
from gemmap.physics.noise import noise_spectrum

#: Images per optics group and half that the noise spectrum is measured on.
NOISE_IMAGES = 500
#: No shell of a CTF is taken to have less power than this: noise that was multiplied by nothing is not known.
_LEAST_CTF_POWER = 1e-6
_CHUNK = 32


def noise_power_of_groups(
    table: ParticleTable, stack: ImageStack, rows: Int[np.ndarray, " n"], radius_px: float, dead: DeadImages
) -> Float[np.ndarray, "g s"]:
    """Noise power of every optics group from these particles; a group without any takes the mean of the others.

    ``radius_px`` is the particle's, in voxels of the map.

    Raises
    ------
    InputError
        If all the images looked at are dead.
    """
    spectra: list[Curve | None] = []
    for number, group in enumerate(table.optics):
        of_group = rows[table.optics_group[rows] == number]
        sample = of_group[np.linspace(0, len(of_group) - 1, min(NOISE_IMAGES, len(of_group))).astype(np.int64)]
        living, images = read_living(stack, sample, dead)
        if not len(living):
            spectra.append(None)
            continue
        radius = radius_px * table.pixel_size_a / group.pixel_size_a
        side_a = stack.box_px * table.pixel_size_a
        spectra.append(noise_power(images, table.select(living), side_a, radius))
    present = [s for s in spectra if s is not None]
    if not present:
        raise InputError(
            f"All images that the noise of a half-set would be measured on are dead ({named(dead.rows)}); remove these "
            "particles or extract them again."
        )
    fallback = np.mean(present, axis=0)
    return np.stack([fallback if s is None else s for s in spectra])


def noise_power(images: Float[np.ndarray, "n d d"], table: ParticleTable, side_a: float, radius_px: float) -> Curve:
    """Noise power, before any CTF was multiplied, of images that were treated alike; shells 0 .. D-1.

    Parameters
    ----------
    table
        Their particles.
    side_a
        Side of the map in Å.
    radius_px
        The particle's in pixels of the images.
    """
    power = noise_spectrum(images, radius_px)
    if table.optics[table.optics_group[0]].ctf_applied != "multiplied":
        return power
    # The mean power of noise that image i multiplied by CTF_i is that of the noise times the mean of CTF_i^2.
    return np.asarray(power / np.maximum(_ctf_power(table, side_a, images.shape[-1]), _LEAST_CTF_POWER))


def inverse_noise(optics: Sequence[OpticsGroup], power: Float[np.ndarray, "g s"]) -> Float[np.ndarray, "g s"]:
    """1/sigma^2 of every group, 0 in shells without data."""
    weights = 1.0 / power
    for group, weight in zip(optics, weights, strict=True):
        if group.first_empty_shell is not None:
            weight[group.first_empty_shell :] = 0.0
    return weights


def _ctf_power(table: ParticleTable, side_a: float, box_px: int) -> Curve:
    """Mean of CTF^2 over images and the points of a shell; shells 0 .. D-1."""
    shell = shell_index(box_px, 2).ravel()
    square = np.zeros(len(shell))
    for start in range(0, len(table), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(table)))
        ctf = transfer(torch.from_numpy(image_model(table.select(rows), side_a).coefficients), box_px)
        square += (ctf**2).sum(dim=0).numpy().ravel() / len(table)
    count = np.maximum(np.bincount(shell, minlength=box_px), 1)
    return np.asarray((np.bincount(shell, square, minlength=box_px) / count)[:box_px])
