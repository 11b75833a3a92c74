"""Tests of a finished run on its own particles: is what the map shows in the data?"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from gemmap.api.export import read_finished
from gemmap.api.options import ReconstructionOptions
from gemmap.api.plan import ReconstructionPlan, plan_reconstruction
from gemmap.errors import FormatError, GemError, InputError, OutputError
from gemmap.evidence.case import Case
from gemmap.evidence.held_out import FRACTION, hold_out
from gemmap.evidence.noise_substitution import substitute_noise
from gemmap.evidence.particle_count import count_particles
from gemmap.evidence.pure_noise import reconstruct_noise
from gemmap.evidence.selection import TESTS, checked
from gemmap.fit.progress import Progress, Silent
from gemmap.io.atomic import atomic_path
from gemmap.io.lock import FileLock
from gemmap.io.mrc import read_map
from gemmap.report.evidence_files import (
    FIGURE_NAME,
    FILES,
    RECORD_NAME,
    Finding,
    record_of,
    write_evidence_figure,
    write_record,
    write_table,
)
from gemmap.report.html.page import write_report
from gemmap.report.record import write_readme
from gemmap.report.run_folder import JOB_NAME, LOG_NAME
from gemmap.report.run_log import RunLog

#: Tells what it does, and returns what it found; None where the particles do not allow it.
Test: TypeAlias = Callable[[Progress], Finding | None]

#: A test that cannot be done on these particles, and why.
_NOT_DONE = {
    "noise-substitution": "the back-projections' FSC never falls below 0.8 in the mask: there is nothing beyond",
    "held-out": "there are too few particles to hold some out",
}


def gather_evidence(
    run: Path | str,
    tests: Sequence[str] = TESTS,
    *,
    seed: int | None = None,
    hold_out_fraction: float = FRACTION,
    randomise_from_a: float | None = None,
    threads: int | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Finding | None]:
    """Repeat a finished run on changed particles, and write what that shows into its folder.

    Parameters
    ----------
    run
        Folder that ``gemmap reconstruct -o`` made; the particles must be where they were.
    tests
        Some of ``noise-substitution``, ``held-out``, ``pure-noise`` and ``particle-count``.
    seed
        Of phases and noise; None takes the run's own.
    hold_out_fraction
        Part of each half that is held out.
    randomise_from_a
        Resolution in Å beyond which noise substitution makes phases random; None for where the back-projections' FSC in
        the mask falls below 0.8.
    threads, device
        None for the run's own.
    progress
        Told what happens.

    Returns
    -------
    dict
        What each test found; None where it could not be done, which the record says why.

    Raises
    ------
    InputError
        If it is no folder of a finished run, its particles are gone or changed, or a test is unknown.
    OutputError
        If another process writes to the folder, or a file cannot be written.
    """
    run = Path(run)
    names = checked(tests)
    if not 0.0 < hold_out_fraction <= 0.5:
        raise InputError(f"The fraction to hold out is {hold_out_fraction:g}; expected more than 0 and at most 0.5.")
    job = read_finished(run)
    lock = FileLock(run / LOG_NAME)
    try:
        plan = _plan_again(run, job, threads, device)
        case = _case(run, job, plan, plan.options.seed if seed is None else seed)
        last_shell = int(job["resolutions"]["map"]["shell"])
        work = _work(case, last_shell, hold_out_fraction, randomise_from_a)
        return _do(run, names, case, work, Silent() if progress is None else progress)
    finally:
        lock.release()


def _work(case: Case, last_shell: int, fraction: float, randomise_from_a: float | None) -> dict[str, Test]:
    from_shell = None if randomise_from_a is None else _shell_of(randomise_from_a, case)
    return {
        "noise-substitution": lambda progress: substitute_noise(case, progress, from_shell),
        "held-out": lambda progress: hold_out(case, progress, last_shell, fraction),
        "pure-noise": lambda progress: reconstruct_noise(case, progress),
        "particle-count": lambda progress: count_particles(case, progress),
    }


def _shell_of(resolution_a: float, case: Case) -> int:
    side_a, last = case.box_px * case.pixel_size_a, case.box_px // 2 - 1
    if not (math.isfinite(resolution_a) and side_a / (last + 0.5) < resolution_a < side_a / 0.5):
        raise InputError(
            f"Phases are to be random beyond {resolution_a:g} Å; expected a resolution from {side_a / last:.2f} to "
            f"{side_a:.0f} Å, within the shells of the box."
        )
    return round(side_a / resolution_a)


def _do(
    run: Path, names: Sequence[str], case: Case, work: Mapping[str, Test], progress: Progress
) -> dict[str, Finding | None]:
    found: dict[str, Finding | None] = {}
    records, log = _earlier(run), RunLog(run / LOG_NAME)
    for name in names:
        finding, reason = None, _NOT_DONE.get(name, "")
        started = time.perf_counter()
        try:
            finding = work[name](progress)
        except OutputError:
            raise
        except GemError as error:
            # The other tests may be possible.
            reason = str(error)
        found[name] = finding
        if finding is None:
            records[name] = {"text": f"not done: {reason}"}
            # Of an earlier call, with other options.
            (run / FILES[name]).unlink(missing_ok=True)
        else:
            write_table(run / FILES[name], finding, case.box_px, case.pixel_size_a)
            records[name] = {**record_of(finding), "seconds": time.perf_counter() - started}
        # What was found is there when the next test is interrupted.
        write_record(run / RECORD_NAME, records)
        _add_to_job(run, records)
        log.write(f"evidence, {name}: {records[name]['text']}")
    drawn = {name: finding for name, finding in found.items() if finding is not None}
    if drawn:
        write_evidence_figure(run / FIGURE_NAME, drawn, case.box_px, case.pixel_size_a)
    write_readme(run)
    write_report(run)
    return found


def evidence_lines(records: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a user reads, as labels and texts, from the records of tests."""
    return [(name, str(records[name]["text"])) for name in TESTS if name in records]


