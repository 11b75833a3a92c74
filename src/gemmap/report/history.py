"""Resolution against the number of particles, as a folder that is watched grows."""

import csv
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from gemmap.errors import FormatError
from gemmap.io.atomic import atomic_path
from gemmap.io.opening import read_text

HISTORY_NAME = "history.csv"


@dataclass(frozen=True)
class HistoryRow:
    """One fit.

    Attributes
    ----------
    unix_time_s
        When it ended, seconds since 1970 (UTC).
    n_particles
        In it.
    resolution_a
        Of the final map, Å; ``inf`` where it is not resolved.
    half_maps_masked_a
        Where the masked half-map FSC crosses 0.143, Å.
    fit_s
        Wall time.
    """

    unix_time_s: float
    n_particles: int
    resolution_a: float
    half_maps_masked_a: float
    fit_s: float


def append_history(folder: Path, row: HistoryRow) -> None:
    """Add a row to the history of a run's folder; the file is replaced whole.

    Raises
    ------
    FormatError, OutputError
        If the file there is no history, or cannot be written.
    """
    path, names = folder / HISTORY_NAME, [f.name for f in fields(HistoryRow)]
    lines = list(csv.reader(read_text(path, "a history").splitlines())) if path.is_file() else [names]
    if lines[:1] != [names]:
        raise FormatError(f"{path} is not a history of gemmap watch; remove it, or choose another folder.")
    lines.append(
        [f"{value:.6g}" if isinstance(value, float) and value < 1e6 else f"{value:.0f}" for value in astuple(row)]
    )
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as handle:
        csv.writer(handle, lineterminator="\n").writerows(lines)
