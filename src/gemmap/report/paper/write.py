"""Draws the figures of a folder and writes them into another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gemmap.errors import InputError
from gemmap.io.folders import prepare_folder
from gemmap.report.canvas import print_style, save
from gemmap.report.paper.recipes import RECIPES, Missing, draw
from gemmap.report.paper.sizes import FORMATS, WIDTHS_MM, require_dpi
from gemmap.report.paper.source import open_results

#: Folder of the figures, in that of the run.
FIGURES_NAME = "figures"


@dataclass(frozen=True)
class WrittenFigures:
    """Files that were written, and for figures that were not, why: name and a sentence without its end."""

    files: tuple[Path, ...]
    missing: tuple[tuple[str, str], ...]


def write_figures(
    folder: Path,
    output: Path | None = None,
    *,
    width_mm: float = WIDTHS_MM["single"],
    formats: Sequence[str] = FORMATS,
    dpi: int = 600,
    only: Sequence[str] | None = None,
) -> WrittenFigures:
    """Write figures of a run, or of a validation, from the files in its folder alone.

    Parameters
    ----------
    folder
        That ``gemmap reconstruct`` or ``gemmap validate`` made.
    output
        Folder for the figures, ``figures`` in ``folder`` by default; files of their names are replaced, others stay.
    width_mm
        Of every figure, at which letters have 6 to 7 points.
    formats
        Some of ``pdf``, ``svg`` and ``png``.
    dpi
        Of PNG files, and of slices and discs in the others.
    only
        Names of :data:`RECIPES`, which must be there; None draws all that are.

    Raises
    ------
    InputError, FormatError
        If the folder is no such folder, its run is not finished, or a figure asked for by name cannot be drawn.
    OutputError
        If a file cannot be written.
    """
    require_dpi(dpi)
    files = open_results(folder)
    target = folder / FIGURES_NAME if output is None else output
    if target.resolve() == folder.resolve():
        raise InputError(f"{target} is the folder of the results, which has pictures of the same names; give another.")
    style = print_style(width_mm)
    written: list[Path] = []
    missing: list[tuple[str, str]] = []
    for name in RECIPES if only is None else only:
        figure = draw(name, files, style)
        if isinstance(figure, Missing):
            if only is not None:
                raise InputError(f"The figure {name} cannot be drawn: {figure.reason}; leave it out of the list.")
            missing.append((name, figure.reason))
            continue
        prepare_folder(target, [])
        for kind in formats:
            save(figure, target / f"{name}.{kind}", kind, dpi, style)
            written.append(target / f"{name}.{kind}")
    if not written:
        reasons = "; ".join(f"{name}, because {reason}" for name, reason in missing)
        raise InputError(f"{folder} has nothing to draw: {reasons}.")
    return WrittenFigures(tuple(written), tuple(missing))
