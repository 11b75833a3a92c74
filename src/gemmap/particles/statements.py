"""What the user states about particles beside, or against, what their file says."""

from dataclasses import replace

import numpy as np

from gemmap.errors import InputError
from gemmap.particles.optics_group import CtfApplied
from gemmap.particles.table import ParticleTable

_WORDS: dict[CtfApplied, str] = {
    "none": "untouched by their CTF",
    "phase-flip": "phase-flipped",
    "multiplied": "multiplied by their CTF",
    "corrected": "corrected for their CTF",
}


def flip_hand(table: ParticleTable) -> ParticleTable:
    """Return the table with poses that give the mirror image of the map through its origin, V'(p) = V(-p).

    The new poses A' = H A turn every image by 180 degrees, H = diag(-1, -1, 1) (RELION's psi + 180): V'(A'^T p) =
    V(-A^T H p) = V(A^T diag(1, 1, -1) p), where diag(1, 1, -1) p runs through the same line along the beam, backwards.
    Images, shifts and CTFs stay as they are. Inversion commutes with every rotation, so that the axes of a point group
    stay where they are too.
    """
    half_turn = np.array([-1.0, -1.0, 1.0])
    return replace(table, rotations=half_turn[:, None] * table.rotations)


def state_ctf_applied(table: ParticleTable, applied: CtfApplied) -> ParticleTable:
    """Return the table with what was done to all images about their CTF, as the user says.

    Raises
    ------
    InputError
        If the file says something else, or the images are said to have no CTF.
    """
    if table.ctf is None:
        raise InputError(
            f"The images are said to be {_WORDS[applied]} and to carry no CTF; give one of the two statements."
        )
    for group in table.optics:
        if group.ctf_applied not in ("none", applied):
            raise InputError(
                f"Optics group {group.name} says that its images are {_WORDS[group.ctf_applied]}, and you that they "
                f"are {_WORDS[applied]}; leave the option out, or correct the file."
            )
    return replace(table, optics=tuple(replace(group, ctf_applied=applied) for group in table.optics))
