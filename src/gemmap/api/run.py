"""Carries out a plan, and leaves a true record of it however it ends."""

import shlex
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from gemmap.api.judging import judge
from gemmap.api.particle_check import ParticleCheck, check_particles, with_notes
from gemmap.api.plan import ReconstructionPlan
from gemmap.api.recording import Recorder
from gemmap.api.result import ReconstructionResult
from gemmap.api.stage_times import StageTimes
from gemmap.api.together import agree, await_folder
from gemmap.errors import GemError, OutputError
from gemmap.fit.aggregate import grid_size
from gemmap.fit.half_maps import reconstruct_halves, reconstruct_together
from gemmap.fit.keeper import Keeper
from gemmap.fit.progress import Progress
from gemmap.fit.records import Reconstruction
from gemmap.io.checkpoint import Checkpoint, remove_checkpoint
from gemmap.io.folders import require_space
from gemmap.particles.table import ParticleTable
from gemmap.report.held_out import held_out_record, held_out_text
from gemmap.report.html.page import REPORT_NAME
from gemmap.report.record import InputFile, RunRecord, peak_memory_bytes
from gemmap.report.run_folder import MAP_NAME, RunFolder
from gemmap.report.summary import RunSummary, duration_text, summary_lines
from gemmap.report.validation_text import detail_lines, validation_record
from gemmap.validate.postprocess import Postprocess
from gemmap.validate.views import view_distribution

#: Maps written: three fits, each with its back-projection and voxels, the mask, the sharpened map, and three of local
#: resolution.
_N_MAPS = 14
#: Checkpoint, at its largest: while half 2 is read, its three sums, once more while they replace the last ones, and
#: half 1; maps and Gaussians of half 1 and of the trials.
_CHECKPOINT_AGGREGATES, _CHECKPOINT_MAPS = 7, 7
#: Figures, tables, Gaussians and the record, bytes.
_SMALL_FILES_BYTES = 20 * 10**6


class RunInterrupted(KeyboardInterrupt):
    """The user stopped a run; the text says what was kept."""


