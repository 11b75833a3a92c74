"""A reconstruction as an External job of RELION: begun in a folder that is there, aborted and continued from RELION."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from gemmap.api.options import ReconstructionOptions
from gemmap.api.plan import ReconstructionPlan, plan_reconstruction
from gemmap.api.result import ReconstructionResult
from gemmap.api.resume import UnfinishedRun
from gemmap.api.run import RunInterrupted, run_plan
from gemmap.api.watchers import Watchers
from gemmap.errors import InputError
from gemmap.fit.progress import Progress
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
    watched = Watchers(progress, stop_asked=lambda: job.abort_asked)
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
