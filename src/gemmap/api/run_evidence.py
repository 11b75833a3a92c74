"""The tests that a run was asked for at its start: done when it is finished, or taken up where they ended."""

import json
import shlex
from pathlib import Path

from gemmap.api.evidence import evidence_lines, gather_evidence
from gemmap.api.export import read_finished
from gemmap.api.run import RunInterrupted
from gemmap.errors import InputError
from gemmap.evidence.selection import named
from gemmap.fit.progress import Progress
from gemmap.report.evidence_files import RECORD_NAME, Finding
from gemmap.report.run_folder import LOG_NAME
from gemmap.report.run_log import RunLog


def evidence_left(run: Path) -> tuple[str, ...]:
    """Return the tests that a finished run was asked for and that are not recorded; none of any other folder."""
    try:
        asked = read_finished(run)["config"].get("evidence")
        recorded = _records(run)
    except (InputError, ValueError, AttributeError, KeyError):
        return ()
    return tuple(name for name in named(asked) if name not in recorded) if isinstance(asked, str) else ()


def finish_evidence(
    run: Path, progress: Progress, threads: int | None = None, device: str | None = None
) -> dict[str, Finding | None]:
    """Do the tests that are left; those that are recorded are not done again.

    Raises
    ------
    RunInterrupted
        On Ctrl-C: the run and the tests done so far are there.
    GemError
        As :func:`gemmap.gather_evidence`; the run is finished whatever happens here.
    """
    left = evidence_left(run)
    if not left:
        return {}
    try:
        return gather_evidence(run, left, threads=threads, device=device, progress=progress)
    except KeyboardInterrupt:
        message = (
            f"Interrupted; the run in {run} is finished, and of its evidence {', '.join(evidence_left(run))} is left; "
            f"gemmap reconstruct --resume {shlex.quote(str(run))} goes on."
        )
        RunLog(run / LOG_NAME).write(message)
        raise RunInterrupted(message) from None


def run_evidence_lines(run: Path) -> list[tuple[str, str]]:
    """Return what the tests of a run found, as labels and texts."""
    return evidence_lines(_records(run))


def _records(run: Path) -> dict[str, dict[str, object]]:
    path = run / RECORD_NAME
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
