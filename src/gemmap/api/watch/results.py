"""Results of a folder that is watched: made beside those that are there, and put in their place when complete."""

import json
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from gemmap.api.fit_sums import fit_sums
from gemmap.api.options import ReconstructionOptions
from gemmap.errors import OutputError
from gemmap.fit.progress import Progress
from gemmap.report.history import HISTORY_NAME, HistoryRow, append_history
from gemmap.report.html.page import write_report
from gemmap.report.record import RUN_FILES, write_readme
from gemmap.report.run_folder import JOB_NAME, MAP_NAME
from gemmap.report.summary import RunSummary

#: Where results are made.
NEXT_NAME = "next"


def renew_results(run: Path, sums: Path, options: ReconstructionOptions, progress: Progress) -> RunSummary:
    """Fit sums, and replace the results in the folder of a run: every file by one rename, none before all are there.

    Raises
    ------
    InputError, FormatError, OutputError, BackendError
        As :func:`gemmap.api.fit_sums.fit_sums`; the results that were there stay.
    """
    new, started = run / NEXT_NAME, time.perf_counter()
    discard(new)
    summary = fit_sums(
        sums,
        new,
        particle_diameter_a=options.particle_diameter_a,
        n_gaussians=options.n_gaussians,
        shape=options.shape,
        max_steps=options.max_steps,
        seed=options.seed,
        local_resolution=options.local_resolution,
        threads=options.threads,
        device=options.device,
        progress=progress,
        shown_as=run,
    )
    put_in_place(run)
    append_history(
        run,
        HistoryRow(
            time.time(),
            summary.n_particles,
            summary.resolution.value_a,
            summary.half_map_masked.value_a,
            time.perf_counter() - started,
        ),
    )
    write_report(run)
    write_readme(run)
    return summary


def recover_results(run: Path) -> None:
    """Go on where a process was killed: complete results are put in their place, others removed.

    Raises
    ------
    OutputError
        If the operating system refuses.
    """
    if _is_complete(run / NEXT_NAME):
        put_in_place(run)
        write_report(run)
        write_readme(run)
    discard(run / NEXT_NAME)


def put_in_place(run: Path) -> None:
    """Move complete results to the folder of the run; a process that is killed meanwhile leaves what to go on from.

    Raises
    ------
    OutputError
        If the operating system refuses.
    """
    new = run / NEXT_NAME
    names = [name for name in RUN_FILES if name != HISTORY_NAME]
    try:
        # The map is moved first: while it is here nothing was moved, and all that is not here is of an older fit.
        if (new / MAP_NAME).is_file():
            for name in names:
                if not (new / name).is_file():
                    (run / name).unlink(missing_ok=True)
        rest = [name for name in names if name not in (MAP_NAME, JOB_NAME)]
        for name in (MAP_NAME, *rest, "README.txt", JOB_NAME):
            if (new / name).is_file():
                os.replace(new / name, run / name)
    except OSError as error:
        raise OutputError(
            f"Cannot write to {run}: {error.strerror or error}; free space, or correct its rights."
        ) from error
    discard(new)


def discard(new: Path) -> None:
    """Remove the folder of results that were not finished."""
    with suppress(FileNotFoundError):
        shutil.rmtree(new)


def _is_complete(new: Path) -> bool:
    """Whether a fit ended well there: its record is written last."""
    try:
        return bool(json.loads((new / JOB_NAME).read_text(encoding="utf-8"))["status"] == "finished")
    except (OSError, ValueError, KeyError, TypeError):
        return False
