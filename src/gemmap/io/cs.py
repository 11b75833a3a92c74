"""Particle files of cryoSPARC (``.cs``): what their fields mean.

Shifts are in pixels of ``alignments3D/psize_A`` with RELION's sign; poses are rotation vectors; angles are radians;
``blob/idx`` counts from 0; ``blob/sign`` is -1 for particles dark on disk. Sources: docs/conventions.md.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gemmap._types import Int, PerParticle
from gemmap.errors import FormatError, InputError
from gemmap.geometry.rotations import from_cryosparc_pose, to_cryosparc_pose
from gemmap.io.atomic import atomic_path
from gemmap.io.cs_fields import CsFields, read_cs_fields
from gemmap.io.image_list import ImageList
from gemmap.io.pixel_override import override_notes
from gemmap.particles.table import OpticsGroup, ParticleTable
from gemmap.physics.ctf import CtfParameters

_ABERRATIONS = {
    "ctf/tilt_A": "Beam tilt",
    "ctf/trefoil_A": "Trefoil",
    "ctf/tetra_A": "Tetrafoil and higher symmetric aberrations",
    "ctf/anisomag": "Anisotropic magnification",
}


def read_cs(
    path: Path,
    *,
    passthrough: Sequence[Path] = (),
    no_ctf: bool = False,
    pixel_size_a: float | None = None,
) -> tuple[ParticleTable, tuple[str, ...]]:
    """Read poses, CTFs, half-sets, scales and image names from cryoSPARC files.

    Parameters
    ----------
    passthrough
        Further files with fields of the same particles; rows may be in another order and there may be more of them.
    no_ctf
        The user's statement that the images carry no CTF: its fields are not read and ``table.ctf`` is None.
    pixel_size_a
        Replaces ``blob/psize_A``; shifts, which are in pixels, change in the same proportion.

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
    _require_single_alignment(fields)
    notes: list[str] = []
    file_pixel_sizes = _image_pixel_sizes(fields, pixel_size_a)
    pixel_sizes = file_pixel_sizes if pixel_size_a is None else np.full(fields.n, pixel_size_a)
    if pixel_size_a is not None:
        notes += override_notes(pixel_size_a, file_pixel_sizes)
    shift_pixels = _shift_pixel_sizes(fields, file_pixel_sizes, notes) * (pixel_sizes / file_pixel_sizes)
    images = cs_images(fields, notes)
    optics, optics_group = _optics_groups(fields, pixel_sizes)
    notes += [
        f"{meaning} ({name}) is in the file but not modelled."
        for name, meaning in _ABERRATIONS.items()
        if name in fields and fields.floats(name).any()
    ]
    table = ParticleTable(
        rotations=from_cryosparc_pose(fields.floats("alignments3D/pose")),
        shifts_a=fields.floats("alignments3D/shift") * shift_pixels[:, None],
        ctf=None if no_ctf else _ctf(fields),
        scale=fields.floats_or("alignments3D/alpha", 1.0),
        optics_group=optics_group,
        optics=optics,
        half=images.half,
        stack_of=images.stack_of,
        index_in_stack=images.index_in_stack,
        stacks=images.stacks,
        image_sign=images.sign,
    )
    return table, tuple(notes)


def _require_single_alignment(fields: CsFields) -> None:
    if "alignments3D/pose" in fields and fields.columns["alignments3D/pose"].shape[1:] == (3,):
        return
    several = sorted(
        {name.split("/")[0] for name in fields.columns if name.startswith(("alignments_class", "alignments3D_multi"))}
    )
    if several:
        raise InputError(
            f"{fields.source} holds the poses of several classes ({several[0]}) and no single one (alignments3D); "
            "export the particles of one class, or refine them."
        )
    raise InputError(
        f"{fields.source} has no poses: field alignments3D/pose is missing; give the particles of a refinement, and "
        "its passthrough file with --passthrough if it has one."
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


def _optics_groups(
    fields: CsFields, pixel_sizes_a: PerParticle
) -> tuple[tuple[OpticsGroup, ...], Int[np.ndarray, " n"]]:
    exposure_group = fields.floats_or("ctf/exp_group_id", 0.0)
    _, first, group = np.unique(
        np.stack([exposure_group, pixel_sizes_a], axis=-1), axis=0, return_index=True, return_inverse=True
    )
    boxes = fields.columns["blob/shape"] if "blob/shape" in fields else None
    groups = tuple(
        OpticsGroup(
            name=f"exp_group_{int(exposure_group[row])}",
            pixel_size_a=float(pixel_sizes_a[row]),
            box_px=None if boxes is None else int(boxes[row][-1]),
        )
        for row in first
    )
    return groups, np.asarray(group, np.int64).reshape(-1)


def write_cs(path: Path, table: ParticleTable) -> None:
    """Write a table as a ``.cs`` file with the fields cryoSPARC's importer and refinements use.

    Particles without a half-set get no ``alignments3D/split``; a table without CTFs gets no ``ctf`` fields.

    Raises
    ------
    InputError
        If an optics group has no box: ``blob/shape`` is not optional.
    OutputError
        If the file cannot be written.
    """
    if any(group.box_px is None for group in table.optics):
        raise InputError(f"{path} cannot be written: cryoSPARC files state the box of the images, which is not known.")
    boxes = np.array([group.box_px for group in table.optics])[table.optics_group]
    pixel_sizes = np.array([group.pixel_size_a for group in table.optics])[table.optics_group]
    columns: dict[str, tuple[str, np.ndarray]] = {
        "uid": ("<u8", np.arange(1, len(table) + 1)),
        "blob/path": ("S", np.array([name.encode() for name in table.stacks])[table.stack_of]),
        "blob/idx": ("<u4", table.index_in_stack),
        "blob/shape": ("<u4", np.stack([boxes, boxes], axis=-1)),
        "blob/psize_A": ("<f4", pixel_sizes),
        "blob/sign": ("<f4", table.image_sign),
        "alignments3D/pose": ("<f4", to_cryosparc_pose(table.rotations)),
        "alignments3D/shift": ("<f4", table.shifts_a / pixel_sizes[:, None]),
        "alignments3D/psize_A": ("<f4", pixel_sizes),
        "alignments3D/alpha": ("<f4", table.scale),
    }
    if (table.half > 0).all():
        columns["alignments3D/split"] = ("<u4", table.half - 1)
    if table.ctf is not None:
        columns |= {
            "ctf/exp_group_id": ("<u4", table.optics_group),
            "ctf/accel_kv": ("<f4", table.ctf.voltage_kv),
            "ctf/cs_mm": ("<f4", table.ctf.cs_mm),
            "ctf/amp_contrast": ("<f4", table.ctf.amplitude_contrast),
            "ctf/df1_A": ("<f4", table.ctf.defocus_u_a),
            "ctf/df2_A": ("<f4", table.ctf.defocus_v_a),
            "ctf/df_angle_rad": ("<f4", table.ctf.defocus_angle_rad),
            "ctf/phase_shift_rad": ("<f4", table.ctf.phase_shift_rad),
            "ctf/scale": ("<f4", table.ctf.scale),
            "ctf/bfactor": ("<f4", table.ctf.bfactor_a2),
        }
    layout = [
        (name, values.dtype if kind == "S" else np.dtype(kind), values.shape[1:])
        for name, (kind, values) in columns.items()
    ]
    records = np.zeros(len(table), dtype=layout)
    for name, (_, values) in columns.items():
        records[name] = values
    with atomic_path(Path(path)) as temporary, open(temporary, "wb") as handle:
        np.lib.format.write_array(handle, records, allow_pickle=False)
