"""Validation of half-maps of any program, or of a run, from files to files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gemmap._types import Rotations, Volume
from gemmap.api.particle_halves import back_project_particles, require_match
from gemmap.api.reading import ReadingOptions
from gemmap.api.run_maps import read_run
from gemmap.api.stage_times import StageTimes
from gemmap.errors import InputError
from gemmap.fit.config import FitConfig
from gemmap.fit.progress import Progress, Silent
from gemmap.geometry.symmetry import point_group
from gemmap.io.atomic import atomic_path
from gemmap.io.folders import prepare_folder, require_free, require_not_read
from gemmap.io.half_pair import PIXEL_SIZE_TOLERANCE, read_halves
from gemmap.io.mrc import read_map, write_map
from gemmap.kernels import threads
from gemmap.report.figures import FscCurve, as_bright, write_fsc_figure, write_slices_figure
from gemmap.report.record import describe_software, to_plain
from gemmap.report.validation_files import VALIDATION_FILES as _COMMON_FILES
from gemmap.report.validation_files import write_validation
from gemmap.report.validation_text import CAUTION, validation_lines, validation_record
from gemmap.validate.local_resolution import place_windows
from gemmap.validate.pair_check import check_curve, check_pair
from gemmap.validate.postprocess import Maps, Postprocess, PostprocessOptions, postprocess, with_mask
from gemmap.validate.views import Views, view_distribution

_SHARPENED, _FSC3D, _RECORD = "sharpened.mrc", "fsc3d.mrc", "validation.json"
#: Files of a validation's folder.
VALIDATION_FILES: Mapping[str, str] = {
    **_COMMON_FILES,
    _SHARPENED: "the map, weighted by its correlation with the truth, sharpened, cut at its resolution",
    _RECORD: "all numbers",
    _FSC3D: "3-D FSC: at every Fourier voxel the FSC in the cone about it",
}


@dataclass(frozen=True, eq=False)
class Validation:
    """What was found.

    Attributes
    ----------
    result
        Curves, resolutions, maps.
    pixel_size_a
        Å.
    views
        Density of viewing directions, where particles are known.
    notes
        What was assumed or is doubtful, one sentence each.
    seconds
        Wall time by stage.
    inputs
        Files that were read.
    fitted
        The half-maps are a run's.
    """

    result: Postprocess
    pixel_size_a: float
    views: Views | None
    notes: tuple[str, ...]
    seconds: Mapping[str, float]
    inputs: tuple[Path, ...]
    fitted: bool

    def lines(self) -> list[tuple[str, str]]:
        """Return what a user reads at the end, as labels and texts."""
        caution = (CAUTION,) if self.fitted else ()
        return [*validation_lines(self.result), *(("Note", note) for note in (*self.notes, *caution))]

    def record(self) -> dict[str, Any]:
        """Return all numbers."""
        return {
            "inputs": [str(path) for path in self.inputs],
            "box_px": len(self.result.volume),
            "pixel_size_a": self.pixel_size_a,
            **validation_record(self.result, self.fitted),
            "notes": list(self.notes),
            "seconds": dict(self.seconds),
            "software": describe_software(),
        }


def validate_half_maps(
    half1: Path | str,
    half2: Path | str,
    output: Path | str,
    *,
    particles: Path | str | ReadingOptions | None = None,
    mask: Path | str | None = None,
    pixel_size_a: float | None = None,
    sym: str = "C1",
    options: PostprocessOptions | None = None,
    n_threads: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Validation:
    """Judge two half-maps of any program and write curves, maps and numbers into a folder.

    Parameters
    ----------
    half1, half2
        Raw half-maps (MRC).
    output
        Folder, made here.
    particles
        The particles that they were made of, with the same half-sets, or the options to read them by: their
        back-projections then give the cross-FSC, and their poses the distribution of views.
    mask
        0 (solvent) to 1; made from the maps if not given.
    pixel_size_a
        Replaces that of the maps' headers.
    sym
        Point group of the particles.
    options
        What is computed; the particle's diameter there serves the back-projections too.
    n_threads
        None for all cores.
    overwrite
        Replace the validation in an existing folder; other files stay.
    progress
        Told what happens.

    Raises
    ------
    InputError, FormatError, OutputError
        One sentence that says what was got, what was expected and what to do.
    """
    folder, paths = Path(output), [Path(half1), Path(half2)]
    options = _options(options)
    config = FitConfig(particle_diameter_a=options.particle_diameter_a, symmetry=sym)
    _ = config.group
    reading = None
    if particles is not None:
        reading = particles if isinstance(particles, ReadingOptions) else ReadingOptions(Path(particles))
    inputs = [*paths, *([] if mask is None else [Path(mask)])]
    _require_folder(folder, overwrite, inputs)
    (map1, map2), size_a = read_halves(paths[0], paths[1], pixel_size_a)
    check_pair(map1, map2)
    given = None if mask is None else _read_mask(Path(mask), len(map1), size_a, pixel_size_a)
    workers = threads.configure(n_threads)
    shown = Silent() if progress is None else progress
    soft = with_mask(map1, map2, given, size_a, workers)
    name = "soft mask from the map" if given is None else "mask given"
    maps = Maps(map1, map2, size_a, soft, name, order=len(config.group))
    notes: tuple[str, ...] = ()
    rotations = None
    if reading is not None:
        halves = back_project_particles(reading, len(map1), size_a, config, shown)
        doubts = require_match((map1, map2), halves, soft, reading.invert, workers)
        maps, notes = replace(maps, backprojections=halves.backprojections), (*halves.notes, *doubts)
        inputs, rotations = [*inputs, *halves.inputs], halves.table.rotations
        require_not_read(folder, VALIDATION_FILES, halves.inputs)
    return _judge(folder, maps, options, rotations, sym, notes, inputs, workers, shown, fitted=False)


def validate_run(
    run: Path | str,
    output: Path | str,
    *,
    mask: Path | str | None = None,
    options: PostprocessOptions | None = None,
    n_threads: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Validation:
    """Judge the half-maps of a run by what is in its folder, and write curves, maps and numbers into another.

    Parameters
    ----------
    run
        Folder of a finished run.
    mask
        In place of the run's own.
    output, options, n_threads, overwrite, progress
        As for :func:`validate_half_maps`.

    Raises
    ------
    InputError, FormatError, OutputError
        One sentence that says what was got, what was expected and what to do.
    """
    folder, options = Path(output), _options(options)
    _require_folder(folder, overwrite, [] if mask is None else [Path(mask)])
    found = read_run(Path(run))
    own, name, inputs = found.mask, "the run's mask", list(found.inputs)
    if mask is not None:
        own, name = _read_mask(Path(mask), len(found.final), found.pixel_size_a, None), "mask given"
        inputs.append(Path(mask))
    require_not_read(folder, VALIDATION_FILES, inputs)
    workers = threads.configure(n_threads)
    soft = with_mask(*found.half_maps, own, found.pixel_size_a, workers)
    order = len(point_group(found.symmetry))
    maps = Maps(*found.half_maps, found.pixel_size_a, soft, name, found.backprojections, found.final, order)
    if options.particle_diameter_a is None:
        options = replace(options, particle_diameter_a=found.particle_diameter_a)
    shown = Silent() if progress is None else progress
    return _judge(
        folder, maps, options, found.rotations, found.symmetry, found.notes, inputs, workers, shown, fitted=True
    )


def _judge(
    folder: Path,
    maps: Maps,
    options: PostprocessOptions,
    rotations: Rotations | None,
    sym: str,
    notes: tuple[str, ...],
    inputs: Sequence[Path],
    workers: int,
    progress: Progress,
    fitted: bool,
) -> Validation:
    if options.sampling_a is not None:
        place_windows(
            len(maps.half1), maps.pixel_size_a, options.sampling_a
        )  # or a refusal, before anything is computed
    times = StageTimes(progress)
    result = postprocess(maps, options, workers, times)
    if not fitted:
        check_curve(result.half_maps.fsc.unmasked)
    views = None if rotations is None else view_distribution(rotations, point_group(sym))
    done = Validation(result, maps.pixel_size_a, views, notes, times.seconds, tuple(inputs), fitted)
    prepare_folder(folder, VALIDATION_FILES)
    write_validation(folder, result, views, maps.pixel_size_a, _SHARPENED)
    _draw(folder, result, maps.pixel_size_a)
    if result.fsc3d is not None:
        write_map(folder / _FSC3D, result.fsc3d.volume, maps.pixel_size_a)
    with atomic_path(folder / _RECORD) as temporary:
        text = json.dumps(to_plain(done.record()), indent=2, sort_keys=True) + "\n"
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    return done


def _options(given: PostprocessOptions | None) -> PostprocessOptions:
    return PostprocessOptions() if given is None else given


def _require_folder(folder: Path, overwrite: bool, inputs: Sequence[Path]) -> None:
    require_free(folder, overwrite)
    require_not_read(folder, VALIDATION_FILES, inputs)


def _read_mask(path: Path, box_px: int, pixel_size_a: float, override_a: float | None) -> Volume:
    mask, size_a = read_map(path, override_a)
    if size_a > 0 and abs(size_a - pixel_size_a) > PIXEL_SIZE_TOLERANCE * pixel_size_a:
        raise InputError(
            f"The mask {path} has voxels of {size_a:g} Å and the maps of {pixel_size_a:g} Å; expected the same: make a "
            "mask from these maps."
        )
    if len(mask) != box_px:
        raise InputError(f"The mask {path} is {len(mask)} px wide and the maps {box_px} px; expected the same box.")
    return mask


def _draw(folder: Path, result: Postprocess, pixel_size_a: float) -> None:
    own, box_px = result.half_maps, len(result.volume)
    drawn = [
        FscCurve("half-maps, mask (corrected)", own.fsc.corrected, dashed=result.assessment is not None),
        FscCurve("half-maps, no mask", own.fsc.unmasked),
        FscCurve("half-maps, sphere", own.spherical),
        FscCurve("half-maps, mask", own.fsc.masked, dashed=True),
        FscCurve("half-maps, phases random", own.fsc.phase_randomised, dashed=True),
    ]
    if result.assessment is None:
        drawn.append(FscCurve("half bit", own.half_bit, dashed=True))
    else:
        baseline = result.assessment.backprojections.corrected
        drawn.insert(0, FscCurve("map, cross-FSC", result.assessment.cross.full))
        drawn.insert(2, FscCurve("back-projections, mask (corrected)", baseline, dashed=True))
    write_fsc_figure(folder / "fsc.png", drawn, box_px, pixel_size_a, result.resolution)
    shown = {"map": result.volume}
    if result.sharpened is not None:
        shown["sharpened"] = as_bright(result.sharpened.map, result.volume)
    local = result.half_maps.local
    if local is not None and local.filtered is not None:
        shown["locally filtered"] = local.filtered
    write_slices_figure(folder / "slices.png", shown, pixel_size_a)
