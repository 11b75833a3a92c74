"""What figures are drawn from: the folder of a finished run, or of a validation."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gemmap._types import Curve, Float
from gemmap.errors import InputError
from gemmap.report.html.files import RunFiles
from gemmap.validate.resolution import Interval, Resolution

_VALIDATION = "validation.json"


class ValidationFiles(RunFiles):
    """Readers of a folder that ``gemmap validate`` made."""

    record_name: ClassVar[str] = _VALIDATION
    record_part: ClassVar[tuple[str, type]] = ("resolutions", dict)


def open_results(folder: Path) -> RunFiles:
    """Return the readers of a run's folder, or of a validation's.

    Raises
    ------
    InputError, FormatError
        If it is neither, or the run is not finished.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the folder that reconstruct -o or validate -o made.")
    if not (folder / RunFiles.record_name).exists():
        if (folder / _VALIDATION).exists():
            return ValidationFiles(folder)
        raise InputError(
            f"{folder} holds neither a run ({RunFiles.record_name}) nor a validation ({_VALIDATION}); give the folder "
            "that reconstruct -o or validate -o made."
        )
    run = RunFiles(folder)
    if run.job["status"] != "finished":
        raise InputError(
            f'The run in {folder} is not finished, its status is "{run.job["status"]}"; finish it with gemmap '
            f"reconstruct --resume {folder}."
        )
    return run


def stated_resolution(files: RunFiles) -> Resolution | None:
    """Return the resolution that a record states first: of the map, or of half-maps alone."""
    found = files.part("resolutions")
    stated, interval = found.get("map"), None
    if not isinstance(stated, Mapping):
        stated, interval = found.get("masked"), files.part("interval_95")
    if not isinstance(stated, Mapping):
        return None
    threshold, shell = stated.get("threshold"), stated.get("shell")
    if not isinstance(threshold, int | float) or not isinstance(shell, int | float):
        return None
    return Resolution(
        value_a=_length_a(stated.get("value_a")),
        threshold=float(threshold),
        estimator=str(stated.get("estimator", "FSC")),
        mask=str(stated.get("mask", "mask not stated")),
        at_nyquist=bool(stated.get("at_nyquist")),
        shell=float(shell),
        at_limit=bool(stated.get("at_limit")),
        interval=_interval(stated.get("interval") or interval),
    )


def _length_a(value: Any) -> float:
    """A length of a record, where infinity is null."""
    return float(value) if isinstance(value, int | float) else math.inf


def _interval(found: Any) -> Interval | None:
    if not isinstance(found, Mapping) or "better_a" not in found or "worse_a" not in found:
        return None
    return Interval(_length_a(found["better_a"]), _length_a(found["worse_a"]))


@dataclass(frozen=True, eq=False)
class TableDirection:
    """Resolution along axes, of a table; attributes as those of `DirectionalFsc`."""

    axes: Float[np.ndarray, "n 3"]
    resolutions_a: Curve
    areas: Curve

    @property
    def cfar(self) -> float:
        """Smallest area under a curve over the largest; 0 without signal."""
        largest = float(self.areas.max())
        return max(float(self.areas.min()) / largest, 0.0) if largest > 0 else 0.0


@dataclass(frozen=True, eq=False)
class TableViews:
    """Density of views, of a table; attributes as those of `Views`."""

    directions: Float[np.ndarray, "n 3"]
    relative: Curve


def read_directions(files: RunFiles) -> tuple[dict[str, TableDirection], TableViews | None]:
    """Return resolution by direction of half-maps and back-projections, and the density of views; what is there."""
    of: dict[str, TableDirection] = {}
    along, views = files.table("direction.csv"), files.table("views.csv")
    if along is not None and all(name in along for name in "xyz"):
        axes = np.stack([along[name] for name in "xyz"], axis=-1)
        for name, suffix in (("half-maps", ""), ("back-projections", "_backprojection")):
            resolution, area = f"resolution{suffix}_a", f"area{suffix}"
            if resolution in along and area in along and len(axes):
                of[name] = TableDirection(axes, along[resolution], along[area])
    density = None
    if views is not None and all(name in views for name in (*"xyz", "relative")) and len(views["x"]):
        density = TableViews(np.stack([views[name] for name in "xyz"], axis=-1), views["relative"])
    return of, density