def _plan_again(run: Path, job: Mapping[str, Any], threads: int | None, device: str | None) -> ReconstructionPlan:
    """Read the particles of the run as it did."""
    if job["config"].get("particles") is None:
        raise InputError(f"The particles of the run in {run} were in memory; there is nothing to test with.")
    _require_unchanged(job)
    changed = {name: value for name, value in (("threads", threads), ("device", device)) if value is not None}
    values = {**job["config"], **changed}
    return plan_reconstruction(ReconstructionOptions.from_values(values, str(run / JOB_NAME)))


def _require_unchanged(job: Mapping[str, Any]) -> None:
    for file in job["inputs"]:
        path = Path(file["path"])
        size = path.stat().st_size if path.exists() else None
        if size != file["size_bytes"]:
            what = "is not there any more" if size is None else "has changed"
            raise InputError(f"{path} {what} since the run; the tests need the particles as they were.")


def _case(run: Path, job: Mapping[str, Any], plan: ReconstructionPlan, seed: int) -> Case:
    names = ("run_half1_class001_unfil", "run_half2_class001_unfil", "backprojection_half1", "backprojection_half2")
    one, two, back1, back2 = (read_map(run / f"{name}.mrc")[0] for name in names)
    return Case(
        table=plan.table,
        stack=plan.stack,
        # The run has settled that the particles are bright; a part of them, or their noise, may not show it.
        config=replace(plan.config, refuse_dark=False),
        region=plan.mask,
        half_maps=(one, two),
        backprojections=(back1, back2),
        mask=read_map(run / "mask.mrc")[0],
        mask_name=str(job["resolutions"]["map"]["mask"]),
        particle_diameter_a=float(job["results"]["particle_diameter_a"]),
        seed=seed,
        workers=plan.n_threads,
    )


def _earlier(run: Path) -> dict[str, Any]:
    """Records of tests done before."""
    try:
        return dict(json.loads((run / RECORD_NAME).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, OSError):
        raise FormatError(f"{run / RECORD_NAME} is damaged; remove it.") from None


def _add_to_job(run: Path, records: Mapping[str, Any]) -> None:
    job = json.loads((run / JOB_NAME).read_text(encoding="utf-8"))
    job["results"]["evidence"] = records
    with atomic_path(run / JOB_NAME) as temporary:
        text = json.dumps(job, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
