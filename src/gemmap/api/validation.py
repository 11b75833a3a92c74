"""Validation of anybody's half-maps, from files to files."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gemmap._types import Float, Volume
from gemmap.errors import InputError
from gemmap.fit.progress import Progress, Silent
from gemmap.io.atomic import atomic_path
from gemmap.io.folders import prepare_folder, require_free, require_not_read
from gemmap.io.half_pair import PIXEL_SIZE_TOLERANCE, read_halves
from gemmap.io.mrc import read_map, write_map
from gemmap.kernels import threads
from gemmap.report.figures import FscCurve, write_fsc_figure, write_slices_figure
from gemmap.report.fsc_files import write_fsc_xml, write_local_resolution_script, write_postprocess_star
from gemmap.report.record import describe_software
from gemmap.report.tables import write_fsc_csv
from gemmap.validate.postprocess import Postprocess, PostprocessOptions, postprocess

#: Files of a validation's folder.
VALIDATION_FILES: Mapping[str, str] = {
    "fsc.csv": "FSC curves",
    "fsc.star": "the same and the Guinier plot, as relion_postprocess writes them",
    "fsc.xml": "corrected FSC for deposition at the EMDB",
    "fsc.png": "FSC curves, drawn",
    "mask.mrc": "mask of the masked curves",
    "sharpened.mrc": "mean of the half-maps, weighted by FSC, sharpened, cut at its resolution",
    "locres.mrc": "local resolution in Å",
    "locres_filtered.mrc": "mean of the half-maps, filtered at its local resolution",
    "locres.cxc": "ChimeraX: colours the sharpened map by local resolution",
    "slices.png": "central slices",
    "direction.csv": "resolution by direction",
    "fsc3d.mrc": "3-D FSC: at every Fourier voxel the FSC in the cone about it",
    "validation.json": "all numbers",
}


def validate(
    half1: Path | str,
    half2: Path | str,
    output: Path | str,
    *,
    mask: Path | str | None = None,
    pixel_size_a: float | None = None,
    options: PostprocessOptions | None = None,
    n_threads: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Postprocess:
    """Judge two half-maps and write curves, maps and numbers into a folder.

    Parameters
    ----------
    half1, half2
        Raw half-maps (MRC).
    output
        Folder, made here.
    mask
        0 (solvent) to 1; made from the maps if not given.
    pixel_size_a
        Replaces the header's.
    options
        What is computed.
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
    options = PostprocessOptions() if options is None else options
    require_free(folder, overwrite)
    inputs = [*paths, *([] if mask is None else [Path(mask)])]
    require_not_read(folder, VALIDATION_FILES, inputs)
    volumes, size_a = read_halves(paths[0], paths[1], pixel_size_a)
    given = None if mask is None else _read_mask(Path(mask), len(volumes[0]), size_a, pixel_size_a)
    shown = Silent() if progress is None else progress
    workers = threads.configure(n_threads)
    result = _judge(volumes, size_a, given, options, workers, shown)
    prepare_folder(folder, VALIDATION_FILES)
    _write(folder, result, size_a, inputs)
    return result


def _judge(
    volumes: tuple[Volume, Volume],
    pixel_size_a: float,
    mask: Volume | None,
    options: PostprocessOptions,
    workers: int,
    progress: Progress,
) -> Postprocess:
    started = False

    def watch(done: int, of: int) -> None:
        nonlocal started
        if not started:
            progress.start("Local resolution", of, "windows")
            started = True
        progress.advance(1)
        if done == of:
            progress.finish()

    return postprocess(volumes[0], volumes[1], pixel_size_a, mask, options, workers, watch)


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


