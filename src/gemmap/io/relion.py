"""Particle STAR files of RELION: 3.1 and later (an optics table beside the particles) and 3.0 and earlier (one table).

Meaning of the columns: docs/conventions.md. What RELION would silently set to a default (voltage, Cs, amplitude
contrast) is required here.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gemmap._types import Float, Int, PerParticle, Shifts
from gemmap.errors import FormatError, InputError
from gemmap.geometry.rotations import from_relion_euler, to_relion_euler
from gemmap.io.relion_table import RelionTable, image_list, read_relion_table
from gemmap.io.star import Column, write_star
from gemmap.particles.table import OpticsGroup, ParticleTable
from gemmap.physics.ctf import CtfParameters

_ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
#: Pixel sizes that are not said to be those of the images, in RELION's order of falling back.
_INDIRECT_PIXEL_SIZES = ("rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize", "rlnTomoTiltSeriesPixelSize")


def read_relion(
    path: Path, *, no_ctf: bool = False, pixel_size_a: float | None = None
) -> tuple[ParticleTable, tuple[str, ...]]:
    """Read poses, CTFs, half-sets and image names from a RELION particle file.

    Parameters
    ----------
    no_ctf
        The user's statement that the images carry no CTF: its columns are not read and ``table.ctf`` is None.
    pixel_size_a
        Replaces the file's pixel size. Shifts the file gives in Å stay as they are; those in pixels are converted
        with it.

    Returns
    -------
    tuple
        The table, and notes for the user: what was assumed, and what the file holds that the model does not.

    Raises
    ------
    FormatError, InputError
        If a needed column is missing or wrong, or if the images are of a kind the model does not describe (volumes,
        images multiplied by their CTF).
    """
    joined = read_relion_table(Path(path))
    missing = [label for label in _ANGLES if label not in joined]
    if missing:
        raise InputError(
            f"{path} has no poses: column {missing[0]} is missing; give the particle file of a refinement "
            "(for example Refine3D's run_data.star)."
        )
    notes: list[str] = []
    _refuse_unmodelled_images(joined, no_ctf)
    images = image_list(joined)
    pixel_sizes = _pixel_sizes(joined, pixel_size_a, notes)
    ctf = None if no_ctf else _ctf(joined)
    optics, optics_group = _optics_groups(joined, pixel_sizes, ctf)
    notes += _aberration_notes(joined)
    table = ParticleTable(
        rotations=from_relion_euler(*(joined.floats(label) for label in _ANGLES)),
        shifts_a=_shifts_a(joined, pixel_sizes, notes),
        ctf=ctf,
        scale=np.ones(len(joined)),
        optics_group=optics_group,
        optics=optics,
        half=images.half,
        stack_of=images.stack_of,
        index_in_stack=images.index_in_stack,
        stacks=images.stacks,
        image_sign=images.sign,
    )
    return table, tuple(notes)


def _refuse_unmodelled_images(joined: RelionTable, no_ctf: bool) -> None:
    if "rlnTomoVisibleFrames" in joined or (joined.floats_or("rlnImageDimensionality", 2.0) != 2.0).any():
        raise InputError(f"{joined.source} names subtomograms or tilt stacks; expected single 2D particle images.")
    if joined.floats_or("rlnCtfDataAreCtfPremultiplied", 0.0).any():
        raise InputError(
            f"{joined.source} says that its images are multiplied by their CTF (rlnCtfDataAreCtfPremultiplied), which "
            "is not supported; extract the particles again without premultiplication."
        )
    if joined.floats_or("rlnCtfDataAreCtfCorrected", 0.0).any() and not no_ctf:
        raise InputError(
            f"{joined.source} says that its images are CTF-corrected (rlnCtfDataAreCtfCorrected); extract them again "
            "without correction, or give --no-ctf to use them as images without a CTF."
        )


def _pixel_sizes(joined: RelionTable, override_a: float | None, notes: list[str]) -> PerParticle:
    """Pixel size of each particle's image in Å."""
    if override_a is not None:
        return np.full(len(joined), override_a)
    if "rlnImagePixelSize" in joined:
        sizes = joined.floats("rlnImagePixelSize")
    elif "rlnDetectorPixelSize" in joined and "rlnMagnification" in joined:
        with np.errstate(divide="ignore", invalid="ignore"):
            sizes = 1e4 * joined.floats("rlnDetectorPixelSize") / joined.floats("rlnMagnification")
    else:
        label = next((label for label in _INDIRECT_PIXEL_SIZES if label in joined), None)
        if label is None:
            raise InputError(
                f"{joined.source} gives no pixel size (rlnImagePixelSize, or rlnDetectorPixelSize and "
                "rlnMagnification); give it with --pixel-size."
            )
        sizes = joined.floats(label)
        notes.append(f"Pixel size taken from {label}: wrong if the particles were binned (give --pixel-size).")
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        raise InputError(
            f"{joined.source} gives a pixel size that is not a positive number; give it with --pixel-size."
        )
    return sizes


