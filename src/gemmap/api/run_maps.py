"""The maps of a finished run, read again from its folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemmap._types import Rotations, Volume
from gemmap.errors import GemError, InputError
from gemmap.io.formats import read_table
from gemmap.io.mrc import read_map
from gemmap.report.run_folder import JOB_NAME, MAP_NAME

#: Half-maps, their back-projections, the final map and the mask.
_MAPS = (
    "run_half1_class001_unfil.mrc", "run_half2_class001_unfil.mrc", "backprojection_half1.mrc",
    "backprojection_half2.mrc", MAP_NAME, "mask.mrc",
)  # fmt: skip
_PARTICLES = "particles.star"


@dataclass(frozen=True, eq=False)
class RunMaps:
    """What a run left.

    Attributes
    ----------
    half_maps, backprojections
        Of half-sets 1 and 2.
    final, mask
        Map of all particles, and mask of the masked curves.
    pixel_size_a
        Å.
    particle_diameter_a, symmetry
        As the run found and was told.
    rotations
        Poses of its particles; None if they are not there any more.
    inputs
        Files that were read.
    notes
        What is not there, one sentence each.
    """

    half_maps: tuple[Volume, Volume]
    backprojections: tuple[Volume, Volume]
    final: Volume
    mask: Volume
    pixel_size_a: float
    particle_diameter_a: float | None
    symmetry: str
    rotations: Rotations | None
    inputs: tuple[Path, ...]
    notes: tuple[str, ...]


def read_run(folder: Path) -> RunMaps:
    """Read the maps and the poses of a run.

    Raises
    ------
    InputError, FormatError
        If it is no folder of a finished run, or maps of it are missing or damaged.
    """
    job = _read_job(folder)
    missing = [name for name in _MAPS if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{folder / missing[0]} is missing (the run is {job.get('status')}); finish it with gemmap reconstruct "
            "--resume, or give two half-maps instead of the folder."
        )
    (half1, pixel_size_a), *others = (read_map(folder / name) for name in _MAPS)
    half2, back1, back2, final, mask = (volume for volume, _ in others)
    inputs, notes, rotations = [folder / name for name in _MAPS], [], None
    config = _part(job, "config")
    if (folder / _PARTICLES).is_file():
        try:
            table, *_ = read_table(folder / _PARTICLES, no_ctf=config.get("no_ctf") is True)
            rotations = table.rotations
            inputs.append(folder / _PARTICLES)
        except GemError as error:
            notes.append(f"The distribution of views is not known: {error}")
    else:
        notes.append(f"The distribution of views is not known: {folder / _PARTICLES} is missing.")
    diameter_a = _part(job, "results").get("particle_diameter_a")
    return RunMaps(
        half_maps=(half1, half2),
        backprojections=(back1, back2),
        final=final,
        mask=mask,
        pixel_size_a=pixel_size_a,
        particle_diameter_a=float(diameter_a) if isinstance(diameter_a, int | float) else None,
        symmetry=str(config.get("sym", "C1")),
        rotations=rotations,
        inputs=tuple(inputs),
        notes=tuple(notes),
    )


def _read_job(folder: Path) -> dict[str, Any]:
    file = folder / JOB_NAME
    try:
        job = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{folder} is no folder of a run: {JOB_NAME} cannot be read ({error.strerror or error}); give the folder "
            "that reconstruct -o made, or two half-maps."
        ) from error
    except ValueError:
        raise InputError(f"{file} is not the record of a run; give the folder that reconstruct -o made.") from None
    if not isinstance(job, dict):
        raise InputError(f"{file} is not the record of a run; give the folder that reconstruct -o made.")
    return job


def _part(job: dict[str, Any], name: str) -> dict[str, Any]:
    value = job.get(name)
    return value if isinstance(value, dict) else {}
