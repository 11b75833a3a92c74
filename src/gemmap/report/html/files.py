"""The files of a run folder, read as far as they are there; the page says what is missing."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from gemmap._types import Curve, Volume
from gemmap.errors import FormatError, GemError, InputError
from gemmap.io.gaussians import StoredGaussians, load_gaussians
from gemmap.io.mrc import read_map
from gemmap.io.opening import read_text
from gemmap.io.relion import read_relion
from gemmap.io.star import StarTable, read_star
from gemmap.particles.table import ParticleTable

_T = TypeVar("_T")
#: Columns that a table over shells begins with.
_FRAME = ("shell", "resolution_a", "spatial_frequency")


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of numbers by name, in the order of the file."""

    columns: dict[str, Curve]

    def __getitem__(self, name: str) -> Curve:
        return self.columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    @property
    def curves(self) -> dict[str, Curve]:
        """Columns over shells, without shell, resolution and frequency."""
        return {name: values for name, values in self.columns.items() if name not in _FRAME}


@dataclass(eq=False)
class RunFiles:
    """Readers of one folder. They return None for a file that is not there or is damaged, and note it.

    Attributes
    ----------
    folder
        The run.
    job
        Content of job.json.
    problems
        Sentences about files that are there and cannot be read.

    Raises
    ------
    InputError, FormatError
        If the folder is not that of a run.
    """

    folder: Path
    job: dict[str, Any] = field(init=False)
    problems: list[str] = field(default_factory=list)
    #: Name of the record, and a part that it must hold.
    record_name: ClassVar[str] = "job.json"
    record_part: ClassVar[tuple[str, type]] = ("status", str)

    def __post_init__(self) -> None:
        file = self.folder / self.record_name
        if not file.is_file():
            raise InputError(
                f"{self.folder} is no folder of a run: there is no {self.record_name} in it; give the folder that "
                "reconstruct -o made."
            )
        try:
            job = json.loads(read_text(file, "the record of a run"))
        except ValueError:
            job = None
        name, kind = self.record_part
        if not isinstance(job, dict) or not isinstance(job.get(name), kind):
            raise FormatError(f"{file} is not the record of a run; give the folder that reconstruct -o made.")
        self.job = job

    def part(self, *keys: str) -> dict[str, Any]:
        """Return a mapping inside the record, empty if it is not there."""
        value: Any = self.job
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value if isinstance(value, dict) else {}

    def number(self, *keys: str) -> float | None:
        """Return a number inside the record, or None: those that are not finite are null there."""
        value = self.part(*keys[:-1]).get(keys[-1])
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def listed(self, *keys: str) -> list[Any]:
        """Return a list inside the record, empty if it is not there."""
        value = self.part(*keys[:-1]).get(keys[-1])
        return value if isinstance(value, list) else []

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return (self.folder / name).is_file()

    def text(self, name: str) -> str | None:
        """Return a text file."""
        return self._read(name, lambda path: read_text(path, "text", "backslashreplace"))

    def table(self, name: str) -> Table | None:
        """Return a table of comma-separated numbers."""
        return self._read(name, _read_table)

    def map(self, name: str) -> tuple[Volume, float] | None:
        """Return a map and its pixel size in Å."""
        return self._read(name, read_map)

    def gaussians(self, name: str) -> StoredGaussians | None:
        """Return the Gaussians of a fit."""
        return self._read(name, load_gaussians)

    def star(self, name: str) -> dict[str, StarTable] | None:
        """Return the tables of a STAR file."""
        return self._read(name, read_star)

    @cached_property
    def particles(self) -> ParticleTable | None:
        """The particles as used."""
        no_ctf = bool(self.part("config").get("no_ctf"))
        return self._read("particles.star", lambda path: read_relion(path, no_ctf=no_ctf)[0])

    def _read(self, name: str, reader: Callable[[Path], _T]) -> _T | None:
        if not self.has(name):
            return None
        try:
            return reader(self.folder / name)
        except GemError as error:
            self.problems.append(str(error))
            return None


def _read_table(path: Path) -> Table:
    lines = list(csv.reader(read_text(path, "a table").splitlines()))
    try:
        head, rows = lines[0], np.array([[float(cell) for cell in line] for line in lines[1:]])
        return Table(dict(zip(head, rows.reshape(-1, len(head)).T, strict=True)))
    except (ValueError, IndexError):
        raise FormatError(f"{path} is not a table of numbers with names in its first line.") from None
