"""Picks of one particle: in both halves, or twice in one."""

import numpy as np
from scipy.spatial import cKDTree

from gemmap.checks.verdict import Verdict, counted
from gemmap.particles.picks import Picks
from gemmap.particles.table import ParticleTable

#: Centres closer than this, in Å, are one particle (the usual distance of duplicate removal).
SAME_PARTICLE_A = 20.0
#: More images than this at one place are no picks but a column of placeholders.
_PLACEHOLDERS = 20


def neighbours(table: ParticleTable, picks: Picks) -> Verdict:
    """Whether different images show the same particle: their centres, shifts included, lie closer than 20 Å.

    Without the pixel size of the micrographs only boxes at the same place, within half a pixel, are found.
    """
    centre = picks.centre_px.astype(np.float64)
    limit, unit = 0.5, "px"
    if picks.pixel_size_a is not None:
        # The content moves by +s to be centred: the particle lies at -s from the centre of its box.
        centre, limit, unit = centre * picks.pixel_size_a - table.shifts_a, SAME_PARTICLE_A, "Å"
    # Copies of an image (symmetry expansion) are no picks of their own.
    known = np.unique(table.original_image, return_index=True)[1]
    known = known[picks.micrograph_of[known] >= 0]
    boxes = np.column_stack([picks.centre_px[known], picks.micrograph_of[known]])
    if len(known) and np.unique(boxes, axis=0, return_counts=True)[1].max() > _PLACEHOLDERS:
        text = f"More than {_PLACEHOLDERS} images have the same coordinates: they are no positions of picks."
        return Verdict("overlapping picks", "unknown", text)
    # Micrographs are set apart along a third axis, so that one tree finds the pairs of all.
    places = np.column_stack([centre[known], picks.micrograph_of[known] * (10.0 * limit)])
    pairs = known[cKDTree(places).query_pairs(limit, output_type="ndarray")]
    halves = table.half[pairs]
    across = (halves[:, 0] != halves[:, 1]) & (halves > 0).all(axis=1)
    twice = len(np.unique(pairs))
    measured = {"pairs": len(pairs), "pairs_across_halves": int(across.sum()), "limit": limit, "unit": unit}
    if across.any():
        first = pairs[np.flatnonzero(across)[0]] + 1
        text = (
            f"{int(across.sum()):,} pairs of images in different halves show the same particle (rows {first[0]} and "
            f"{first[1]}: same micrograph, centres within {limit:g} {unit}), which makes the half-maps' FSC too good: "
            "remove duplicates."
        )
        return Verdict("overlapping picks", "warning", text, measured)
    if len(pairs):
        text = f"{counted(twice, len(table))} lie within {limit:g} {unit} of another: remove duplicates."
        return Verdict("overlapping picks", "warning", text, measured)
    return Verdict("overlapping picks", "ok", f"No two centres are within {limit:g} {unit}.", measured)
