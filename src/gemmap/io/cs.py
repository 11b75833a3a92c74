"""Reading particle files of cryoSPARC (``.cs``, ``.csg``): what their fields mean.

Shifts are in pixels of ``alignments3D/psize_A`` with RELION's sign; poses are rotation vectors; angles are radians;
``blob/idx`` counts from 0; ``blob/sign`` is -1 for particles dark on disk. Sources: docs/conventions.md.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gemmap._types import Int, PerParticle
from gemmap.errors import FormatError, InputError
from gemmap.geometry.rotations import from_cryosparc_pose
from gemmap.io.choices import CsAberrations
from gemmap.io.columns import number_names, number_rows
from gemmap.io.cs_aberrations import CsAberrationValues, read_aberrations
from gemmap.io.cs_alignments import single_alignment
from gemmap.io.cs_fields import CsFields, read_cs_fields
from gemmap.io.image_list import ImageList
from gemmap.io.pixel_override import override_notes
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.table import ParticleTable
from gemmap.physics.ctf import CtfParameters


def read_cs(
    path: Path,
    *,
    passthrough: Sequence[Path] = (),
    no_ctf: bool = False,
    pixel_size_a: float | None = None,
    aberrations: CsAberrations = "refuse",
) -> tuple[ParticleTable, tuple[str, ...]]:
    """Read poses, CTFs, half-sets, scales and image names from cryoSPARC files.

    Parameters
    ----------
    path
        A ``.cs`` file, or the ``.csg`` file of a group.
    passthrough
        Further files with fields of the same particles; rows may be in another order and there may be more of them.
    no_ctf
        The user's statement that the images carry no CTF: its fields are not read and ``table.ctf`` is None.
    pixel_size_a
        Replaces ``blob/psize_A``; shifts, which are in pixels, change in the same proportion.
    aberrations
        What to do if the file has aberrations or anisotropic magnification (``io.cs_aberrations``).

    Returns
    -------
    tuple
        The table, and notes for the user.

    Raises
    ------
    FormatError, InputError
        If a file is damaged, a particle is missing from a passthrough file, or a needed field is absent.
    """
    fields = read_cs_fields(path, passthrough)
    notes: list[str] = []
    _refuse_unmodelled_images(fields)
    fields, class_of = single_alignment(fields, notes)
    file_pixel_sizes = _image_pixel_sizes(fields, pixel_size_a)
    pixel_sizes = file_pixel_sizes if pixel_size_a is None else np.full(fields.n, pixel_size_a)
    if pixel_size_a is not None:
        notes += override_notes(pixel_size_a, file_pixel_sizes)
    shift_pixels = _shift_pixel_sizes(fields, file_pixel_sizes, notes) * (pixel_sizes / file_pixel_sizes)
    images = cs_images(fields, notes)
    values = read_aberrations(fields, "ignore" if no_ctf else aberrations, notes)
    ctf = None if no_ctf else _ctf(fields)
    optics, optics_group = _optics_groups(fields, pixel_sizes, ctf, values)
    micrographs, micrograph_of = _micrographs(fields)
    table = ParticleTable(
        rotations=from_cryosparc_pose(fields.floats("alignments3D/pose")),
        shifts_a=fields.floats("alignments3D/shift") * shift_pixels[:, None] - values.shift,
        ctf=ctf,
        scale=fields.floats_or("alignments3D/alpha", 1.0),
        optics_group=optics_group,
        optics=optics,
        half=images.half,
        stack_of=images.stack_of,
        index_in_stack=images.index_in_stack,
        stacks=images.stacks,
        image_sign=images.sign,
        micrograph_of=micrograph_of,
        micrographs=micrographs,
        class_of=class_of,
    )
    return table, tuple(notes)


def _refuse_unmodelled_images(fields: CsFields) -> None:
    if "filament/filament_uid" in fields and fields.floats("filament/filament_uid").any():
        raise InputError(
            f"{fields.source} names helical segments (filament/filament_uid), and helical symmetry is not modelled; "
            "give single particles."
        )


def cs_images(fields: CsFields, notes: list[str]) -> ImageList:
    """Image addresses, signs and half-sets of the particles; poses and CTF need not be there.

    Raises
    ------
    InputError
        If the files name no images.
    FormatError
        If a sign is not +1 or -1, or a half-set not 0 or 1.
    """
    for name in ("blob/path", "blob/idx"):
        if name not in fields:
            raise InputError(
                f"{fields.source} names no images: field {name} is missing; give the passthrough file of its job with "
                "--passthrough."
            )
    # Exported jobs mark links with a leading '>'.
    paths = [text.removeprefix(">") for text in fields.texts("blob/path")]
    stack_number = {text: number for number, text in enumerate(dict.fromkeys(paths))}
    stack_of = np.array([stack_number[text] for text in paths], np.int64)
    if "blob/sign" not in fields:
        notes.append(
            "The file has no blob/sign: particles are taken as bright on disk; give --invert if they are dark."
        )
    sign = fields.floats_or("blob/sign", 1.0)
    if not (np.abs(sign) == 1.0).all():
        raise FormatError(
            f"{fields.source}: blob/sign has the value {sign[np.abs(sign) != 1.0][0]:g}; expected 1 or -1."
        )
    half = np.zeros(fields.n, np.int64)
    if "alignments3D/split" in fields:
        half = fields.columns["alignments3D/split"].astype(np.int64) + 1
        if half.min() < 1 or half.max() > 2:
            raise FormatError(f"{fields.source}: alignments3D/split has values other than 0 and 1.")
    return ImageList(tuple(stack_number), stack_of, fields.columns["blob/idx"].astype(np.int64), sign, half)


def _image_pixel_sizes(fields: CsFields, override_a: float | None) -> PerParticle:
    """Pixel size of the images as the file gives it, Å."""
    if "blob/psize_A" not in fields:
        if override_a is None:
            raise InputError(f"{fields.source} gives no pixel size (blob/psize_A); give it with --pixel-size.")
        return fields.floats_or("alignments3D/psize_A", override_a)
    return _positive(fields, "blob/psize_A")


def _shift_pixel_sizes(fields: CsFields, image_pixel_sizes_a: PerParticle, notes: list[str]) -> PerParticle:
    if "alignments3D/shift" not in fields:
        raise InputError(f"{fields.source} has poses but no shifts (alignments3D/shift); give its passthrough file.")
    if "alignments3D/psize_A" in fields:
        return _positive(fields, "alignments3D/psize_A")
    notes.append("The file has no alignments3D/psize_A: shifts are taken to be in pixels of the images (blob/psize_A).")
    return image_pixel_sizes_a


def _positive(fields: CsFields, name: str) -> PerParticle:
    values = fields.floats(name)
    if not (np.isfinite(values) & (values > 0)).all():
        raise FormatError(f"{fields.source}: {name} is not a positive number for every particle.")
    return values


def _ctf(fields: CsFields) -> CtfParameters:
    needed = ("ctf/df1_A", "ctf/df2_A", "ctf/df_angle_rad", "ctf/accel_kv", "ctf/cs_mm", "ctf/amp_contrast")
    missing = [name for name in needed if name not in fields]
    if missing:
        raise InputError(
            f"{fields.source} has no complete CTF: field {missing[0]} is missing; give its passthrough file with "
            "--passthrough, or --no-ctf if the images carry no CTF."
        )
    defocus_u, defocus_v, angle, voltage, cs, contrast = (fields.floats(name) for name in needed)
    return CtfParameters(
        defocus_u_a=defocus_u,
        defocus_v_a=defocus_v,
        defocus_angle_rad=angle,
        voltage_kv=voltage,
        cs_mm=cs,
        amplitude_contrast=contrast,
        phase_shift_rad=fields.floats_or("ctf/phase_shift_rad", 0.0),
        bfactor_a2=fields.floats_or("ctf/bfactor", 0.0),
        scale=fields.floats_or("ctf/scale", 1.0),
    )


def _micrographs(fields: CsFields) -> tuple[tuple[str, ...], Int[np.ndarray, " n"] | None]:
    if "location/micrograph_path" in fields:
        return number_names([name.removeprefix(">") for name in fields.texts("location/micrograph_path")])
    if "location/micrograph_uid" in fields:
        return number_names([str(uid) for uid in fields.columns["location/micrograph_uid"].tolist()])
    return (), None


def _optics_groups(
    fields: CsFields, pixel_sizes_a: PerParticle, ctf: CtfParameters | None, values: CsAberrationValues
) -> tuple[tuple[OpticsGroup, ...], Int[np.ndarray, " n"]]:
    """Particles of one exposure group, pixel size, box and voltage, and of the same aberrations, are a group."""
    exposure_group = fields.floats_or("ctf/exp_group_id", 0.0)
    boxes = fields.columns["blob/shape"][:, -1] if "blob/shape" in fields else None
    keys = [exposure_group, pixel_sizes_a, *values.columns]
    keys += [] if boxes is None else [boxes]
    keys += [] if ctf is None else [ctf.voltage_kv]
    first, group = number_rows(keys)
    groups = tuple(
        OpticsGroup(
            name=f"exp_group_{int(exposure_group[row])}",
            pixel_size_a=float(pixel_sizes_a[row]),
            box_px=None if boxes is None else int(boxes[row]),
            odd_zernike=() if ctf is None else values.odd_zernike(row, float(ctf.voltage_kv[row])),
            even_zernike=() if ctf is None else values.even_zernike(row, float(ctf.voltage_kv[row])),
            magnification=values.magnification(row),
        )
        for row in first
    )
    return groups, group
