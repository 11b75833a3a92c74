"""Images that show nothing: left out and counted, as long as they are few."""

from collections.abc import Iterable, Sequence

import numpy as np

from gemmap._types import Bool, Float, Int
from gemmap.errors import InputError

#: More than this part of all images being dead is a fault of the set, not of single images.
LARGEST_PART = 0.01
#: Pixels that differ by less than this part of their size are equal up to the rounding of whatever wrote them.
_ROUNDING = 1e-6
#: Particles named in a sentence.
_NAMED = 3


def is_dead(images: Float[np.ndarray, "b d d"]) -> Bool[np.ndarray, " b"]:
    """Whether each image holds a pixel that is not a finite number, or one value everywhere (up to rounding)."""
    # A minimum or maximum is NaN where a pixel is.
    low, high = images.min(axis=(1, 2), initial=np.inf), images.max(axis=(1, 2), initial=-np.inf)
    with np.errstate(invalid="ignore", over="ignore"):
        shows_something = high - low > _ROUNDING * np.maximum(np.abs(low), np.abs(high))
    return np.asarray(~(np.isfinite(low) & np.isfinite(high) & shows_something))


class DeadImages:
    """The particles of one table whose images were found dead so far, each counted once.

    Parameters
    ----------
    n_particles
        Particles in the table.
    rows
        Rows of the table that are known to be dead: those that an interrupted run found.
    largest_part
        Of all images that may be dead.
    """

    def __init__(self, n_particles: int, rows: Iterable[int] = (), largest_part: float = LARGEST_PART) -> None:
        self._n_particles, self._largest_part = n_particles, largest_part
        self._rows = {int(row) for row in rows}

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> Int[np.ndarray, " k"]:
        """Rows of the table, ascending."""
        return np.array(sorted(self._rows), np.int64)

    def add(self, rows: Int[np.ndarray, " k"]) -> None:
        """Count particles as dead.

        Raises
        ------
        InputError
            If they are more than ``largest_part`` of all then.
        """
        self._rows.update(rows.tolist())
        if len(self._rows) > self._largest_part * self._n_particles:
            raise InputError(
                f"{len(self._rows)} of {self._n_particles} images, as far as they were read, are dead (pixels that are "
                f"not finite numbers, or all equal; {named(self.rows)}); at most {100 * self._largest_part:g} % can be "
                "left out: remove these particles or extract them again."
            )

    def living(self, rows: Int[np.ndarray, " n"]) -> Int[np.ndarray, " k"]:
        """Return those of the rows that are not known to be dead, in their order."""
        return rows[~np.isin(rows, self.rows)] if self._rows else rows


def named(rows: Sequence[int] | Int[np.ndarray, " k"]) -> str:
    """Name the first few particles, counted from 1."""
    numbers = ", ".join(str(int(row) + 1) for row in rows[:_NAMED])
    return f"particle{'s' if len(rows) > 1 else ''} {numbers}{', ...' if len(rows) > _NAMED else ''}"
