"""Writing cryoDRGN's files: ``poses.pkl`` and ``ctf.pkl``."""

import io
import pickle
from pathlib import Path

import numpy as np

from gemmap._types import PerParticle
from gemmap.errors import InputError
from gemmap.io.atomic import atomic_path
from gemmap.io.losses import Loss, aberration_losses, applied_losses, has_scales, sign_losses
from gemmap.particles.table import ParticleTable


def write_cryodrgn(poses_path: Path, ctf_path: Path | None, table: ParticleTable, box_px: int) -> tuple[str, ...]:
    """Write ``poses.pkl`` and, if the table has CTFs, ``ctf.pkl``: plain NumPy arrays in float32.

    Returns
    -------
    tuple
        What these files cannot say, one sentence each.

    Raises
    ------
    InputError
        If a path for the CTFs is given and the table has none, or the other way round.
    OutputError
        If a file cannot be written.
    """
    if (ctf_path is None) != (table.ctf is None):
        raise InputError("A path for ctf.pkl and CTF parameters go together; give both or none.")
    notes = tuple(loss.sentence for loss in cryodrgn_losses(table))
    pixel_sizes: PerParticle = np.array([group.pixel_size_a for group in table.optics])[table.optics_group]
    fractions = table.shifts_a / (pixel_sizes * box_px)[:, None]
    _dump(poses_path, (table.rotations.astype(np.float32), fractions.astype(np.float32)))
    if table.ctf is not None and ctf_path is not None:
        p = table.ctf
        angle, phase = np.degrees(p.defocus_angle_rad), np.degrees(p.phase_shift_rad)
        columns = (
            np.full(len(table), float(box_px)), pixel_sizes, p.defocus_u_a, p.defocus_v_a, angle,
            p.voltage_kv, p.cs_mm, p.amplitude_contrast, phase,
        )  # fmt: skip
        _dump(ctf_path, np.stack(columns, axis=-1).astype(np.float32))
    return notes


def cryodrgn_losses(table: ParticleTable) -> list[Loss]:
    """Return what cryoDRGN's files cannot say about these particles."""
    losses = [*aberration_losses(table, "ctf.pkl"), *applied_losses(table, "ctf.pkl")]
    if table.ctf is not None and (table.ctf.bfactor_a2.any() or (table.ctf.scale != 1.0).any()):
        losses.append(Loss("ctf.pkl has no B-factors or scales; those of the particles are left out.", True))
    if has_scales(table):
        losses.append(Loss("poses.pkl has no scales; those of the particles are left out.", True))
    boxes = sorted({g.box_px for g in table.optics if g.box_px is not None})
    if len(boxes) > 1:
        listed = ", ".join(map(str, boxes))
        losses.append(Loss(f"cryoDRGN reads images of one box; these are of {listed} px.", True))
    if (table.half > 0).any():
        losses.append(Loss("cryoDRGN's files have no half-sets; keep the original file for them.", False))
    return losses + sign_losses(table, "a pickle", "cryoDRGN expects bright ones, so run it with --uninvert-data")


def _dump(path: Path, content: np.ndarray | tuple[np.ndarray, ...]) -> None:
    buffer = io.BytesIO()
    # Protocol 4 is the newest that every Python and NumPy in use with cryoDRGN reads.
    pickle.dump(content, buffer, protocol=4)
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(buffer.getvalue())
