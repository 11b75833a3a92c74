"""What a run found, in the formats of other programs."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gemmap.api.deposition import write_deposition
from gemmap.errors import InputError
from gemmap.io.atomic import atomic_path
from gemmap.io.folders import prepare_folder, require_free
from gemmap.io.gaussian_exports import WRITERS
from gemmap.io.gaussians import load_gaussians
from gemmap.io.mrc import read_map
from gemmap.report.chimerax import session_commands, write_commands
from gemmap.report.record import RUN_FILES
from gemmap.report.run_folder import JOB_NAME

#: Formats: those of Gaussians, ChimeraX commands with the maps they open, and the folder of a deposition.
FORMATS = (*WRITERS, "cxc", "deposit")
#: Whose Gaussians: of the final map or of a half-map.
SETS = {"full": "", "half1": "_half1", "half2": "_half2"}
_SESSION = "session.cxc"


@dataclass(frozen=True)
class Exported:
    """A file or folder that was written, and what it holds in words."""

    path: Path
    content: str


def export_run(
    run: Path | str,
    output: Path | str,
    formats: Sequence[str] = FORMATS,
    which: str = "full",
    overwrite: bool = False,
) -> list[Exported]:
    """Write the results of a finished run for other programs.

    Parameters
    ----------
    run
        Folder that ``gemmap reconstruct -o`` made.
    output
        Folder for the files, made here.
    formats
        Some of ``cif`` (pseudo-atoms), ``ply`` (splats), ``bild`` (ChimeraX), ``npz`` (numpy), ``cxc`` (maps and
        ChimeraX commands), ``deposit`` (what the EMDB asks for).
    which
        Gaussians of the ``full`` map, ``half1`` or ``half2``.
    overwrite
        Replace these files in an existing folder; others stay.

    Raises
    ------
    InputError
        If it is no folder of a finished run, or a format is unknown.
    OutputError
        If the folder exists or a file cannot be written.
    """
    run, output = Path(run), Path(output)
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise InputError(f"The format is {(unknown or ['none'])[0]!r}; expected some of {', '.join(FORMATS)}.")
    if which not in SETS:
        raise InputError(f"The Gaussians of {which!r} were asked for; expected {', '.join(SETS)}.")
    job = read_finished(run)
    require_free(output, overwrite)
    if output.resolve() == run.resolve():
        raise InputError(f"{output} is the run itself; give another folder for the exports.")
    prepare_folder(output, [])
    written = []
    chosen = [name for name in FORMATS if name in formats]
    if any(name in WRITERS for name in chosen):
        stored = load_gaussians(run / f"gaussians{SETS[which]}.safetensors")
        for name in (name for name in chosen if name in WRITERS):
            path = output / f"gaussians{SETS[which]}.{name}"
            written.append(Exported(path, f"{WRITERS[name](path, stored):,} Gaussians"))
    if "cxc" in chosen:
        written.append(_session(run, output))
    if "deposit" in chosen:
        folder = output / "deposition"
        written.append(Exported(folder, f"{write_deposition(run, folder, job)} files for the EMDB"))
    return written


def read_finished(run: Path) -> Mapping[str, Any]:
    """Return the record of a finished run.

    Raises
    ------
    InputError
        If there is none, or the run is not finished.
    """
    path = run / JOB_NAME
    try:
        job = json.loads(path.read_text(encoding="utf-8"))
        status = job["status"]
    except OSError as error:
        raise InputError(
            f"{run} is no folder of a run: {JOB_NAME} cannot be read ({error.strerror or error}); give the folder "
            "that reconstruct -o made."
        ) from error
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path} is not the record of a run; give the folder that reconstruct -o made.") from None
    if status != "finished":
        raise InputError(f"The run in {run} is {status}; finish it with gemmap reconstruct --resume first.")
    return dict(job)


def _session(run: Path, output: Path) -> Exported:
    """Copy the maps beside the commands that open them, so that the folder can be sent to somebody."""
    maps = [name for name in RUN_FILES if name.endswith(".mrc") and (run / name).exists()]
    commands = session_commands(run, _local_range(run))
    opened = [name for name in maps if any(f'"{name}"' in command for command in commands)]
    for name in opened:
        with atomic_path(output / name) as temporary:
            shutil.copyfile(run / name, temporary)
    write_commands(output / _SESSION, commands)
    return Exported(output / _SESSION, f"ChimeraX commands for {len(opened)} maps")


def _local_range(run: Path) -> tuple[float, float] | None:
    """Range of local resolutions within the mask; None without them."""
    paths = run / "locres.mrc", run / "mask.mrc"
    if not all(path.exists() for path in paths):
        return None
    local, mask = (read_map(path)[0] for path in paths)
    inside = local[(mask > 0.5) & (local > 0)]
    if not len(inside):
        return None
    low, high = np.percentile(inside, (2, 98))
    return float(low), float(high)
