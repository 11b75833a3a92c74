"""The files of a validation, alike in the folder of a run and in one of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gemmap.io.atomic import atomic_path
from gemmap.io.mrc import write_map
from gemmap.report.directions_figure import write_directions_figure
from gemmap.report.fsc_files import write_fsc_xml, write_local_resolution_script, write_postprocess_star
from gemmap.report.local_figure import write_local_figure
from gemmap.report.tables import write_fsc_csv
from gemmap.validate.postprocess import Postprocess
from gemmap.validate.views import Views

#: What all validations write, beside the sharpened map, whose name differs.
VALIDATION_FILES: Mapping[str, str] = {
    "mask.mrc": "soft mask of the masked curves, 0 (solvent) to 1 (particle)",
    "fsc.csv": "all curves over Fourier shells",
    "fsc.star": "curves and Guinier plot of the half-maps, as relion_postprocess writes them",
    "fsc.xml": "corrected half-map FSC for deposition at the EMDB",
    "fsc.png": "the main curves drawn, with the resolution",
    "slices.png": "central slices of the maps, all with the same grey scale",
    "locres.mrc": "local resolution of the half-maps in Å",
    "locres_backprojection.mrc": "local resolution of the back-projections of the same half-sets in Å",
    "locres_filtered.mrc": "the map low-passed at the local resolution of the half-maps",
    "locres.cxc": "ChimeraX: colours the sharpened map by locres.mrc",
    "locres.png": "slices coloured by local resolution, and its histogram",
    "direction.csv": "resolution along 256 directions",
    "views.csv": "density of views along 1,000 directions",
    "directions.png": "views and resolution over the half-sphere of directions",
}


def write_validation(
    folder: Path, result: Postprocess, views: Views | None, pixel_size_a: float, sharpened_name: str
) -> None:
    """Write everything but ``fsc.png`` and ``slices.png``; what was not measured has no file.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    box_px = len(result.volume)
    write_map(folder / "mask.mrc", result.mask, pixel_size_a)
    write_fsc_csv(folder / "fsc.csv", result.curves(), box_px, pixel_size_a)
    write_postprocess_star(folder / "fsc.star", result, box_px, pixel_size_a)
    title = f"half-map FSC, {result.mask_name}, corrected by phase randomisation"
    write_fsc_xml(folder / "fsc.xml", result.half_maps.fsc.corrected, box_px, pixel_size_a, title)
    if result.sharpened is not None:
        write_map(folder / sharpened_name, result.sharpened.map, pixel_size_a)
    _write_local(folder, result, pixel_size_a, sharpened_name)
    of = {"half-maps": result.half_maps.direction}
    if result.backprojections is not None:
        of["back-projections"] = result.backprojections.direction
    columns = {"resolution_a": of["half-maps"].resolutions_a, "area": of["half-maps"].areas}
    if "back-projections" in of:
        columns["resolution_backprojection_a"] = of["back-projections"].resolutions_a
        columns["area_backprojection"] = of["back-projections"].areas
    _write_directions(folder / "direction.csv", of["half-maps"].axes, columns)
    if views is not None:
        _write_directions(folder / "views.csv", views.directions, {"views": views.counts, "relative": views.relative})
    write_directions_figure(folder / "directions.png", of, views)


def _write_local(folder: Path, result: Postprocess, pixel_size_a: float, sharpened_name: str) -> None:
    own = result.half_maps.local
    if own is None:
        return
    write_map(folder / "locres.mrc", own.map, pixel_size_a)
    shown = {"half-maps": own.map}
    if own.filtered is not None:
        write_map(folder / "locres_filtered.mrc", own.filtered, pixel_size_a)
    if result.backprojections is not None and result.backprojections.local is not None:
        write_map(folder / "locres_backprojection.mrc", result.backprojections.local.map, pixel_size_a)
        shown["back-projections"] = result.backprojections.local.map
    inside = result.half_maps.local_inside(result.mask)
    if inside is None:
        return
    low_a, high_a = np.percentile(inside, (2, 98))
    base = "locres_filtered.mrc" if result.sharpened is None else sharpened_name
    write_local_resolution_script(folder / "locres.cxc", base, "locres.mrc", float(low_a), float(high_a))
    volume = result.volume if result.sharpened is None else result.sharpened.map
    write_local_figure(folder / "locres.png", shown, volume, result.mask)


def _write_directions(path: Path, directions: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
    names: Sequence[str] = ("x", "y", "z", *columns)
    with atomic_path(path) as temporary:
        table = np.column_stack([directions, *columns.values()])
        np.savetxt(temporary, table, "%.6g", ",", header=",".join(names), comments="")