def output_bytes(plan: ReconstructionPlan) -> int:
    """Return what a run will take on disk at most, about."""
    box_px = plan.stack.box_px
    m = grid_size(box_px)
    aggregate_bytes, map_bytes = 12 * m * m * (m // 2 + 1), 4 * box_px**3
    n_aggregates, n_maps = 2 * plan.options.save_aggregates, _N_MAPS
    if plan.can_resume:
        n_aggregates += _CHECKPOINT_AGGREGATES
        n_maps += _CHECKPOINT_MAPS
    return n_maps * map_bytes + n_aggregates * aggregate_bytes + _SMALL_FILES_BYTES


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
        recorder = _recorder(plan, None, progress)
        return _compute(plan, None, recorder, None, check_particles(plan, recorder))
    require_space(output, output_bytes(plan))
    agree(plan)
    record = RunRecord(
        argv=argv,
        config=used_options(plan),
        seeds={"seed": plan.options.seed},
        inputs=[InputFile.of(file) for file in plan.inputs],
        started=datetime.now().astimezone(),
        notes=plan.notes,
    )
    with closing(RunFolder(output, plan.inputs)) as folder:
        folder.write_start(argv, asdict(plan.options))
        return carry_out(plan, folder, record, progress)


def used_options(plan: ReconstructionPlan) -> dict[str, Any]:
    """Return every option with the value used."""
    return {**asdict(plan.options), "device": plan.config.device, "threads": plan.n_threads}


def carry_out(
    plan: ReconstructionPlan, folder: RunFolder, record: RunRecord, progress: Progress
) -> ReconstructionResult:
    """Do what is left to do of a run, fill its folder, and record how it ended; raises as `run_plan`."""
    started = time.monotonic()
    keeper = Checkpoint(folder.checkpoint_path, plan.options.checkpoint_interval_s) if plan.can_resume else None
    try:
        folder.write_record(record)
        await_folder(plan.team)
        folder.write_particles(plan.table_as_read, plan.stack_files or None)
        for line in plan.lines():
            folder.log.write(line)
        recorder = _recorder(plan, folder, progress)
        check = check_particles(plan, recorder)
        if check is not None:
            # Also a run that ends early says what it looked at.
            record = replace(record, notes=[*record.notes, *check.notes], results={"checks": check.record()})
            folder.write_record(record)
        result = _compute(plan, folder, recorder, keeper, check)
        if result.dead_images:
            dead = np.array([*result.dead_images]) - 1
            used = plan.table_as_read.select(np.delete(np.arange(len(plan.table)), dead))
            folder.replace_particles(used, plan.stack_files or None)
        for line in summary_lines(summarise(result)):
            folder.log.write(line)
        folder.write_record(_finished(record, result))
        remove_checkpoint(folder.checkpoint_path)
    except KeyboardInterrupt:
        message = f"Interrupted after {duration_text(time.monotonic() - started)}; {_kept(plan, folder)}."
        _close(folder, record, "interrupted", message)
        raise RunInterrupted(message) from None
    except BaseException as error:
        if not isinstance(error, GemError):
            with suppress(OutputError):
                folder.log.write(traceback.format_exc().rstrip())
        _close(folder, record, "failed", f"{type(error).__name__}: {error}")
        raise
    folder.write_report()
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
        n_dead=len(result.dead_images),
        particles_per_second=result.reconstruction.images_per_second,
        wall_seconds=result.seconds["total"],
        peak_memory_bytes=peak_memory_bytes(),
        map_path=(result.folder or Path()) / MAP_NAME,
        report_path=_report_path(result.folder),
        details=[
            *detail_lines(result.validation),
            *held_out_lines(result.reconstruction, result.validation),
            *(("Warning", text) for text in _warnings(result)),
        ],
    )


def _warnings(result: ReconstructionResult) -> list[str]:
    return [*(() if result.check is None else result.check.notes), *result.validation.warnings()]


def _report_path(folder: Path | None) -> Path | None:
    if folder is None or not (folder / REPORT_NAME).is_file():
        return None
    return folder / REPORT_NAME


def _recorder(plan: ReconstructionPlan, folder: RunFolder | None, progress: Progress) -> Recorder:
    return Recorder(progress, folder, plan.table.pixel_size_a, plan.options.save_aggregates)


def _compute(
    plan: ReconstructionPlan,
    folder: RunFolder | None,
    recorder: Recorder,
    keeper: Keeper | None,
    check: ParticleCheck | None,
) -> ReconstructionResult:
    plan = with_notes(plan, check)
    reconstruction = _reconstruct(plan, recorder, keeper)
    fitted = time.perf_counter()
    times = StageTimes(recorder)
    validation = judge(reconstruction, plan.mask, plan.local_sampling_a, plan.n_threads, times)
    used, dead = _without_dead(plan, reconstruction)
    views = view_distribution(used.rotations, plan.config.group)
    assessed = time.perf_counter()
    if folder is not None:
        folder.write_validation(reconstruction, validation, views)
    around = {
        "reading": plan.seconds,
        **({} if check is None else {"check of a sample": check.seconds}),
        "reconstruction": sum(reconstruction.seconds.values()),
        "validation": assessed - fitted,
        "tables and figures": time.perf_counter() - assessed,
    }
    stages = {f"validation: {name}": seconds for name, seconds in times.seconds.items()}
    seconds = {**reconstruction.seconds, **stages, **around, "total": sum(around.values())}
    return ReconstructionResult(
        reconstruction=reconstruction,
        validation=validation,
        views=views,
        table=used,
        split=plan.split.of(used),
        n_excluded=plan.n_excluded + len(dead),
        dead_images=dead,
        seconds=seconds,
        notes=(*plan.notes, *validation.warnings(), *_dead_notes(dead, plan)),
        check=check,
        folder=None if folder is None else folder.path,
    )


