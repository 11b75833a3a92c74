"""Writing particle files of cryoSPARC (``.cs``)."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from gemmap.errors import InputError
from gemmap.geometry.rotations import to_cryosparc_pose
from gemmap.io.atomic import atomic_path
from gemmap.io.columns import number_rows
from gemmap.io.cs_aberrations import cs_values
from gemmap.io.losses import Loss, applied_losses
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.table import ParticleTable
from gemmap.physics.aberration_terms import even_terms, odd_terms, with_even_terms
from gemmap.physics.zernike import even_from_quartic, odd_from_cubic

#: Fields by name: how a value is stored (bytes for "S") and the values.
_Columns = dict[str, tuple[str, np.ndarray]]


def write_cs(path: Path, table: ParticleTable) -> tuple[str, ...]:
    """Write a table as a ``.cs`` file with the fields cryoSPARC's importer and refinements use.

    Particles without a half-set get no ``alignments3D/split``; a table without CTFs gets no ``ctf`` fields. Aberrations
    are written by the convention of ``io.cs_aberrations``; what its fields have no place for (a constant phase, a
    defocus, a spherical aberration, a shift) goes into the CTF parameters and shifts, which is exact.

    Returns
    -------
    tuple
        What the file cannot say, one sentence each.

    Raises
    ------
    InputError
        If an optics group has no box: ``blob/shape`` is not optional; if aberrations are of a higher order.
    OutputError
        If the file cannot be written.
    """
    if any(group.box_px is None for group in table.optics):
        raise InputError(f"{path} cannot be written: cryoSPARC files state the box of the images, which is not known.")
    notes = tuple(loss.sentence for loss in cs_losses(table))
    table = with_low_orders_moved(table)
    boxes = np.array([group.box_px for group in table.optics])[table.optics_group]
    pixel_sizes = np.array([group.pixel_size_a for group in table.optics])[table.optics_group]
    columns: _Columns = {
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
    if table.class_of is not None and (table.class_of >= 0).all():
        columns["alignments3D/class"] = ("<u4", table.class_of)
    if table.micrograph_of is not None and (table.micrograph_of >= 0).all():
        names = np.array([name.encode() for name in table.micrographs])
        columns["location/micrograph_path"] = ("S", names[table.micrograph_of])
    _write_records(path, columns | _ctf_columns(table))
    return notes


def cs_losses(table: ParticleTable) -> list[Loss]:
    """Return what a ``.cs`` file cannot say about these particles; aberrations are in it by a convention of ours."""
    losses = applied_losses(table, "A .cs file")
    if table.ctf is None and any(g.magnification != (1.0, 0.0, 0.0, 1.0) for g in table.optics):
        losses.append(Loss("A .cs file without CTF fields has no anisotropic magnification; it is left out.", True))
    if (table.half > 0).any() and not (table.half > 0).all():
        losses.append(Loss("Some particles have no half-set, so the half-sets of all are left out.", False))
    return losses


def has_cs_aberrations(table: ParticleTable) -> bool:
    """Whether the fields whose convention cryoSPARC does not document would be other than 0."""
    return any(
        any(g.odd_zernike) or any(g.even_zernike) or g.magnification != (1.0, 0.0, 0.0, 1.0) for g in table.optics
    )


def with_low_orders_moved(table: ParticleTable) -> ParticleTable:
    """Return the same particles with linear antisymmetric terms in their shifts and low even ones in their CTFs.

    What the Zernike coefficients keep is beam tilt, trefoil, and k^4 cos and sin of 2t and 4t.

    Raises
    ------
    InputError
        If there are aberrations above the third or fourth order.
    """
    if table.ctf is None:
        return table
    ctf, shifts = table.ctf, table.shifts_a.copy()
    fields = {name: getattr(ctf, name).copy() for name in ctf.__dataclass_fields__}
    for number, group in enumerate(table.optics):
        rows = np.flatnonzero(table.optics_group == number)
        changed = with_even_terms(ctf.select(rows), even_terms(group.even_zernike))
        for name, values in fields.items():
            values[rows] = getattr(changed, name)
        # The phase is linear . (M k), and a projection that a shift s is to undo is multiplied by exp(2 pi i k . s).
        linear = np.array(odd_terms(group.odd_zernike).linear)
        shifts[rows] += np.reshape(group.magnification, (2, 2)).T @ linear / (2.0 * math.pi)
    optics = tuple(_with_high_orders(g) for g in table.optics)
    return replace(table, ctf=type(ctf)(**fields), shifts_a=shifts, optics=optics)


def _with_high_orders(group: OpticsGroup) -> OpticsGroup:
    odd, even = odd_terms(group.odd_zernike), even_terms(group.even_zernike)
    kept_odd, kept_even = odd_from_cubic(*odd.tilt, *odd.trefoil), even_from_quartic(even.tetra)
    return replace(
        group,
        odd_zernike=kept_odd if any(kept_odd) else (),
        even_zernike=kept_even if any(kept_even) else (),
    )


def _ctf_columns(table: ParticleTable) -> _Columns:
    if table.ctf is None:
        return {}
    columns: _Columns = {
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
    if has_cs_aberrations(table):
        # The fields are lengths: of the same phases, they differ with the wavelength.
        first, kind = number_rows([table.optics_group, table.ctf.voltage_kv])
        values = []
        for row in first:
            g = table.optics[table.optics_group[row]]
            voltage_kv = float(table.ctf.voltage_kv[row])
            values.append(cs_values(g.odd_zernike, g.even_zernike, g.magnification, voltage_kv))
        columns |= {name: ("<f4", np.stack([fields[name] for fields in values])[kind]) for name in values[0]}
    return columns


def _write_records(path: Path, columns: _Columns) -> None:
    layout = [
        (name, values.dtype if kind == "S" else np.dtype(kind), values.shape[1:])
        for name, (kind, values) in columns.items()
    ]
    records = np.zeros(len(columns["uid"][1]), dtype=layout)
    for name, (_, values) in columns.items():
        records[name] = values
    with atomic_path(Path(path)) as temporary, open(temporary, "wb") as handle:
        np.lib.format.write_array(handle, records, allow_pickle=False)
