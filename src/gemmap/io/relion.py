"""Reading RELION's particle files: 3.1 and later (an optics table beside the particles), 3.0 and earlier (one table).

Meaning of the columns: docs/conventions.md. What RELION would silently set to a default (voltage, Cs, amplitude
contrast) is required here.
"""

from pathlib import Path

import numpy as np

from gemmap._types import Int, PerParticle, Shifts
from gemmap.errors import FormatError, InputError
from gemmap.geometry.rotations import from_relion_euler
from gemmap.io.columns import number_names
from gemmap.io.pixel_override import override_notes
from gemmap.io.relion_optics import optics_groups, require_ctf
from gemmap.io.relion_table import RelionTable, image_list, read_relion_table
from gemmap.particles.table import ParticleTable
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
        tilt stacks, helical segments).
    """
    joined = read_relion_table(Path(path))
    missing = [label for label in _ANGLES if label not in joined]
    if missing:
        raise InputError(
            f"{path} has no poses: column {missing[0]} is missing; give the particle file of a refinement "
            "(for example Refine3D's run_data.star)."
        )
    notes: list[str] = []
    _refuse_unmodelled_images(joined)
    images = image_list(joined)
    pixel_sizes = _pixel_sizes(joined, pixel_size_a, notes)
    ctf = None if no_ctf or _all_corrected(joined) else _ctf(joined)
    optics, optics_group = optics_groups(joined, pixel_sizes, ctf, notes)
    require_ctf(optics, ctf, path)
    notes += _not_used_notes(joined)
    micrographs, micrograph_of = _micrographs(joined)
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
        micrograph_of=micrograph_of,
        micrographs=micrographs,
        class_of=_class_of(joined),
    )
    return table, tuple(notes)


def _refuse_unmodelled_images(joined: RelionTable) -> None:
    """Refuse images that are no views of single particles: each kind by its name."""
    particles, source = joined.particles, joined.source
    volumes = (joined.floats_or("rlnImageDimensionality", 2.0) != 2.0).any()
    if not volumes and "rlnCtfImage" in particles:
        volumes = "@" not in particles.strings("rlnImageName")[0]
    if volumes:
        raise InputError(f"{source} names subtomograms (3-D images); expected single 2-D particle images.")
    if "rlnTomoVisibleFrames" in joined:
        raise InputError(
            f"{source} names 2-D stacks of tilt series (rlnTomoVisibleFrames); expected single 2-D particle images."
        )
    for label in ("rlnHelicalTubeID", "rlnHelicalTrackLengthAngst", "rlnHelicalTrackLength"):
        if label in particles and particles.floats(label).any():
            raise InputError(
                f"{source} names helical segments ({label}), and helical symmetry is not modelled; give single "
                "particles, or remove the column to use the segments as such."
            )


def _pixel_sizes(joined: RelionTable, override_a: float | None, notes: list[str]) -> PerParticle:
    """Pixel size of each particle's image in Å."""
    stated = _stated_pixel_sizes(joined)
    if override_a is not None:
        notes += override_notes(override_a, np.zeros(0) if stated is None else stated)
        return np.full(len(joined), override_a)
    if stated is not None:
        sizes = stated
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


def _stated_pixel_sizes(joined: RelionTable) -> PerParticle | None:
    """Pixel sizes that the file gives for its images, None if it gives none."""
    if "rlnImagePixelSize" in joined:
        return joined.floats("rlnImagePixelSize")
    if "rlnDetectorPixelSize" in joined and "rlnMagnification" in joined:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(1e4 * joined.floats("rlnDetectorPixelSize") / joined.floats("rlnMagnification"))
    return None


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


def _all_corrected(joined: RelionTable) -> bool:
    """Whether no image carries a CTF, and the file does not describe one either."""
    return "rlnDefocusU" not in joined and bool(joined.floats_or("rlnCtfDataAreCtfCorrected", 0.0).all())


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


def _micrographs(joined: RelionTable) -> tuple[tuple[str, ...], Int[np.ndarray, " n"] | None]:
    if "rlnMicrographName" not in joined.particles:
        return (), None
    return number_names(joined.strings("rlnMicrographName"))


def _class_of(joined: RelionTable) -> Int[np.ndarray, " n"] | None:
    return joined.particles.ints("rlnClassNumber") if "rlnClassNumber" in joined.particles else None


def _not_used_notes(joined: RelionTable) -> list[str]:
    """Name the scales that are read by nothing: as in relion_reconstruct, images are taken as they are."""
    notes = []
    for label in ("rlnNormCorrection", "rlnGroupScaleCorrection"):
        values = joined.floats_or(label, 1.0)
        if values.max() - values.min() > 1e-6 * abs(values.max()):
            notes.append(
                f"{label} ({values.min():.3g} to {values.max():.3g}) is not applied, as in relion_reconstruct: scales "
                "of particles are taken from rlnCtfScalefactor only."
            )
    return notes
