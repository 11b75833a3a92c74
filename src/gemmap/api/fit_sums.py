"""Half-maps, a map and its resolution from sums that were kept: the images are not needed."""

import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from gemmap.api.judging import judge
from gemmap.api.options import ReconstructionOptions
from gemmap.api.plan import resolve_device
from gemmap.api.recording import Recorder
from gemmap.api.run import fits_record, held_out_lines
from gemmap.api.stage_times import StageTimes
from gemmap.api.sums import leave_out, load_sums
from gemmap.errors import InputError, OutputError
from gemmap.fit.config import FitConfig, Shape
from gemmap.fit.extent import diameter_in_pixels
from gemmap.fit.half_maps import reconstruct_source
from gemmap.fit.keeper import Forgetful, RunState
from gemmap.fit.kept_sums import SumsSource
from gemmap.fit.progress import Progress, Silent
from gemmap.fit.split import LEAST_PARTICLES
from gemmap.io.folders import require_free
from gemmap.kernels import threads as kernel_threads
from gemmap.report.held_out import held_out_record
from gemmap.report.html.page import REPORT_NAME
from gemmap.report.record import InputFile, RunRecord, peak_memory_bytes
from gemmap.report.run_folder import MAP_NAME, RunFolder
from gemmap.report.summary import RunSummary, summary_lines
from gemmap.report.validation_text import detail_lines, validation_record
from gemmap.validate.postprocess import PostprocessOptions


def fit_sums(
    sums: Path | str,
    output: Path | str,
    *,
    overwrite: bool = False,
    particle_diameter_a: float | None = None,
    n_gaussians: int | None = None,
    shape: Shape = FitConfig.shape,
    max_steps: int = FitConfig.max_steps,
    seed: int = FitConfig.seed,
    local_resolution: bool = True,
    threads: int | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    without: ReconstructionOptions | None = None,
    without_micrographs: Sequence[str] = (),
    shown_as: Path | None = None,
) -> RunSummary:
    """Fit the halves and all particles of a file of sums, judge the maps, and fill a folder as a run does.

    Parameters
    ----------
    sums
        File of ``gemmap aggregate``, ``merge`` or ``subtract``.
    output
        Folder, made here. It has no ``particles.star``: sums do not know poses.
    overwrite
        Replace the results in an existing folder; other files stay.
    particle_diameter_a
        Å; None takes what the parts saw.
    n_gaussians, shape, max_steps, seed, local_resolution, threads, device, progress
        As for :func:`gemmap.reconstruct`.
    without, without_micrographs
        Particles to leave out, and how they are read; of these micrographs alone if some are named. The file of sums
        stays as it is.
    shown_as
        What the folder will be called when it is moved.

    Raises
    ------
    InputError, FormatError, OutputError, BackendError
        One sentence that says what was got, what was expected and what to do.
    """
    path, folder_path, started = Path(sums), Path(output), time.perf_counter()
    require_free(folder_path, overwrite)
    told = Silent() if progress is None else progress
    kept = load_sums(path)
    n_threads = kernel_threads.configure(threads)
    n_all = kept.n_particles
    if without is not None:
        kept = leave_out(kept, str(path), without, told, without_micrographs)
    config = FitConfig(
        particle_diameter_a, n_gaussians, max_steps, seed, resolve_device(device), shape, symmetry=kept.symmetry
    )
    counts = {half: sum(one.n_particles for one in kept.splits[half].sets()) for half in (1, 2)}
    if min(counts.values()) < LEAST_PARTICLES:
        raise InputError(
            f"The smaller half-set in {path} has {min(counts.values())} particles; expected at least "
            f"{LEAST_PARTICLES}: merge more."
        )
    radius_px = (
        None if particle_diameter_a is None else 0.5 * diameter_in_pixels(particle_diameter_a, kept.pixel_size_a)
    )
    options = {
        "sums": path.absolute(),
        "particles": None,
        "without": None if without is None else without.particles,
        "without_micrographs": list(without_micrographs) or None,
        "particle_diameter_a": particle_diameter_a,
        "n_gaussians": n_gaussians,
        "shape": shape,
        "max_steps": max_steps,
        "seed": seed,
        "local_resolution": local_resolution,
        "threads": n_threads,
        "device": config.device,
        "sym": kept.symmetry,
    }
    record = RunRecord(
        argv=sys.argv,
        config=options,
        seeds={"seed": seed},
        inputs=[InputFile.of(file) for file in (path, *(() if without is None else without.input_files))],
        started=datetime.now().astimezone(),
        notes=[f"Sums of {len(kept.parts)} parts: {'; '.join(part.source for part in kept.parts[:5])}."],
    )
    with closing(RunFolder(folder_path, [path])) as folder:
        folder.write_start(sys.argv, {name: str(value) for name, value in options.items() if value is not None})
        folder.write_record(record)
        try:
            recorder = Recorder(told, folder, kept.pixel_size_a, False)
            state = RunState(Forgetful(), recorder)
            found = reconstruct_source(SumsSource(kept, radius_px), config, recorder, state)
            times = StageTimes(recorder)
            sampling_a = PostprocessOptions.sampling_a if local_resolution else None
            validation = judge(found, None, sampling_a, n_threads, times)
            folder.write_validation(found, validation, None)
        except BaseException as error:
            with suppress(OutputError):
                folder.write_record(replace(record, status="failed", notes=[*record.notes, f"{error}"]))
            raise
        assessment = validation.assessment
        assert assessment is not None
        total = time.perf_counter() - started
        results = {
            "box_px": kept.box_px,
            "pixel_size_a": kept.pixel_size_a,
            "particle_diameter_a": found.particle_diameter_a,
            "n_particles": kept.n_particles,
            "n_excluded": n_all - kept.n_particles,
            "n_half1": counts[1],
            "n_half2": counts[2],
            "details": found.details,
            "trial_scores": found.trial_scores,
            "validation": validation_record(validation, fitted=True),
            "fits": fits_record(found),
        }
        if found.held_out is not None:
            results["held_out"] = held_out_record(found.held_out, int(assessment.resolution.shell))
        folder.write_record(
            replace(
                record,
                status="finished",
                stopped=datetime.now().astimezone(),
                seconds={**found.seconds, "total": total},
                resolutions=assessment.resolutions,
                results=results,
                notes=[*record.notes, *validation.warnings()],
            )
        )
        folder.write_report()
        of = assessment.resolutions
        report = folder_path / REPORT_NAME
        shown = shown_as or folder_path
        summary = RunSummary(
            resolution=assessment.resolution,
            half_map_unmasked=of["half_maps_unmasked"],
            half_map_masked=of["half_maps_masked"],
            backprojection_unmasked=of["backprojection_unmasked"],
            backprojection_masked=of["backprojection_masked"],
            n_particles=kept.n_particles,
            n_excluded=n_all - kept.n_particles,
            n_dead=0,
            particles_per_second=None,
            wall_seconds=total,
            peak_memory_bytes=peak_memory_bytes(),
            map_path=shown / MAP_NAME,
            report_path=shown / REPORT_NAME if report.is_file() else None,
            details=[*detail_lines(validation), *held_out_lines(found, validation)],
        )
        for line in summary_lines(summary):
            folder.log.write(line)
        return summary
