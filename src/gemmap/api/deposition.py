"""What the EMDB asks for when a map is deposited: maps, half-maps, mask, FSC, a picture, and what to type."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gemmap.errors import InputError
from gemmap.io.atomic import atomic_path
from gemmap.io.folders import prepare_folder
from gemmap.io.mrc import read_map
from gemmap.report.fsc_files import write_fsc_xml
from gemmap.report.tables import read_fsc_csv

#: Names here, by those of the run; the first that is there is the primary map.
_PRIMARY = ("run_class001_sharpened.mrc", "run_class001.mrc")
_COPIED = {
    "half_map_1.mrc": "run_half1_class001_unfil.mrc",
    "half_map_2.mrc": "run_half2_class001_unfil.mrc",
    "mask.mrc": "mask.mrc",
    "additional_map_backprojection.mrc": "backprojection.mrc",
    "fsc.png": "fsc.png",
    "slices.png": "slices.png",
}
_TEXT = "deposition.txt"


def write_deposition(run: Path, folder: Path, job: Mapping[str, Any]) -> int:
    """Fill a folder with what the EMDB's deposition asks for; return the number of files.

    All maps have one box, one voxel size and one origin, which the EMDB requires; half-maps are raw.

    Raises
    ------
    InputError
        If a map is missing, or the maps do not lie on one grid.
    OutputError
        If a file cannot be written.
    """
    primary = next((name for name in _PRIMARY if (run / name).exists()), None)
    if primary is None:
        raise InputError(f"{run} has no {_PRIMARY[1]}; expected the folder of a finished run.")
    files = {"map.mrc": primary, **_COPIED}
    if primary != _PRIMARY[1]:
        files["additional_map_unsharpened.mrc"] = _PRIMARY[1]
    grid = None
    for name, source in files.items():
        if not name.endswith(".mrc"):
            continue
        if not (run / source).exists():
            raise InputError(f"{run} has no {source}, which a deposition needs; expected the folder of a finished run.")
        volume, pixel_size_a = read_map(run / source)
        if grid is not None and (len(volume), round(pixel_size_a, 4)) != grid:
            raise InputError(
                f"{run / source} is {len(volume)} px of {pixel_size_a:g} Å and the primary map {grid[0]} px of "
                f"{grid[1]:g} Å; expected one grid for all maps of a deposition."
            )
        grid = len(volume), round(pixel_size_a, 4)
    assert grid is not None
    prepare_folder(folder, [*files, "fsc.xml", _TEXT])
    there = {name: source for name, source in files.items() if (run / source).exists()}
    for name, source in there.items():
        with atomic_path(folder / name) as temporary:
            shutil.copyfile(run / source, temporary)
    curves = read_fsc_csv(run / "fsc.csv")
    write_fsc_xml(folder / "fsc.xml", curves["half_maps_corrected"], *grid, "half-maps, soft mask, corrected")
    with atomic_path(folder / _TEXT) as temporary:
        temporary.write_text(_text(primary, grid, job, level=_level(run / primary)), encoding="utf-8")
    return len(there) + 2


def _level(path: Path) -> float:
    """A contour level to begin with: what the brightest 2 % of the voxels exceed."""
    return float(np.percentile(read_map(path)[0], 98))


def _text(primary: str, grid: tuple[int, float], job: Mapping[str, Any], level: float) -> str:
    box_px, pixel_size_a = grid
    results, resolutions, software = job["results"], job["resolutions"], job["software"]
    stated, half_maps = resolutions["map"], resolutions["half_maps_masked"]
    symmetry = job["config"].get("sym", "C1")
    rows = [
        ("Primary map", f"map.mrc ({'FSC-weighted, sharpened' if 'sharpened' in primary else 'not sharpened'})"),
        ("Half-maps", "half_map_1.mrc, half_map_2.mrc (raw: unfiltered, unmasked, unsharpened)"),
        ("Mask", "mask.mrc (of the FSC)"),
        ("Additional maps", "back-projection of the same particles; see the file names"),
        ("Box", f"{box_px} x {box_px} x {box_px} voxels"),
        ("Voxel size", f"{pixel_size_a:g} Å"),
        ("Contour level", f"{level:.4g} (a start: the brightest 2 % of the voxels; look at the map and correct it)"),
        ("Symmetry", symmetry),
        ("Particles in the final map", f"{results['n_particles']:,}"),
        ("Half-sets", "of the particle file" if results["halves_from_file"] else "drawn at random by image"),
        ("Resolution (half-maps)", half_maps["text"]),
        ("Resolution (cross-FSC)", stated["text"]),
        ("Reconstruction algorithm", "3D Gaussians fitted to the particles' Fourier sums (GEM), with damped residual"),
        ("Software", f"gemmap {software['gemmap']}"),
        ("CTF correction", "in the image model: amplitude and phase, per particle"),
        ("Orientations", "given with the particles; state the program that assigned them"),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {text}" for name, text in rows]
    notes = [
        "The EMDB takes the FSC of the half-maps at 0.143 as the author's resolution and computes its own from them.",
        "Half-maps of a positive model agree better than their errors allow, so state the cross-FSC resolution in the",
        "paper, and give the half-map value in the form with its mask. To fill in: sample, specimen, microscope,",
        "detector, dose, defocus range, and who assigned the orientations.",
    ]
    return "\n".join(["For the EMDB's deposition form (OneDep)", "", *lines, "", *notes, ""])
