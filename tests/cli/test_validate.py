"""The command ``gemmap validate``: files it writes, what it prints, what it refuses."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
from typer.testing import CliRunner

from gemmap.cli.main import app
from gemmap.io.mrc import read_map, write_map
from gemmap.io.star import read_star

N, PIXEL_A = 40, 2.0


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("halves")
    rng = np.random.default_rng(0)
    points = rng.standard_normal((300, 3))
    points *= (9.0 * rng.random(300) ** (1 / 3) / np.linalg.norm(points, axis=1))[:, None]
    density = np.zeros((N, N, N))
    np.add.at(density, tuple(np.rint(points + N // 2).astype(int).T), 40.0)
    signal = scipy.ndimage.gaussian_filter(density, 1.0)
    paths = [folder / f"half{i}.mrc" for i in (1, 2)]
    for path in paths:
        write_map(path, (signal + rng.standard_normal(signal.shape)).astype(np.float32), PIXEL_A)
    return paths


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["validate", *map(str, arguments)])
    return result.exit_code, result.output


def test_everything_is_written_and_said(halves: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "v"
    code, text = run(*halves, "-o", out, "--local-sampling", 12, "--threads", 1)
    assert code == 0, text
    for word in ("half-map FSC 0.143", "95 % interval", "B-factor", "Local resolution", "cFAR"):
        assert word in text
    record = json.loads((out / "validation.json").read_text())
    resolution_a = record["resolutions"]["masked"]["value_a"]
    assert 4.0 <= resolution_a < 12.0
    assert record["interval_95"]["better_a"] <= record["interval_95"]["worse_a"]
    with open(out / "fsc.csv", newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    table = read_star(out / "fsc.star")
    np.testing.assert_allclose(
        table["fsc"].floats("rlnFourierShellCorrelationCorrected"), [float(row["corrected"]) for row in rows], atol=2e-6
    )
    assert float(table["general"].strings("rlnFinalResolution")[0]) == pytest.approx(resolution_a, abs=1e-5)
    assert "rlnFittedSlopeGuinierPlot" in table["general"]
    # gemmi's blocks move when one is added: what is set afterwards was lost, or ended the program.
    slope = float(table["general"].strings("rlnFittedSlopeGuinierPlot")[0])
    assert slope == pytest.approx(record["bfactor_a2"] / 4, abs=1e-5)
    assert {"rlnFittedInterceptGuinierPlot", "rlnCorrelationFitGuinierPlot"} <= set(table["general"].labels)
    assert (out / "fsc.xml").read_text().count("<coordinate>") == len(rows) == N // 2 + 1
    for name in ("mask", "sharpened", "locres", "locres_filtered"):
        volume, size_a = read_map(out / f"{name}.mrc")
        assert volume.shape == (N, N, N)
        assert size_a == pytest.approx(PIXEL_A)
    for name in ("fsc.png", "slices.png", "locres.cxc", "direction.csv"):
        assert (out / name).stat().st_size > 100


def test_options_have_their_effect(halves: list[Path], tmp_path: Path) -> None:
    mask = tmp_path / "mask.mrc"
    write_map(mask, np.ones((N, N, N), np.float32), 3.0)
    code, text = run(
        *halves, "-o", tmp_path / "v", "--no-local-resolution", "--mask", mask, "--bfactor", -20, "--pixel-size", 3
    )
    assert code == 0, text
    record = json.loads((tmp_path / "v" / "validation.json").read_text())
    assert record["bfactor_a2"] == -20
    assert record["pixel_size_a"] == 3
    assert record["mask"]["name"] == "mask given"
    assert record["local_resolution_a"] is None
    assert not (tmp_path / "v" / "locres.mrc").exists()
    # A mask of ones is no mask.
    assert record["resolutions"]["masked"]["value_a"] == pytest.approx(record["resolutions"]["unmasked"]["value_a"])


def test_an_existing_folder_is_kept_unless_overwriting(halves: list[Path], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    code, text = run(*halves, "-o", tmp_path)
    assert code == 2
    assert "--overwrite" in text
    code, text = run(*halves, "-o", tmp_path, "--overwrite", "--no-local-resolution")
    assert code == 0, text
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_bad_input_gets_one_sentence(halves: list[Path], tmp_path: Path) -> None:
    small, wrong_pixel, nan = (tmp_path / f"{name}.mrc" for name in ("small", "pixel", "nan"))
    volume, _ = read_map(halves[0])
    write_map(small, volume[4:-4, 4:-4, 4:-4], PIXEL_A)
    write_map(wrong_pixel, volume, 1.1 * PIXEL_A)
    write_map(nan, volume, PIXEL_A)
    with open(nan, "r+b") as handle:
        handle.seek(1024)
        handle.write(np.array([np.nan], "<f4").tobytes())
    for arguments, words in (
        ((halves[0], halves[0]), "identical"),
        ((halves[0], small), "one box"),
        ((halves[0], wrong_pixel), "expected the same"),
        ((halves[0], nan), "not numbers"),
        ((halves[0], tmp_path / "missing.mrc"), "missing.mrc"),
        ((*halves, "--mask", small), "expected the same box"),
        ((*halves, "--mask", wrong_pixel), "voxels of 2.2"),
        ((*halves, "--mask", halves[0]), "density map"),
        ((*halves, "--local-sampling", "500"), "smaller sampling distance"),
    ):
        out = tmp_path / "out"
        code, text = run(*arguments, "-o", out)
        assert code == 2, text
        assert words in " ".join(text.split())
        assert not out.exists()
