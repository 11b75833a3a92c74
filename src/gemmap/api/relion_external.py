"""A reconstruction as an External job of RELION: begun in a folder that is there, aborted and continued from RELION."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from gemmap.api.options import ReconstructionOptions
from gemmap.api.plan import ReconstructionPlan, plan_reconstruction
from gemmap.api.result import ReconstructionResult
from gemmap.api.resume import UnfinishedRun
from gemmap.api.run import RunInterrupted, run_plan
from gemmap.errors import InputError
from gemmap.fit.aggregate import Aggregate
from gemmap.fit.progress import Progress
from gemmap.fit.records import FitResult
from gemmap.io.relion_job import RelionJob
from gemmap.report.run_folder import JOB_NAME


def reconstruct_in_job(
    job: RelionJob,
    options: ReconstructionOptions,
    progress: Progress,
    announce: Callable[[ReconstructionPlan], None],
    argv: Sequence[str],
) -> ReconstructionResult:
    """Reconstruct in the job's folder, or go on with what was begun there by the same options.

    Parameters
    ----------
    job
        Where the results go; RELION's own files there stay.
    options
        Of the reconstruction.
    progress
        Told what happens.
    announce
        Told what will be done.
    argv
        Command line for the record.

    Raises
    ------
    KeyboardInterrupt
        If the user aborts the job.
    GemError
        See :func:`gemmap.reconstruct`.
    """
    watched = UntilAborted(progress, job)
    unfinished = _unfinished(job, options, progress)
    try:
        if unfinished is None:
            plan = plan_reconstruction(options)
            announce(plan)
            result = run_plan(plan, job.folder, watched, argv)
        else:
            with unfinished as run:
                plan = run.plan(options.threads, options.device, options.checkpoint_interval_s)
                announce(plan)
                result = run.finish(plan, watched)
    except RunInterrupted as stop:
        raise RunInterrupted(f"{stop} Continue the job in RELION, so that RELION sees how it ends.") from None
    job.write_nodes()
    return result


def _unfinished(job: RelionJob, options: ReconstructionOptions, progress: Progress) -> UnfinishedRun | None:
    """Return the run in the folder if it can be gone on with; otherwise say why not, where there is one."""
    if not (job.folder / JOB_NAME).exists():
        return None
    try:
        run = UnfinishedRun(job.folder)
    except InputError as error:
        # The rest of the sentence advises what is done here anyway.
        progress.note(f"{str(error).partition(';')[0].rstrip('.')}: it starts again.")
        return None
    own = run.options
    same = replace(options, threads=own.threads, device=own.device, checkpoint_interval_s=own.checkpoint_interval_s)
    if same == own:
        progress.note(f"The run in {job.name} goes on from where it was interrupted.")
        return run
    with run:
        progress.note(f"The run in {job.name} was begun with other options: it starts again.")
    return None


class UntilAborted:
    """A ``fit.progress.Progress`` that ends the run when the user has aborted the job in RELION.

    Parameters
    ----------
    watcher
        Gets every piece of news.
    job
        Asked at most once an interval.
    interval_s
        Least time between two looks at the folder.

    Raises
    ------
    KeyboardInterrupt
        From the first piece of news after the abort.
    """

    def __init__(self, watcher: Progress, job: RelionJob, interval_s: float = 1.0) -> None:
        self._watcher, self._job, self._interval_s = watcher, job, interval_s
        self._last = -interval_s

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._last >= self._interval_s:
            self._last = now
            if self._job.abort_asked:
                raise KeyboardInterrupt

    def start(self, stage: str, total: int, unit: str) -> None:
        """Pass it on."""
        self._look()
        self._watcher.start(stage, total, unit)

    def advance(self, done: int, text: str = "") -> None:
        """Pass it on."""
        self._look()
        self._watcher.advance(done, text)

    def finish(self) -> None:
        """Pass it on."""
        self._watcher.finish()

    def note(self, text: str) -> None:
        """Pass it on."""
        self._watcher.note(text)

    def aggregate(self, name: str, aggregate: Aggregate) -> None:
        """Pass it on."""
        self._watcher.aggregate(name, aggregate)

    def result(self, name: str, result: FitResult) -> None:
        """Pass it on."""
        self._watcher.result(name, result)
        self._look()
