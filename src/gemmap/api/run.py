"""Carries out a plan, and leaves a true record of it however it ends."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from gemmap.api.plan import ReconstructionPlan
from gemmap.api.recording import Recorder
from gemmap.api.result import ReconstructionResult
from gemmap.errors import OutputError
from gemmap.fit.aggregate import grid_size
from gemmap.fit.half_maps import reconstruct_halves
from gemmap.fit.progress import Progress
from gemmap.io.folders import require_space
from gemmap.report.record import RunRecord, peak_memory_bytes
from gemmap.report.run_folder import MAP_NAME, RunFolder
from gemmap.report.summary import RunSummary, duration_text, summary_lines
from gemmap.validate.assessment import assess
from gemmap.validate.masks import soft_mask_from_map

#: Maps written: three fits, each with its back-projection and voxels, and the mask.
_N_MAPS = 10
#: Figures, tables, Gaussians and the record, bytes.
_SMALL_FILES_BYTES = 20 * 10**6


class RunInterrupted(KeyboardInterrupt):
    """The user stopped a run; the text says what was kept."""


def output_bytes(plan: ReconstructionPlan) -> int:
    """Return what the files of a run will take on disk, about."""
    box_px = plan.stack.box_px
    m = grid_size(box_px)
    aggregates = 2 * 12 * m * m * (m // 2 + 1) if plan.options.save_aggregates else 0
    return _N_MAPS * 4 * box_px**3 + aggregates + _SMALL_FILES_BYTES


def run_plan(
    plan: ReconstructionPlan, output: Path | None, progress: Progress, argv: Sequence[str]
) -> ReconstructionResult:
    """Reconstruct, judge, and write what there is to write.

    Parameters
    ----------
    plan
        What to reconstruct.
    output
        Folder to fill; results of an earlier run in it are replaced. None writes nothing.
    progress
        Told what happens.
    argv
        Command line for the record.

    Raises
    ------
    RunInterrupted
        On Ctrl-C.
    GemError
        See :func:`gemmap.reconstruct`.
    """
    if output is None:
        return _compute(plan, None, progress)
    require_space(output, output_bytes(plan))
    config = asdict(plan.options)
    record = RunRecord(
        argv=argv,
        config={**config, "device": plan.config.device, "threads": plan.n_threads},
        seeds={"seed": plan.options.seed},
        inputs=plan.inputs,
        started=datetime.now().astimezone(),
        notes=plan.notes,
    )
    folder = RunFolder(output, plan.inputs)
    try:
        folder.write_record(record)
        folder.write_start(argv, config)
        folder.write_particles(plan.table, getattr(plan.stack, "paths", None))
        for line in plan.lines():
            folder.log.write(line)
        result = _compute(plan, folder, progress)
        folder.write_record(_finished(record, result))
        for line in summary_lines(summarise(result)):
            folder.log.write(line)
    except KeyboardInterrupt:
        message = f"Interrupted after {_since(record)}; {_kept(folder)}."
        _close(folder, record, "interrupted", message)
        raise RunInterrupted(message) from None
    except BaseException as error:
        _close(folder, record, "failed", f"{type(error).__name__}: {error}")
        raise
    return result


def summarise(result: ReconstructionResult) -> RunSummary:
    """Return the numbers of a run for its last lines."""
    resolutions = result.resolutions
    return RunSummary(
        resolution=result.resolution,
        half_map_unmasked=resolutions["half_maps_unmasked"],
        half_map_masked=resolutions["half_maps_masked"],
        backprojection_unmasked=resolutions["backprojection_unmasked"],
        backprojection_masked=resolutions["backprojection_masked"],
        n_particles=len(result.table),
        n_excluded=result.n_excluded,
        particles_per_second=result.reconstruction.images_per_second,
        wall_seconds=result.seconds["total"],
        peak_memory_bytes=peak_memory_bytes(),
        map_path=(result.folder or Path()) / MAP_NAME,
    )


def _compute(plan: ReconstructionPlan, folder: RunFolder | None, progress: Progress) -> ReconstructionResult:
    started = time.perf_counter()
    recorder = Recorder(progress, folder, plan.table.pixel_size_a, plan.options.save_aggregates)
    reconstruction = reconstruct_halves(plan.table, plan.stack, plan.config, recorder, plan.mask)
    fitted = time.perf_counter()
    half1, half2 = reconstruction.half1, reconstruction.half2
    if plan.mask is None:
        mask_name = "soft mask from the map"
        mask = soft_mask_from_map(
            0.5 * (half1.map + half2.map),
            reconstruction.pixel_size_a,
            reconstruction.particle_diameter_a,
            workers=plan.n_threads,
        )
    else:
        mask, mask_name = plan.mask, "the mask given"
    assessment = assess(
        (half1.map, half2.map),
        (half1.backprojection, half2.backprojection),
        mask,
        reconstruction.pixel_size_a,
        mask_name,
        workers=plan.n_threads,
    )
    assessed = time.perf_counter()
    if folder is not None:
        folder.write_assessment(reconstruction, mask, assessment)
    ended = time.perf_counter()
    seconds = {
        "reading": plan.seconds,
        **reconstruction.seconds,
        "reconstruction": fitted - started,
        "validation": assessed - fitted,
        "tables and figures": ended - assessed,
        "total": plan.seconds + ended - started,
    }
    return ReconstructionResult(
        reconstruction=reconstruction,
        assessment=assessment,
        mask=mask,
        table=plan.table,
        split=plan.split,
        n_excluded=plan.n_excluded,
        seconds=seconds,
        notes=plan.notes,
        folder=None if folder is None else folder.path,
    )


def _finished(record: RunRecord, result: ReconstructionResult) -> RunRecord:
    r = result.reconstruction
    fits = {"half1": r.half1, "half2": r.half2, "full": r.full}
    results: Mapping[str, Any] = {
        "box_px": len(r.full.map),
        "pixel_size_a": r.pixel_size_a,
        "particle_diameter_a": r.particle_diameter_a,
        "images_per_second": r.images_per_second,
        "n_particles": len(result.table),
        "n_excluded": result.n_excluded,
        "n_half1": result.split.n_half1,
        "n_half2": result.split.n_half2,
        "halves_from_file": result.split.from_file,
        "details": r.details,
        "fits": {
            name: {
                "n_particles": fit.n_particles,
                "n_gaussians": len(fit.gaussians),
                "n_steps": fit.steps[-1].step,
                "stopped_because": fit.stopped_because,
                "details": fit.details,
            }
            for name, fit in fits.items()
        },
    }
    seeds = {f"fit_{name}": fit.seed for name, fit in fits.items()}
    seeds["random_phases"] = result.assessment.maps.seed
    if result.split.seed is not None:
        seeds["half_sets"] = result.split.seed
    return replace(
        record,
        status="finished",
        stopped=datetime.now().astimezone(),
        seeds={**record.seeds, **seeds},
        seconds=result.seconds,
        resolutions=result.resolutions,
        results=results,
    )


def _close(folder: RunFolder, record: RunRecord, status: Any, message: str) -> None:
    """Record an early end; a disk that is full must not hide why the run ended."""
    with contextlib.suppress(OutputError):
        stopped = datetime.now().astimezone()
        folder.log.write(message)
        folder.write_record(replace(record, status=status, stopped=stopped, notes=[*record.notes, message]))


def _since(record: RunRecord) -> str:
    return duration_text((datetime.now().astimezone() - record.started).total_seconds())


def _kept(folder: RunFolder) -> str:
    results = folder.results()
    return f"{folder.path} keeps {', '.join(results)}"
