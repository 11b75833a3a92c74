"""The table of facts about particles: what a file says, in numbers."""

from typing import Any

import numpy as np

from gemmap._types import Float
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.table import ParticleTable
from gemmap.validate.sampling import fourier_sampling


def describe(table: ParticleTable, box_px: int | None) -> dict[str, Any]:
    """Return what a table says, as plain values; lengths in Å, angles in degrees.

    Parameters
    ----------
    box_px
        Side of the images, where they could be opened.
    """
    seen = fourier_sampling(table.rotations)
    shift_a = np.hypot(*table.shifts_a.T)
    return {
        "particles": len(table),
        "images": len(np.unique(table.original_image)),
        "stacks": len(table.stacks),
        "micrographs": None if table.micrograph_of is None else len(np.unique(table.micrograph_of)),
        "box_px": box_px,
        "pixel_sizes_a": sorted({group.pixel_size_a for group in table.optics}),
        "optics": [_optics(table, number) for number in range(len(table.optics))],
        "half_sets": [int((table.half == number).sum()) for number in (1, 2)],
        "without_half_set": int((table.half == 0).sum()),
        "shift_a": {"rms": float(np.sqrt(np.mean(shift_a**2))), "largest": float(shift_a.max())},
        "scale": _range(table.scale),
        "dark_on_disk": int((table.image_sign < 0).sum()),
        "ctf": _ctf(table),
        "orientations": {
            "scf": seen.scf,
            "scf_star": seen.scf_star,
            "empty_directions": seen.unsampled,
            "views_seen": seen.views_seen,
        },
    }


def _optics(table: ParticleTable, number: int) -> dict[str, Any]:
    group, rows = table.optics[number], table.optics_group == number
    microscope = {}
    if table.ctf is not None and rows.any():
        microscope = {
            "voltage_kv": _range(table.ctf.voltage_kv[rows]),
            "cs_mm": _range(table.ctf.cs_mm[rows]),
            "amplitude_contrast": _range(table.ctf.amplitude_contrast[rows]),
        }
    return {
        "name": group.name,
        "particles": int(rows.sum()),
        "pixel_size_a": group.pixel_size_a,
        "box_px": group.box_px,
        **microscope,
        "ctf_applied": group.ctf_applied,
        "aberrations": aberrations(group),
    }


def aberrations(group: OpticsGroup) -> list[str]:
    """Names of the aberrations that an optics group has."""
    named = {
        "odd (beam tilt, trefoil)": any(group.odd_zernike),
        "even (tetrafoil and others)": any(group.even_zernike),
        "anisotropic magnification": group.magnification != (1.0, 0.0, 0.0, 1.0),
    }
    return [name for name, there in named.items() if there]


def _ctf(table: ParticleTable) -> dict[str, Any] | None:
    ctf = table.ctf
    if ctf is None:
        return None
    return {
        "defocus_a": _range(0.5 * (ctf.defocus_u_a + ctf.defocus_v_a)),
        "astigmatism_a": _range(np.abs(ctf.defocus_u_a - ctf.defocus_v_a)),
        "phase_shift_deg": _range(np.degrees(ctf.phase_shift_rad)),
        "bfactor_a2": _range(ctf.bfactor_a2),
        "scale": _range(ctf.scale),
    }


def _range(values: Float[np.ndarray, " n"]) -> list[float]:
    """Smallest, median and largest."""
    return [float(values.min()), float(np.median(values)), float(values.max())]
