"""Classes of a particle file: which particles are meant."""

from pathlib import Path

import numpy as np

from gemmap._types import Int
from gemmap.errors import InputError
from gemmap.particles.table import ParticleTable


def choose_class(
    table: ParticleTable, class_number: int | None, source: Path, rows: Int[np.ndarray, " k"]
) -> tuple[Int[np.ndarray, " m"], tuple[str, ...]]:
    """Return those of some rows that are in a class, and notes for the user.

    Without a class all rows are kept, and a note names the classes if there are several: after a 3-D classification
    their particles show different structures, after a consensus refinement the numbers may be left from 2-D classes.

    Raises
    ------
    InputError
        If the file has no classes, or no particle in this one.
    """
    if table.class_of is None:
        if class_number is not None:
            raise InputError(f"{source} has no classes; leave out --class.")
        return rows, ()
    numbers, counts = np.unique(table.class_of[rows], return_counts=True)
    listed = ", ".join(f"{number}: {count:,}" for number, count in zip(numbers[:10], counts[:10], strict=True))
    listed += ", ..." if len(numbers) > 10 else ""
    if class_number is None:
        if len(numbers) < 2:
            return rows, ()
        return rows, (
            f"The particles are of {len(numbers)} classes ({listed}) and are used as one set; choose one with --class.",
        )
    if class_number not in numbers:
        raise InputError(f"{source} has no particle of class {class_number}; it has those of {listed}.")
    kept = rows[table.class_of[rows] == class_number]
    if len(numbers) == 1:
        return kept, ()
    return kept, (f"Class {class_number} was chosen, {len(kept):,} of {len(rows):,} particles ({listed}).",)