def _write(folder: Path, result: Postprocess, pixel_size_a: float, inputs: list[Path]) -> None:
    box_px = len(result.mean)
    curves = {
        "unmasked": result.fsc.unmasked,
        "masked": result.fsc.masked,
        "phase_randomised": result.fsc.phase_randomised,
        "corrected": result.fsc.corrected,
        "half_bit": result.half_bit,
    }
    write_fsc_csv(folder / "fsc.csv", curves, box_px, pixel_size_a)
    write_postprocess_star(folder / "fsc.star", result, box_px, pixel_size_a)
    write_fsc_xml(folder / "fsc.xml", result.fsc.corrected, box_px, pixel_size_a, "half-maps, masked and corrected")
    drawn = [
        FscCurve("corrected", result.fsc.corrected),
        FscCurve("unmasked", result.fsc.unmasked),
        FscCurve("masked", result.fsc.masked, dashed=True),
        FscCurve("phases random", result.fsc.phase_randomised, dashed=True),
        FscCurve("half bit", result.half_bit, dashed=True),
    ]
    write_fsc_figure(folder / "fsc.png", drawn, box_px, pixel_size_a, result.resolution)
    write_map(folder / "mask.mrc", result.mask, pixel_size_a)
    shown = {"mean of halves": result.mean}
    if result.sharpened is not None:
        write_map(folder / "sharpened.mrc", result.sharpened.map, pixel_size_a)
        shown["sharpened"] = _as_bright(result.sharpened.map, result.mean)
    if result.local is not None:
        write_map(folder / "locres.mrc", result.local.map, pixel_size_a)
        write_map(folder / "locres_filtered.mrc", result.local.filtered, pixel_size_a)
        shown["locally filtered"] = result.local.filtered
        inside = _inside_mask(result)
        low_a, high_a = (0.0, 1.0) if inside is None else np.percentile(inside, (2, 98))
        base = "sharpened.mrc" if result.sharpened is not None else "locres_filtered.mrc"
        write_local_resolution_script(folder / "locres.cxc", base, "locres.mrc", float(low_a), float(high_a))
    write_slices_figure(folder / "slices.png", shown, pixel_size_a)
    _write_direction(folder / "direction.csv", result)
    if result.fsc3d is not None:
        write_map(folder / "fsc3d.mrc", result.fsc3d.volume, pixel_size_a)
    with atomic_path(folder / "validation.json") as temporary:
        record = _record(result, pixel_size_a, inputs)
        temporary.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _as_bright(volume: Volume, reference: Volume) -> Volume:
    """Scale a map to the standard deviation of another, so that one grey scale shows both."""
    own, other = (float(one.std(dtype=np.float64)) for one in (volume, reference))
    return volume * np.float32(other / own) if own > 0 else volume


def _inside_mask(result: Postprocess) -> Float[np.ndarray, " n"] | None:
    """Local resolutions in the mask, where windows reach; None if they were not measured or none does."""
    if result.local is None:
        return None
    inside = result.local.map[(result.mask > 0.5) & (result.local.map > 0)]
    return inside if len(inside) else None


def _write_direction(path: Path, result: Postprocess) -> None:
    table = np.column_stack([result.direction.axes, result.direction.resolutions_a, result.direction.areas])
    with atomic_path(path) as temporary:
        np.savetxt(temporary, table, "%.6g", ",", header="x,y,z,resolution_a,area", comments="")


def _record(result: Postprocess, pixel_size_a: float, inputs: list[Path]) -> dict[str, Any]:
    local = _inside_mask(result)
    sharpened = result.sharpened
    return {
        "inputs": [str(path) for path in inputs],
        "box_px": len(result.mean),
        "pixel_size_a": pixel_size_a,
        "mask": {"name": result.mask_name, **asdict(result.mask_report)},
        "resolutions": {name: _finite(asdict(value)) for name, value in result.resolutions.items()},
        "interval_95": _finite({**asdict(result.interval), "method": "parametric bootstrap over shells"}),
        "randomised_from_shell": result.fsc.randomised_from,
        "seed": result.fsc.seed,
        "bfactor_a2": None if sharpened is None else sharpened.bfactor_a2,
        "local_resolution_a": None
        if local is None
        else {"mean": float(local.mean()), "quartiles": [float(q) for q in np.percentile(local, (25, 50, 75))]},
        "cfar": result.direction.cfar,
        "sphericity": result.direction.sphericity,
        "sphericity_3dfsc": None if result.fsc3d is None else result.fsc3d.sphericity,
        "warnings": result.warnings(),
        "software": describe_software(),
    }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no infinity."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def validation_lines(result: Postprocess) -> list[tuple[str, str]]:
    """Return what a user reads at the end, as labels and texts."""
    rows = [
        ("Resolution", str(result.resolution)),
        ("  95 % interval", f"{result.interval} (parametric bootstrap over shells)"),
        *(("  beside it", str(value)) for name, value in result.resolutions.items() if name != "masked"),
    ]
    if result.sharpened is not None:
        rows.append(("B-factor", f"{result.sharpened.bfactor_a2:.0f} Å^2"))
    local = _inside_mask(result)
    if local is not None:
        low, middle, high = np.percentile(local, (25, 50, 75))
        rows.append(("Local resolution", f"median {middle:.2f} Å, quartiles {low:.2f} and {high:.2f} Å in the mask"))
    of_3dfsc = "" if result.fsc3d is None else f", of the 3-D FSC at 0.5 {result.fsc3d.sphericity:.3f}"
    rows.append(
        ("Direction", f"cFAR {result.direction.cfar:.2f}, sphericity {result.direction.sphericity:.3f}{of_3dfsc}")
    )
    return [*rows, *(("Warning", text) for text in result.warnings())]
