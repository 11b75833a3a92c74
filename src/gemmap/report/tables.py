"""Curves as tables for other programs."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gemmap._types import Curve
from gemmap.errors import FormatError, InputError
from gemmap.io.atomic import atomic_path

#: Columns that say which shell a row is.
_FRAME_COLUMNS = ("shell", "resolution_a", "spatial_frequency")


def write_fsc_csv(path: Path, curves: Mapping[str, Curve], box_px: int, pixel_size_a: float) -> None:
    """Write curves over Fourier shells as comma-separated values, one row a shell, six decimals.

    Columns: ``shell``, ``resolution_a`` (Å; ``inf`` for shell 0), ``spatial_frequency`` (1/Å), then one for each curve
    under its name.

    Parameters
    ----------
    curves
        Name to (box_px//2 + 1,) values of shells 0 .. box_px//2.

    Raises
    ------
    ValueError
        If a curve does not have one value per shell.
    OutputError
        If the file cannot be written.
    """
    _write_curves(path, curves, box_px, pixel_size_a, "%.6f")


def write_noise_csv(path: Path, spectra: Mapping[str, Curve], box_px: int, pixel_size_a: float) -> None:
    """Write noise power spectra like `write_fsc_csv`, with six significant digits: their unit is that of the images.

    Parameters
    ----------
    spectra
        Name to power per shell 0 .. box_px//2 of the images' plain Fourier transform (white noise of variance v has
        v box_px^2); further shells, the corners, are left out.

    Raises
    ------
    ValueError, OutputError
        As `write_fsc_csv`.
    """
    inside = {name: spectrum[: box_px // 2 + 1] for name, spectrum in spectra.items()}
    _write_curves(path, inside, box_px, pixel_size_a, "%.6g")


def _write_curves(path: Path, curves: Mapping[str, Curve], box_px: int, pixel_size_a: float, form: str) -> None:
    n_shells = box_px // 2 + 1
    for name, curve in curves.items():
        if len(curve) != n_shells:
            raise ValueError(f"curve {name!r} has {len(curve)} values; a box of {box_px} pixels has {n_shells} shells")
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow([*_FRAME_COLUMNS, *curves])
        for shell in range(n_shells):
            resolution_a = box_px * pixel_size_a / shell if shell else math.inf
            frame = (f"{resolution_a:.6f}", f"{1.0 / resolution_a:.6f}")
            writer.writerow([shell, *frame, *(form % curve[shell] for curve in curves.values())])


def read_fsc_csv(path: Path) -> dict[str, Curve]:
    """Read curves written by `write_fsc_csv`, by name.

    Raises
    ------
    InputError
        If the file cannot be read.
    FormatError
        If it is another table.
    """
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle, strict=True))
        curves = {
            name: np.array([float(row[name]) for row in rows])
            for name in (rows[0] if rows else {})
            if name not in _FRAME_COLUMNS
        }
        shells = [int(row["shell"]) for row in rows]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, csv.Error):
        shells, curves = [], {}
    if not curves or shells != list(range(len(shells))):
        raise FormatError(f"{path} is not a table of curves over shells; expected the fsc.csv of a run.")
    return curves
