"""A reconstruction as an External job of cryoSPARC: its particles, its log, its outputs."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from gemmap.api.options import ReconstructionOptions
from gemmap.api.plan import ReconstructionPlan, plan_reconstruction
from gemmap.api.result import ReconstructionResult
from gemmap.api.run import run_plan, summarise
from gemmap.api.watchers import Watchers
from gemmap.errors import GemError, InputError, OutputError
from gemmap.fit.progress import Progress
from gemmap.report.progress_lines import LineProgress
from gemmap.report.summary import summary_lines

#: File of the particles, in the folder of the results.
PARTICLES_NAME = "particles.cs"
#: File of the run for each part of a volume, as cryoSPARC's refinements name them; its half A is our half-set 1.
VOLUME_FILES = {
    "map": "run_class001.mrc",
    "map_half_A": "run_half1_class001_unfil.mrc",
    "map_half_B": "run_half2_class001_unfil.mrc",
    "map_sharp": "run_class001_sharpened.mrc",
    "mask_fsc": "mask.mrc",
}
#: Other files worth having in the job's folder, and figures for its log.
_FILES = ("report.html", "fsc.xml", "job.json")
_FIGURES = {
    "fsc.png": "FSC curves",
    "slices.png": "Central slices",
    "directions.png": "Views, and resolution by direction",
    "locres.png": "Local resolution",
}
#: Least time between two lines in the job's log, seconds.
_LOG_INTERVAL_S = 30.0


class ExternalJob(Protocol):
    """What is wanted of a job; `gemmap.io.cryosparc_server.CryosparcJob` is one on a server and says what each does."""

    uid: str

    @property
    def volume_parts(self) -> Sequence[str]:
        """Names of the parts that a volume can have."""

    @property
    def project_folder(self) -> Path:
        """Folder that image names are relative to."""

    def start(self) -> None:
        """Show the job as running."""

    def complete(self) -> None:
        """Show the job as completed."""

    def fail(self, reason: str) -> None:
        """Show the job as failed."""

    def save_particles(self, path: Path) -> None:
        """Write the particles of the input to a ``.cs`` file."""

    def log(self, text: str) -> None:
        """Add a line to the log."""

    def log_figure(self, path: Path, text: str) -> None:
        """Add a figure to the log."""

    def upload(self, path: Path) -> None:
        """Put a file into the job's folder."""

    def save_volume(self, files: Mapping[str, str], box_px: int, pixel_size_a: float, image: Path | None) -> None:
        """Make uploaded maps the output."""


def reconstruct_for_cryosparc(
    job: ExternalJob,
    options: Callable[[Path, Path], ReconstructionOptions],
    output: Path,
    progress: Progress,
    announce: Callable[[ReconstructionPlan], None],
    argv: Sequence[str],
) -> ReconstructionResult:
    """Reconstruct from the particles of a job, and give it the maps.

    Parameters
    ----------
    job
        Not started; it ends as completed or failed.
    options
        Of the reconstruction, for a particle file and the folder of the project.
    output
        Folder of this machine for all results, and for the particle file.
    progress
        Told what happens.
    announce
        Told what will be done.
    argv
        Command line for the record.

    Raises
    ------
    GemError
        See :func:`gemmap.reconstruct`; also if the server takes no outputs: the results in the folder are complete.
    """
    job.start()
    try:
        result = _reconstruct(job, options, output, progress, announce, argv)
        _hand_over(job, result, output, progress)
    except BaseException as error:
        # An interruption says nothing; cryoSPARC takes an empty reason for success.
        with suppress(GemError):  # must not hide why the run ended
            job.fail(str(error) or f"The run ended with {type(error).__name__}.")
        raise
    job.complete()
    return result


def _reconstruct(
    job: ExternalJob,
    options: Callable[[Path, Path], ReconstructionOptions],
    output: Path,
    progress: Progress,
    announce: Callable[[ReconstructionPlan], None],
    argv: Sequence[str],
) -> ReconstructionResult:
    particles = output / PARTICLES_NAME
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot write to {output}: {error.strerror or error}; choose another folder.") from error
    try:
        job.save_particles(particles)
        plan = _plan(options(particles, job.project_folder))
    except GemError:
        # Nothing has begun: the folder can be given once more.
        particles.unlink(missing_ok=True)
        with suppress(OSError):
            output.rmdir()
        raise
    announce(plan)
    log = _JobLog(job, progress)
    for line in plan.lines():
        log.write(line)
    result = run_plan(plan, output, Watchers(progress, LineProgress(log.write, _LOG_INTERVAL_S)), argv)
    for line in summary_lines(summarise(result)):
        log.write(line)
    return result


def _plan(options: ReconstructionOptions) -> ReconstructionPlan:
    """Return the plan, unless the project's folder is the server's and not on this machine."""
    if options.datadir is not None and not options.datadir.is_dir():
        raise InputError(
            f"The project's folder {options.datadir} is not on this machine; run where cryoSPARC's workers run, or "
            "give --datadir with the place where it is mounted."
        )
    return plan_reconstruction(options)


def _hand_over(job: ExternalJob, result: ReconstructionResult, output: Path, progress: Progress) -> None:
    """Give maps, figures and the report to the job."""
    try:
        maps = {part: name for part, name in VOLUME_FILES.items() if (output / name).is_file()}
        for name in (*maps.values(), *(name for name in _FILES if (output / name).is_file())):
            job.upload(output / name)
        for name, text in _FIGURES.items():
            if (output / name).is_file():
                job.log_figure(output / name, text)
        known = {part: name for part, name in maps.items() if part in job.volume_parts}
        if "map" in known:
            image = output / "slices.png"
            job.save_volume(known, len(result.map), result.pixel_size_a, image if image.is_file() else None)
        else:
            progress.note(
                f"The job with the particles has no volume, so the server did not say how one is described: the maps "
                f"are files of {job.uid}, and not its output."
            )
    except OutputError as error:
        raise OutputError(f"{str(error).rstrip('.')}; all results are in {output}.") from error


class _JobLog:
    """The log of a job, until the server does not take it any more: no reason to give up a run."""

    def __init__(self, job: ExternalJob, progress: Progress) -> None:
        self._job, self._progress, self._lost = job, progress, False

    def write(self, line: str) -> None:
        """Add a line."""
        if self._lost:
            return
        try:
            self._job.log(line)
        except OutputError as error:
            self._lost = True
            self._progress.note(f"The job's log ends here: {error}")
