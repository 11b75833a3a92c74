"""The image model of particles in a table: what their optics groups, CTFs and poses make of a projection."""

from dataclasses import replace

import numpy as np

from gemmap._types import Int
from gemmap.errors import InputError
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.table import ParticleTable
from gemmap.physics.image_model import N_COLUMNS, ImageModel, Mode, image_coefficients

_MODES = {"none": Mode.IN_IMAGE, "phase-flip": Mode.FLIPPED, "multiplied": Mode.MULTIPLIED}


def image_model(table: ParticleTable, side_a: float) -> ImageModel:
    """Image model of the particles, for a map whose box has a side of ``side_a``.

    Images and map have the same number of pixels; the side of an image is that of the map times the ratio of their
    pixel sizes. The model stays the same if images and map are cropped in Fourier space.

    Raises
    ------
    InputError
        If a group has aberrations of an order that is not modelled, or a magnification that is none.
    """
    n = len(table)
    coefficients, ratios = np.empty((n, N_COLUMNS)), np.ones(n)
    views = table.rotations.astype(np.float64)
    for group, rows in _alike(table).items():
        ratio = table.pixel_size_a / group.pixel_size_a
        m = _magnification(group)
        ratios[rows] = ratio
        views[rows] = ratio * (_in_space(m.T) @ views[rows])
        coefficients[rows] = image_coefficients(
            None if table.ctf is None or group.ctf_applied == "corrected" else table.ctf.select(rows),
            len(rows),
            side_a / ratio,
            odd_zernike=group.odd_zernike,
            even_zernike=group.even_zernike,
            magnification=group.magnification,
            mode=_MODES.get(group.ctf_applied, Mode.IN_IMAGE),
        )
    # A pixel holds the integral along a line: that of an image with larger pixels is not larger, but counts for less
    # in the sum over pixels.
    return ImageModel(coefficients, table.scale * ratios**2, table.shifts_a * (ratios / side_a)[:, None], views)


def _alike(table: ParticleTable) -> dict[OpticsGroup, Int[np.ndarray, " m"]]:
    """Rows of each optics group, those of groups that differ in their names only together."""
    present, places = np.unique(table.optics_group, return_inverse=True)
    groups = [replace(table.optics[number], name="", box_px=None) for number in present]
    kinds = {group: kind for kind, group in enumerate(dict.fromkeys(groups))}
    kind_of = np.array([kinds[group] for group in groups], np.int64)[places]
    return {group: np.flatnonzero(kind_of == kind) for group, kind in kinds.items()}


def _in_space(m: np.ndarray) -> np.ndarray:
    out = np.eye(3)
    out[:2, :2] = m
    return out


def _magnification(group: OpticsGroup) -> np.ndarray:
    m = np.reshape(group.magnification, (2, 2)).astype(np.float64)
    if not (np.isfinite(m).all() and 0.5 < np.linalg.det(m) < 2.0):
        raise InputError(
            f"The magnification matrix of an optics group is {m.tolist()}; expected one near the identity, with a "
            "determinant between 0.5 and 2."
        )
    return m
