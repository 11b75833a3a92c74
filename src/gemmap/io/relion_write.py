"""Writing particle STAR files of RELION: 3.1 and later, and 3.0 and earlier."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gemmap._types import PerParticle
from gemmap.geometry.rotations import to_relion_euler
from gemmap.io.losses import Loss, aberration_losses, applied_losses, has_scales, sign_losses
from gemmap.io.relion_optics import BEAM_TILT, CTF_APPLIED, EVEN_ZERNIKE, MAGNIFICATION, ODD_ZERNIKE
from gemmap.io.star import Column, write_star
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.table import ParticleTable
from gemmap.physics.aberration_terms import odd_terms
from gemmap.physics.zernike import odd_from_beam_tilt

_ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")


def write_star31(path: Path, table: ParticleTable, image_names: Sequence[str] | None = None) -> tuple[str, ...]:
    """Write a particle file of RELION 3.1 and later: an optics table and a particle table.

    Antisymmetric aberrations that are a beam tilt in every group are written as such, others as ``rlnOddZernike``.

    Parameters
    ----------
    image_names
        ``000001@stack.mrcs`` of each particle; made from the table's stacks when not given.

    Returns
    -------
    tuple
        What RELION's columns cannot say, one sentence each; the same sentences stand as comments in the file.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    group = table.optics_group
    optics: dict[str, Column] = {
        "rlnOpticsGroup": np.arange(1, len(table.optics) + 1),
        "rlnOpticsGroupName": [g.name for g in table.optics],
        "rlnImagePixelSize": np.array([g.pixel_size_a for g in table.optics]),
        "rlnImageDimensionality": np.full(len(table.optics), 2),
    }
    if all(g.box_px is not None for g in table.optics):
        optics["rlnImageSize"] = np.array([g.box_px for g in table.optics])
    particles: dict[str, Column] = {
        **_common_columns(table, image_names),
        "rlnOpticsGroup": group + 1,
        "rlnOriginXAngst": table.shifts_a[:, 0],
        "rlnOriginYAngst": table.shifts_a[:, 1],
    }
    for label, values in _microscope_columns(table).items():
        by_group = np.zeros(len(table.optics))
        by_group[group] = values
        optics[label] = by_group
        if (by_group[group] != values).any():  # then the particle's own value has to be there, and it wins
            particles[label] = values
    optics |= _optics_columns(table)
    notes = tuple(loss.sentence for loss in star31_losses(table))
    write_star(path, {"optics": optics, "particles": particles}, notes, block_comment="version 30001")
    return notes


def write_star30(path: Path, table: ParticleTable, image_names: Sequence[str] | None = None) -> tuple[str, ...]:
    """Write a particle file of RELION 3.0 and earlier: one table, shifts in pixels, a nominal magnification of 10,000.

    Parameters, returns and errors are those of `write_star31`.
    """
    pixel_sizes = np.array([g.pixel_size_a for g in table.optics])[table.optics_group]
    columns: dict[str, Column] = {
        **_common_columns(table, image_names),
        **_microscope_columns(table),
        "rlnMagnification": np.full(len(table), 1e4),
        "rlnDetectorPixelSize": pixel_sizes,
        "rlnOriginX": table.shifts_a[:, 0] / pixel_sizes,
        "rlnOriginY": table.shifts_a[:, 1] / pixel_sizes,
    }
    tilts = _beam_tilts(table)
    if tilts is not None:
        columns |= {label: tilts[table.optics_group, axis] for axis, label in enumerate(BEAM_TILT)}
    notes = tuple(loss.sentence for loss in star30_losses(table))
    write_star(path, {"images": columns}, notes)
    return notes


def star31_losses(table: ParticleTable) -> list[Loss]:
    """Return what a particle file of RELION 3.1 and later cannot say about these particles."""
    remedy = (
        "RELION expects bright ones, so write the images again with inverted contrast, or read this file with --invert"
    )
    losses = sign_losses(table, "a STAR file", remedy)
    if table.ctf is None and has_scales(table):
        losses.append(Loss("The particles' scales are left out: a STAR file without CTF columns has none.", True))
    if any(g.ctf_applied == "corrected" for g in table.optics):
        losses.append(
            Loss("Only RELION 5 knows the column rlnCtfDataAreCtfCorrected; older versions ignore it.", False)
        )
    return losses


def star30_losses(table: ParticleTable) -> list[Loss]:
    """Return what a particle file of RELION 3.0 and earlier cannot say about these particles."""
    aberrations = aberration_losses(table, "A STAR file of RELION 3.0")
    if _beam_tilts(table) is not None:
        aberrations = [loss for loss in aberrations if "antisymmetric" not in loss.sentence]
    return [*star31_losses(table), *aberrations, *applied_losses(table, "A STAR file of RELION 3.0")]