def _shifts_a(joined: RelionTable, pixel_sizes_a: PerParticle, notes: list[str]) -> Shifts:
    in_a, in_px = ("rlnOriginXAngst", "rlnOriginYAngst"), ("rlnOriginX", "rlnOriginY")
    for x, y in (in_a, in_px):
        if (x in joined) != (y in joined):
            raise FormatError(f"{joined.source} has only one of {x} and {y}; expected both or none.")
    if in_a[0] in joined:
        return np.stack([joined.floats(label) for label in in_a], axis=-1)
    if in_px[0] in joined:
        return np.stack([joined.floats(label) * pixel_sizes_a for label in in_px], axis=-1)
    notes.append("The file has no shifts (rlnOriginXAngst or rlnOriginX): particles are taken as centred.")
    return np.zeros((len(joined), 2))


def _ctf(joined: RelionTable) -> CtfParameters:
    if "rlnDefocusU" not in joined:
        raise InputError(
            f"{joined.source} has no CTF: column rlnDefocusU is missing; give a file with CTF estimates, or --no-ctf "
            "if the images carry none."
        )
    for label, meaning in (
        ("rlnVoltage", "voltage"),
        ("rlnSphericalAberration", "spherical aberration"),
        ("rlnAmplitudeContrast", "amplitude contrast"),
    ):
        if label not in joined:
            raise InputError(
                f"{joined.source} gives no {meaning}: column {label} is missing from its particles and optics; add it, "
                "or give --no-ctf if the images carry no CTF."
            )
    defocus_u = joined.floats("rlnDefocusU")
    defocus_v = joined.floats("rlnDefocusV") if "rlnDefocusV" in joined else defocus_u.copy()
    if "rlnDefocusAngle" not in joined and (defocus_u != defocus_v).any():
        raise InputError(f"{joined.source} has astigmatism (rlnDefocusU and V differ) but no rlnDefocusAngle; add it.")
    return CtfParameters(
        defocus_u_a=defocus_u,
        defocus_v_a=defocus_v,
        defocus_angle_rad=np.radians(joined.floats_or("rlnDefocusAngle", 0.0)),
        voltage_kv=joined.floats("rlnVoltage"),
        cs_mm=joined.floats("rlnSphericalAberration"),
        amplitude_contrast=joined.floats("rlnAmplitudeContrast"),
        phase_shift_rad=np.radians(joined.floats_or("rlnPhaseShift", 0.0)),
        bfactor_a2=joined.floats_or("rlnCtfBfactor", 0.0),
        scale=joined.floats_or("rlnCtfScalefactor", 1.0),
    )


