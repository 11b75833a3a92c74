"""The particles of micrographs that are named."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from gemmap._types import Int
from gemmap.errors import InputError
from gemmap.particles.table import ParticleTable

#: Names quoted in a sentence.
_QUOTED = 3


def rows_of_micrographs(table: ParticleTable, names: Sequence[str]) -> Int[np.ndarray, " k"]:
    """Return the rows of the particles of some micrographs.

    Parameters
    ----------
    names
        As in the file, or the last part of such a name (``mic1.mrc`` for ``MotionCorr/job002/mic1.mrc``) where only one
        micrograph has it.

    Raises
    ------
    InputError
        If the file names no micrographs, not this one, or several that end so.
    """
    if table.micrograph_of is None:
        raise InputError(
            "The particles do not say their micrographs; give a file of the particles to leave out instead of a name."
        )
    numbers = [_find(table.micrographs, name) for name in names]
    return np.flatnonzero(np.isin(table.micrograph_of, numbers))


def _find(micrographs: Sequence[str], name: str) -> int:
    if name in micrographs:
        return micrographs.index(name)
    found = [i for i, whole in enumerate(micrographs) if PurePosixPath(whole).name == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"{len(found)} micrographs are called {name} ({', '.join(micrographs[i] for i in found[:_QUOTED])}); give "
            "the whole name of one."
        )
    some = ", ".join(micrographs[:_QUOTED])
    raise InputError(f"No micrograph is called {name}; expected one of {len(micrographs)} such as {some}.")