def image_addresses(table: ParticleTable, stacks: Sequence[str]) -> list[str]:
    """``000001@stack`` of each particle, with these names for the table's stacks."""
    addresses = zip(table.index_in_stack.tolist(), table.stack_of.tolist(), strict=True)
    return [f"{index + 1:06d}@{stacks[stack]}" for index, stack in addresses]


def _common_columns(table: ParticleTable, image_names: Sequence[str] | None) -> dict[str, Column]:
    if image_names is None:
        # RELION takes a file for a stack if it is called .mrcs, or if that is said behind its name.
        stacks = [name if name.endswith(".mrcs") else f"{name}:mrcs" for name in table.stacks]
        image_names = image_addresses(table, stacks)
    angles = to_relion_euler(table.rotations)
    columns: dict[str, Column] = {"rlnImageName": image_names, **dict(zip(_ANGLES, angles.T, strict=True))}
    if table.micrograph_of is not None and (table.micrograph_of >= 0).all():
        columns["rlnMicrographName"] = [table.micrographs[m] for m in table.micrograph_of]
    if table.class_of is not None:
        columns["rlnClassNumber"] = table.class_of
    if (table.half > 0).any():
        columns["rlnRandomSubset"] = table.half
    if table.ctf is not None:
        columns |= {
            "rlnDefocusU": table.ctf.defocus_u_a,
            "rlnDefocusV": table.ctf.defocus_v_a,
            "rlnDefocusAngle": np.degrees(table.ctf.defocus_angle_rad),
            "rlnPhaseShift": np.degrees(table.ctf.phase_shift_rad),
            "rlnCtfBfactor": table.ctf.bfactor_a2,
            # RELION has one scale: the particle's and its CTF's multiply the same projection.
            "rlnCtfScalefactor": table.ctf.scale * table.scale,
        }
    return columns


def _microscope_columns(table: ParticleTable) -> dict[str, PerParticle]:
    if table.ctf is None:
        return {}
    return {
        "rlnVoltage": table.ctf.voltage_kv,
        "rlnSphericalAberration": table.ctf.cs_mm,
        "rlnAmplitudeContrast": table.ctf.amplitude_contrast,
    }


def _optics_columns(table: ParticleTable) -> dict[str, Column]:
    """Aberrations, magnification and what was done about the CTF, each only if a group has it."""
    columns: dict[str, Column] = {}
    tilts = _beam_tilts(table)
    if tilts is not None:
        columns |= {label: tilts[:, axis] for axis, label in enumerate(BEAM_TILT)}
    elif any(any(g.odd_zernike) for g in table.optics):
        columns[ODD_ZERNIKE] = _vectors([g.odd_zernike for g in table.optics])
    if any(any(g.even_zernike) for g in table.optics):
        columns[EVEN_ZERNIKE] = _vectors([g.even_zernike for g in table.optics])
    matrices = np.array([g.magnification for g in table.optics])
    if (matrices != [1.0, 0.0, 0.0, 1.0]).any():
        columns |= {label: matrices[:, place] for place, label in enumerate(MAGNIFICATION)}
    for label, kind in CTF_APPLIED.items():
        if any(g.ctf_applied == kind for g in table.optics):
            columns[label] = np.array([int(g.ctf_applied == kind) for g in table.optics])
    return columns


def _vectors(coefficients: Sequence[tuple[float, ...]]) -> list[str]:
    """Bracketed lists of one length, as RELION reads them."""
    length = max(len(values) for values in coefficients)
    return [
        "[" + ",".join(f"{v:.10g}" for v in (*vector, *([0.0] * (length - len(vector))))) + "]"
        for vector in coefficients
    ]


def _beam_tilts(table: ParticleTable) -> np.ndarray | None:
    """Beam tilts (groups, 2) in mrad that say all there is to say of antisymmetric aberrations; None if none do."""
    if table.ctf is None or not any(any(g.odd_zernike) for g in table.optics):
        return None
    tilts = [_beam_tilt(g, table, number) for number, g in enumerate(table.optics)]
    return None if any(tilt is None for tilt in tilts) else np.array(tilts)


def _beam_tilt(group: OpticsGroup, table: ParticleTable, number: int) -> tuple[float, float] | None:
    if not any(group.odd_zernike):
        return 0.0, 0.0
    rows = table.optics_group == number
    assert table.ctf is not None
    cs_mm, voltage_kv = np.unique(table.ctf.cs_mm[rows]), np.unique(table.ctf.voltage_kv[rows])
    if len(cs_mm) != 1 or len(voltage_kv) != 1 or cs_mm[0] == 0.0 or any(group.odd_zernike[6:]):
        return None
    terms = odd_terms(group.odd_zernike)
    others = max(abs(value) for value in (*terms.linear, *terms.trefoil))
    if others > 1e-9 * math.hypot(*terms.tilt):
        return None
    per_mrad = odd_terms(odd_from_beam_tilt(1.0, 0.0, cs_mm[0], voltage_kv[0])).tilt[0]
    return terms.tilt[0] / per_mrad, terms.tilt[1] / per_mrad
