"""Verdicts that need the table only: poses, shifts, half-sets and copies. Below a second for 100,000 particles."""

import numpy as np

from gemmap._types import Int
from gemmap.checks.verdict import Verdict, counted, first_of
from gemmap.particles.table import ParticleTable

#: Shifts beyond this fraction of the box are unlikely, and two poses closer than this are the same.
LARGE_SHIFT, SAME_POSE_DEG = 0.25, 0.1
#: Three angles of up to two pi, in radians but read as degrees, turn by less than this.
_RADIANS_DEG = 18.9
#: Halves that differ by more than this factor are no random split.
UNEVEN = 2.0


def table_verdicts(table: ParticleTable, box_px: int | None) -> list[Verdict]:
    """Judge the poses, shifts and half-sets of a table that has at least one particle."""
    return [poses(table), shift_lengths(table, box_px), half_sets(table), copies(table)]


def poses(table: ParticleTable) -> Verdict:
    """Whether poses are there, and in degrees."""
    angles_deg = np.degrees(_angles_rad(table))
    spread = float(np.degrees(np.arccos(np.clip(_cosines(table.rotations, table.rotations[:1]), -1.0, 1.0)).max()))
    measured = {"largest_angle_deg": float(angles_deg.max()), "spread_deg": spread}
    if len(table) == 1:
        return Verdict("poses", "unknown", "There is one particle only.", measured)
    if spread < SAME_POSE_DEG:
        text = (
            f"All {len(table):,} particles have the same pose: they were not refined, or the columns are placeholders; "
            "give the particle file of a refinement."
        )
        return Verdict("poses", "error", text, measured)
    if angles_deg.max() < _RADIANS_DEG:
        text = (
            f"All poses turn by less than {angles_deg.max():.1f} degrees: angles in radians would look like this; give "
            "them in degrees."
        )
        return Verdict("poses", "error", text, measured)
    return Verdict("poses", "ok", f"{len(table):,} rotations, up to {spread:.0f} degrees apart.", measured)


def shift_lengths(table: ParticleTable, box_px: int | None) -> Verdict:
    """Whether shifts keep the particle in the box."""
    length_a = np.hypot(*table.shifts_a.T)
    measured = {"rms_a": float(np.sqrt(np.mean(length_a**2))), "largest_a": float(length_a.max())}
    if not length_a.any():
        return Verdict("shift lengths", "ok", "All shifts are zero: the particles are taken as centred.", measured)
    pixel_a = np.array([group.pixel_size_a for group in table.optics])
    boxes = [group.box_px or box_px for group in table.optics]
    if any(box is None for box in boxes):
        text = f"Up to {length_a.max():.1f} Å; the box is not known."
        return Verdict("shift lengths", "unknown", text, measured)
    width_a = (pixel_a * np.array(boxes, np.float64))[table.optics_group]
    large = np.flatnonzero(length_a > LARGE_SHIFT * width_a)
    measured["n_large"] = len(large)
    if len(large):
        return Verdict(
            "shift lengths",
            "warning",
            f"{counted(len(large), len(table))} are shifted by more than a quarter of the box (up to "
            f"{length_a.max():.0f} Å; {first_of(large)}): their unit may be wrong, or these particles lie at the edge.",
            measured,
        )
    text = f"Up to {length_a.max():.1f} Å ({(length_a / width_a).max():.0%} of the box)."
    return Verdict("shift lengths", "ok", text, measured)


def half_sets(table: ParticleTable) -> Verdict:
    """Whether there are two half-sets of about the same size."""
    sizes = [int((table.half == number).sum()) for number in (1, 2)]
    n_without = len(table) - sum(sizes)
    measured = {"sizes": sizes, "without": n_without}
    if n_without == len(table):
        text = (
            "The file has none: they are drawn at random, and only half-maps from a refinement's own halves are "
            "independent of its poses."
        )
        return Verdict("half-sets", "warning", text, measured)
    if n_without:
        text = f"{counted(n_without, len(table))} have none while the others do: complete the column or remove it."
        return Verdict("half-sets", "error", text, measured)
    if not min(sizes):
        text = f"All particles are in half {1 + int(sizes[1] > 0)}: give particles of both, or remove the column."
        return Verdict("half-sets", "error", text, measured)
    text = f"{sizes[0]:,} + {sizes[1]:,} particles"
    if max(sizes) > UNEVEN * min(sizes):
        return Verdict(
            "half-sets", "warning", f"{text}: one is more than twice the other; was a half filtered?", measured
        )
    return Verdict("half-sets", "ok", f"{text}.", measured)


def copies(table: ParticleTable) -> Verdict:
    """Whether rows share an image: across the halves, or with the same pose."""
    image = table.original_image
    n_images = int(image.max()) + 1
    rows_of = np.bincount(image, minlength=n_images)
    shared = rows_of[image] > 1
    measured: dict[str, int] = {"rows": len(table), "images": n_images}
    if not shared.any():
        return Verdict("copies", "ok", "Every row has an image of its own.", measured)
    in_half = [np.bincount(image[table.half == number], minlength=n_images) > 0 for number in (1, 2)]
    across = np.flatnonzero(in_half[0] & in_half[1])
    measured["images_in_both_halves"] = len(across)
    if len(across):
        first = np.flatnonzero(image == across[0])[:2] + 1
        return Verdict(
            "copies",
            "error",
            f"{counted(len(across), n_images, 'images')} are in both halves (as in rows {first[0]} and {first[1]}), "
            "so the half-maps' FSC is too good: put all copies of an image in one half.",
            measured,
        )
    same = _rows_with_the_same_pose(table, image, np.flatnonzero(shared))
    measured["duplicate_rows"] = len(same)
    if len(same):
        return Verdict(
            "copies",
            "warning",
            f"{counted(len(same), len(table), 'rows')} repeat another row's image and pose ({first_of(same)}): remove "
            "them, or these particles count twice.",
            measured,
        )
    text = f"{len(table):,} rows of {n_images:,} images, with different poses (symmetry-expanded), each in one half."
    return Verdict("copies", "ok", text, measured)


def _rows_with_the_same_pose(table: ParticleTable, image: Int[np.ndarray, " n"], rows: np.ndarray) -> np.ndarray:
    """Rows whose image and pose another row before them has."""
    limit = 2.0 * np.sin(0.5 * np.radians(SAME_POSE_DEG))
    keys = np.concatenate([image[rows, None], np.rint(table.rotations[rows].reshape(-1, 9) / limit)], axis=1)
    _, first = np.unique(keys, axis=0, return_index=True)
    return np.delete(rows, first)


def _angles_rad(table: ParticleTable) -> np.ndarray:
    return np.asarray(np.arccos(np.clip(0.5 * (np.trace(table.rotations, axis1=1, axis2=2) - 1.0), -1.0, 1.0)))


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of the angle of the rotation between poses."""
    return np.asarray(0.5 * ((a * b).sum(axis=(1, 2)) - 1.0))
