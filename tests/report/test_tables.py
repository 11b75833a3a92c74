"""The FSC table is read back with the standard library."""

import csv
from pathlib import Path

import numpy as np
import pytest

from gemmap.errors import FormatError, InputError, OutputError
from gemmap.report.tables import read_fsc_csv, write_fsc_csv, write_noise_csv


@pytest.mark.parametrize("box_px", [9, 12])
def test_reads_back(tmp_path: Path, box_px: int) -> None:
    rng = np.random.default_rng(0)
    curves = {name: rng.uniform(-1, 1, box_px // 2 + 1) for name in ("half_maps_unmasked", "cross, with a comma")}
    write_fsc_csv(tmp_path / "fsc.csv", curves, box_px, 1.5)
    with open(tmp_path / "fsc.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == ["shell", "resolution_a", "spatial_frequency", *curves]
    assert [int(row["shell"]) for row in rows] == list(range(box_px // 2 + 1))
    assert float(rows[0]["resolution_a"]) == float("inf")
    assert float(rows[0]["spatial_frequency"]) == 0
    assert float(rows[3]["resolution_a"]) == pytest.approx(box_px * 1.5 / 3, abs=1e-6)
    assert float(rows[3]["spatial_frequency"]) == pytest.approx(3 / (box_px * 1.5), abs=1e-6)
    for name, values in curves.items():
        np.testing.assert_allclose([float(row[name]) for row in rows], values, atol=6e-7)


def test_no_curves_is_a_table_of_shells(tmp_path: Path) -> None:
    write_fsc_csv(tmp_path / "fsc.csv", {}, 4, 1.0)
    assert (tmp_path / "fsc.csv").read_text().splitlines() == [
        "shell,resolution_a,spatial_frequency",
        "0,inf,0.000000",
        "1,4.000000,0.250000",
        "2,2.000000,0.500000",
    ]


def test_a_curve_of_another_length_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'short' has 3 values; a box of 8 pixels has 5 shells"):
        write_fsc_csv(tmp_path / "fsc.csv", {"short": np.ones(3)}, 8, 1.0)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"fsc\.csv"):
        write_fsc_csv(tmp_path / "absent" / "fsc.csv", {}, 4, 1.0)


def test_noise_keeps_its_digits_whatever_its_unit_and_leaves_out_the_corners(tmp_path: Path) -> None:
    spectra = {"half 1": np.array([1.23456e-9, 2e-9, 3e-9, 9.0, 9.0]), "half 2": np.array([1e8, 2e8, 123456.7])}
    write_noise_csv(tmp_path / "noise.csv", spectra, 4, 1.0)
    assert (tmp_path / "noise.csv").read_text().splitlines() == [
        "shell,resolution_a,spatial_frequency,half 1,half 2",
        "0,inf,0.000000,1.23456e-09,1e+08",
        "1,4.000000,0.250000,2e-09,2e+08",
        "2,2.000000,0.500000,3e-09,123457",
    ]


def test_curves_come_back_from_their_table(tmp_path):
    curves = {name: np.random.default_rng(3).uniform(-1, 1, 6).round(6) for name in ("one", "two, with a comma")}
    write_fsc_csv(tmp_path / "fsc.csv", curves, 10, 2.0)
    found = read_fsc_csv(tmp_path / "fsc.csv")
    assert list(found) == list(curves)
    for name, curve in curves.items():
        np.testing.assert_allclose(found[name], curve, atol=1e-9)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "shell,one\n1,0.5\n", "shell,one\n0,x\n", "shell,one\n0\n"])
def test_another_table_is_a_sentence(tmp_path, text):
    (tmp_path / "fsc.csv").write_text(text)
    with pytest.raises(FormatError, match="is not a table of curves over shells"):
        read_fsc_csv(tmp_path / "fsc.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_fsc_csv(tmp_path / "none.csv")