def _reconstruct(plan: ReconstructionPlan, progress: Progress, keeper: Keeper | None) -> Reconstruction:
    if plan.team.size == 1:
        return reconstruct_halves(plan.table, plan.stack, plan.config, progress, plan.mask, keeper)
    found = reconstruct_together(plan.table, plan.stack, plan.config, progress, plan.team, plan.mask, keeper)
    assert found is not None, "the first process has the result"
    return found


def _without_dead(plan: ReconstructionPlan, reconstruction: Reconstruction) -> tuple[ParticleTable, dict[int, str]]:
    """Return the particles used, and number and image name of those left out."""
    table, dead = plan.table, reconstruction.dead_rows
    if len(dead) == 0:
        return table, {}
    names = {int(row) + 1: f"{table.index_in_stack[row] + 1:06d}@{table.stacks[table.stack_of[row]]}" for row in dead}
    return table.select(np.delete(np.arange(len(table)), dead)), names


def _dead_notes(dead: Mapping[int, str], plan: ReconstructionPlan) -> list[str]:
    if not dead:
        return []
    return [
        f"{len(dead):,} of {len(plan.table):,} images are dead (pixels that are not finite numbers, or all equal) and "
        f"were left out; the first is {next(iter(dead.values()))}."
    ]


def held_out_lines(reconstruction: Reconstruction, validation: Postprocess) -> list[tuple[str, str]]:
    """Return what particles say that the trial fits did not see, for the last lines."""
    if reconstruction.held_out is None:
        return []
    return [("Held-out", held_out_text(reconstruction.held_out, int(validation.resolution.shell)))]


def fits_record(reconstruction: Reconstruction) -> dict[str, Any]:
    """Return how the three fits went."""
    fits = {"half1": reconstruction.half1, "half2": reconstruction.half2, "full": reconstruction.full}
    return {
        name: {
            "n_particles": fit.n_particles,
            "n_gaussians": len(fit.gaussians),
            "n_steps": fit.steps[-1].step,
            "stopped_because": fit.stopped_because,
            "details": fit.details,
            "steps": fit.steps,
        }
        for name, fit in fits.items()
    }


def _finished(record: RunRecord, result: ReconstructionResult) -> RunRecord:
    r = result.reconstruction
    fits = {"half1": r.half1, "half2": r.half2, "full": r.full}
    results: dict[str, Any] = {
        "box_px": len(r.full.map),
        "pixel_size_a": r.pixel_size_a,
        "particle_diameter_a": r.particle_diameter_a,
        "images_per_second": r.images_per_second,
        "n_particles": len(result.table),
        "n_excluded": result.n_excluded,
        "dead_images": {str(number): name for number, name in result.dead_images.items()},
        "n_half1": result.split.n_half1,
        "n_half2": result.split.n_half2,
        "halves_from_file": result.split.from_file,
        "details": r.details,
        "trial_scores": r.trial_scores,
        "checks": None if result.check is None else result.check.record(),
        "validation": validation_record(result.validation, fitted=True),
        "fits": fits_record(r),
    }
    if r.held_out is not None:
        results["held_out"] = held_out_record(r.held_out, int(result.resolution.shell))
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
        notes=result.notes,
    )


def _close(folder: RunFolder, record: RunRecord, status: Any, message: str) -> None:
    """Record an early end; a disk that is full must not hide why the run ended."""
    with suppress(OutputError):
        stopped = datetime.now().astimezone()
        folder.log.write(message)
        folder.write_record(replace(record, status=status, stopped=stopped, notes=[*record.notes, message]))


def _kept(plan: ReconstructionPlan, folder: RunFolder) -> str:
    kept = f"{folder.path} keeps {', '.join(folder.results())}"
    if not plan.can_resume:
        return kept
    return f"{kept}; gemmap reconstruct --resume {shlex.quote(str(folder.path))} goes on"