def _optics_groups(
    joined: RelionTable, pixel_sizes_a: PerParticle, ctf: CtfParameters | None
) -> tuple[tuple[OpticsGroup, ...], Int[np.ndarray, " n"]]:
    """Groups in use, in the order of the optics table.

    Without an optics table, particles of one pixel size, voltage and amplitude contrast are a group. Cs is left out
    (RELION's converter has it in): some programs refine it per particle, which would leave one particle per group.
    """
    keys: list[Float[np.ndarray, " n"]] = [joined.optics_row.astype(np.float64), pixel_sizes_a]
    if joined.optics is None and ctf is not None:
        keys += [ctf.voltage_kv, ctf.amplitude_contrast]
    _, first, group = np.unique(np.stack(keys, axis=-1), axis=0, return_index=True, return_inverse=True)
    names = joined.strings("rlnOpticsGroupName") if "rlnOpticsGroupName" in joined else None
    boxes = joined.floats("rlnImageSize").astype(np.int64) if "rlnImageSize" in joined else None
    groups = tuple(
        OpticsGroup(
            name=f"opticsGroup{number}" if names is None else names[row],
            pixel_size_a=float(pixel_sizes_a[row]),
            box_px=None if boxes is None else int(boxes[row]),
        )
        for number, row in enumerate(first, start=1)
    )
    return groups, np.asarray(group, np.int64).reshape(-1)


def _aberration_notes(joined: RelionTable) -> list[str]:
    """Name what changes the images but is not in the model."""
    notes = []
    tilt_mrad = np.hypot(joined.floats_or("rlnBeamTiltX", 0.0), joined.floats_or("rlnBeamTiltY", 0.0))
    if (tilt_mrad > 0).any():
        notes.append(f"Beam tilt (up to {tilt_mrad.max():.3g} mrad) is in the file but not modelled.")
    for label, kind in (("rlnOddZernike", "Antisymmetric"), ("rlnEvenZernike", "Symmetric")):
        if label in joined and any(_has_nonzero(text, label, joined.source) for text in set(joined.strings(label))):
            notes.append(f"{kind} aberrations ({label}) are in the file but not modelled.")
    off_identity = max(
        np.abs(joined.floats_or(f"rlnMagMat{i}{j}", float(i == j)) - float(i == j)).max()
        for i in (0, 1)
        for j in (0, 1)
    )
    if off_identity > 0:
        notes.append(f"Anisotropic magnification (up to {100 * off_identity:.2g} %) is in the file but not modelled.")
    return notes


def _has_nonzero(vector: str, label: str, source: Path) -> bool:
    """Tell whether a bracketed list such as ``[0,1.2,-3]`` has an entry other than 0."""
    try:
        return any(float(entry) != 0 for entry in vector.strip("[] ").split(",") if entry.strip())
    except ValueError:
        raise FormatError(f"{source}: {label} is {vector[:80]!r}; expected a list of numbers.") from None


def write_star31(path: Path, table: ParticleTable, image_names: Sequence[str] | None = None) -> tuple[str, ...]:
    """Write a particle file of RELION 3.1 and later: an optics table and a particle table.

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
    notes = _writing_notes(table)
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
    notes = _writing_notes(table)
    write_star(path, {"images": columns}, notes)
    return notes


def _common_columns(table: ParticleTable, image_names: Sequence[str] | None) -> dict[str, Column]:
    if image_names is None:
        addresses = zip(table.index_in_stack.tolist(), table.stack_of.tolist(), strict=True)
        image_names = [f"{index + 1:06d}@{table.stacks[stack]}" for index, stack in addresses]
    angles = to_relion_euler(table.rotations)
    columns: dict[str, Column] = {"rlnImageName": image_names, **dict(zip(_ANGLES, angles.T, strict=True))}
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


def _writing_notes(table: ParticleTable) -> tuple[str, ...]:
    notes = []
    n_dark = int((table.image_sign < 0).sum())
    if n_dark:
        notes.append(
            f"{n_dark} of {len(table)} particles are dark on disk, which a STAR file cannot say: RELION expects bright "
            "ones, so write the images again with inverted contrast, or read this file with --invert."
        )
    if table.ctf is None and (table.scale != 1.0).any():
        notes.append("The particles' scales are left out: a STAR file without CTF columns has none.")
    return tuple(notes)
