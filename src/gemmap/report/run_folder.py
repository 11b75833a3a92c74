"""The files of a run folder: written as results arrive, each whole or not at all."""

import os
import shlex
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from gemmap.errors import OutputError
from gemmap.fit.aggregate import Aggregate
from gemmap.fit.aggregate_tensors import aggregate_to_tensors
from gemmap.fit.records import FitResult, Reconstruction
from gemmap.io.atomic import atomic_path, remove_unfinished
from gemmap.io.checkpoint import remove_checkpoint
from gemmap.io.folders import prepare_folder, require_not_read
from gemmap.io.gaussians import save_gaussians
from gemmap.io.lock import FileLock
from gemmap.io.mrc import write_map
from gemmap.io.paths import names_from
from gemmap.io.relion_write import write_star31
from gemmap.io.tensors import save_tensors
from gemmap.particles.table import ParticleTable
from gemmap.report.figures import write_fsc_figure, write_slices_figure
from gemmap.report.fsc_curves import curves_to_draw
from gemmap.report.held_out import HELD_OUT_NAME, held_out_curves
from gemmap.report.html.page import REPORT_NAME, write_report
from gemmap.report.record import RUN_FILES, RunRecord, write_config, write_job, write_readme
from gemmap.report.run_log import RunLog
from gemmap.report.tables import write_fsc_csv, write_noise_csv
from gemmap.report.validation_files import write_validation
from gemmap.validate.postprocess import Postprocess
from gemmap.validate.views import Views

#: Map of a fit, and what is added to the names of its other files.
_FITS = {
    "half1": ("run_half1_class001_unfil.mrc", "_half1"),
    "half2": ("run_half2_class001_unfil.mrc", "_half2"),
    "full": ("run_class001.mrc", ""),
}
#: Record, log, and the folder of what is needed to resume a run.
JOB_NAME, LOG_NAME, CHECKPOINT_NAME = "job.json", "run.log", "checkpoint"
#: Files that say how a run went, not what it found.
_RECORDS = (JOB_NAME, "config.yaml", "command.txt", LOG_NAME, REPORT_NAME)
#: Map of the final result, as the user opens it.
MAP_NAME = _FITS["full"][0]
#: The same, sharpened.
SHARPENED_NAME = "run_class001_sharpened.mrc"


class RunFolder:
    """Writes the files of one run, and keeps other processes from doing so until it is closed.

    Parameters
    ----------
    path
        Made if it is not there.
    inputs
        Files that are read and must not be removed.
    goes_on
        The results in the folder are those of the same run. Otherwise they are removed, with its checkpoint; files that
        are not ours stay.

    Raises
    ------
    InputError, OutputError
        If an input would be removed, another process is writing there, or the operating system refuses.
    """

    def __init__(self, path: Path, inputs: Sequence[Path] = (), goes_on: bool = False) -> None:
        files = [*RUN_FILES, "README.txt"]
        if not goes_on:
            require_not_read(path, files, inputs)
        prepare_folder(path, [])
        self.path = path
        # The log is the one file that is never replaced.
        self._lock = FileLock(path / LOG_NAME)
        self.log = RunLog(path / LOG_NAME)
        try:
            remove_unfinished(path / name for name in files)
            if not goes_on:
                prepare_folder(path, [name for name in files if name != LOG_NAME])
                remove_checkpoint(self.checkpoint_path)
                self.log.clear()
        except BaseException:
            self.close()
            raise

    @property
    def checkpoint_path(self) -> Path:
        """Folder of what is needed to resume the run; removed when it ends."""
        return self.path / CHECKPOINT_NAME

    def close(self) -> None:
        """Let other processes write to the folder."""
        self._lock.release()

    def results(self) -> list[str]:
        """Return the names of the result files written so far, in the order of a reader's interest."""
        return [name for name in RUN_FILES if name not in _RECORDS and (self.path / name).exists()]

    def write_start(self, argv: Sequence[str], config: Mapping[str, Any]) -> None:
        """Write the command line, with the folder it was given in, and the options."""
        with atomic_path(self.path / "command.txt") as temporary:
            text = f"# in {os.getcwd()}\n{shlex.join(argv)}\n"
            temporary.write_text(text, encoding="utf-8", errors="surrogateescape")
        write_config(self.path / "config.yaml", config)

    def write_particles(self, table: ParticleTable, stacks: Sequence[Path] | None) -> None:
        """Write the particles with their half-sets, unless they are there; stack names lead to ``stacks``, if files."""
        if not (self.path / "particles.star").exists():
            self.replace_particles(table, stacks)

    def replace_particles(self, table: ParticleTable, stacks: Sequence[Path] | None) -> None:
        """Write the particles, also where others are."""
        path = self.path / "particles.star"
        if stacks is not None:
            table = replace(table, stacks=tuple(names_from(path, table.stacks, stacks)))
        write_star31(path, table)

    def write_fit(self, name: str, result: FitResult, pixel_size_a: float) -> None:
        """Write maps and Gaussians of the fit ``half1``, ``half2`` or ``full``."""
        map_name, suffix = _FITS[name]
        write_map(self.path / map_name, result.map, pixel_size_a)
        write_map(self.path / f"backprojection{suffix}.mrc", result.backprojection, pixel_size_a)
        write_map(self.path / f"voxels{suffix}.mrc", result.voxels, pixel_size_a)
        gaussians = self.path / f"gaussians{suffix}.safetensors"
        save_gaussians(gaussians, result.gaussians, len(result.map), pixel_size_a, result.symmetry)

    def write_aggregate(self, name: str, aggregate: Aggregate) -> None:
        """Write the aggregate of ``half1`` or ``half2``."""
        save_tensors(self.path / f"aggregate_{name}.safetensors", *aggregate_to_tensors(aggregate))

    def write_validation(self, reconstruction: Reconstruction, result: Postprocess, views: Views | None) -> None:
        """Write mask, curves, noise spectra, agreement with held-out particles, sharpened map, and figures.

        Local and directional resolution are among them.
        """
        r, box_px, pixel_size_a = reconstruction, len(result.mask), reconstruction.pixel_size_a
        write_validation(self.path, result, views, pixel_size_a, SHARPENED_NAME)
        if r.held_out is not None:
            write_fsc_csv(self.path / HELD_OUT_NAME, held_out_curves(r.held_out), box_px, pixel_size_a)
        write_noise_csv(self.path / "noise.csv", r.noise_spectra, box_px, pixel_size_a)
        write_fsc_figure(
            self.path / "fsc.png",
            curves_to_draw(result.curves()),
            box_px,
            pixel_size_a,
            result.resolution,
        )
        maps = {
            "final map": r.full.map,
            "half-map 1": r.half1.map,
            "half-map 2": r.half2.map,
            "back-projection": r.full.backprojection,
        }
        write_slices_figure(self.path / "slices.png", maps, pixel_size_a, r.particle_diameter_a)

    def write_report(self) -> None:
        """Write the page of the run as its files say it, and README.txt with it.

        A page that cannot be made, or that the user does not wait for, spoils no run that is finished: the log says
        why, and ``gemmap report`` makes it another time.
        """
        try:
            write_report(self.path)
            write_readme(self.path)
        except (Exception, KeyboardInterrupt):
            with suppress(OutputError):
                self.log.write(f"{REPORT_NAME} was not written:\n{traceback.format_exc().rstrip()}")

    def write_record(self, record: RunRecord) -> None:
        """Write README.txt for the files that are there, and job.json: a run that is finished has all its files."""
        write_readme(self.path)
        write_job(self.path / JOB_NAME, record)
