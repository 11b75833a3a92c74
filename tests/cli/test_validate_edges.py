"""``gemmap validate`` on what users really have: every odd file is either judged rightly or one sentence and exit 2."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import scipy.ndimage
from typer.testing import CliRunner

from gemmap.cli.main import app

PIXEL_A = 2.0
#: Writes a map into the test's folder: name, values, voxel size, mode, header fields.
Write = Callable[..., Path]


def pair(n: int, noise: float = 0.3) -> list[np.ndarray]:
    rng = np.random.default_rng(n)
    z, y, x = np.indices((n, n, n)) - n // 2
    density = scipy.ndimage.gaussian_filter(rng.random((n, n, n)) > 0.9, 0.8, output=np.float64)
    signal = 20.0 * density * np.exp(-(x**2 + y**2 + z**2) / (n / 3.5) ** 2)
    return [signal + noise * rng.standard_normal(signal.shape) for _ in range(2)]


A, B = pair(40)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(name: str, values: np.ndarray, size_a: Any = PIXEL_A, dtype: str = "f4", **header: Any) -> Path:
        path = tmp_path / f"{name}.mrc"
        with mrcfile.new(path) as handle:
            handle.set_data(np.asarray(values).astype(dtype))
            handle.voxel_size = size_a
            for field, value in header.items():
                handle.header[field] = value
        return path

    return to_file


def run(folder: Path, *arguments: object) -> tuple[int, str, dict[str, Any]]:
    result = CliRunner().invoke(app, ["validate", *map(str, arguments), "-o", str(folder / "out"), "--threads", "1"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    record = folder / "out" / "validation.json"
    text = " ".join(result.output.split())
    return result.exit_code, text, json.loads(record.read_text()) if record.is_file() else {}


def refused(folder: Path, *arguments: object) -> str:
    code, text, _ = run(folder, *arguments)
    assert code == 2, text
    assert text.startswith("Error: ")
    assert text.endswith((".", "?"))
    assert not (folder / "out").exists()
    return text


@pytest.mark.parametrize("n", [8, 9, 16, 37, 41])
def test_any_box_is_judged(n: int, write: Write, tmp_path: Path) -> None:
    half1, half2 = pair(n)
    code, text, record = run(tmp_path, write("a", half1), write("b", half2), "--no-local-resolution", "--fsc3d")
    assert code == 0, text
    assert record["box_px"] == n
    resolution_a = record["resolutions"]["masked"]["value_a"]
    assert 2 * PIXEL_A <= resolution_a <= n * PIXEL_A
    shell = n * PIXEL_A / resolution_a
    assert shell == pytest.approx(round(shell))
    assert mrcfile.read(tmp_path / "out" / "fsc3d.mrc").shape == (n, n, n)


def test_a_box_too_small_for_windows_says_how_to_go_on(write: Write, tmp_path: Path) -> None:
    half1, half2 = pair(9)
    assert "--no-local-resolution" in refused(tmp_path, write("a", half1), write("b", half2))


@pytest.mark.parametrize("n", [1, 2, 7])
def test_boxes_without_shells(n: int, write: Write, tmp_path: Path) -> None:
    half1, half2 = np.random.default_rng(0).standard_normal((2, n, n, n))
    assert "expected 8 or more" in refused(tmp_path, write("a", half1), write("b", half2))


def test_pure_noise_is_judged_as_what_it_is(write: Write, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal((2, 40, 40, 40))
    code, text, record = run(tmp_path, write("a", noise[0]), write("b", noise[1]), "--no-local-resolution")
    assert code == 0, text
    masked = record["resolutions"]["masked"]
    assert masked["value_a"] is None or masked["shell"] <= 6
    assert record["resolutions"]["masked_half_bit"]["value_a"] is None
    assert record["interval_95"]["worse_a"] is None
    assert record["bfactor_a2"] in (None, 0.0)


@pytest.mark.parametrize(
    ("half1", "half2", "words"),
    [
        (np.full_like(A, 3.0), np.full_like(A, 2.0), "Half-map 1 is 3 everywhere"),
        (A, np.zeros_like(A), "Half-map 2 is 0 everywhere"),
        (np.zeros_like(A), np.zeros_like(A), "Half-map 1 is 0 everywhere"),
        (A, A, "identical"),
        (A, 2.5 * A, "the same data"),
        (A, 2.5 * A + 3.0, "the same data"),
        (A, -A, "opposite contrast"),
        (A, -B, "opposite contrast"),
        (np.where(np.arange(64000).reshape(A.shape) == 77, np.nan, A), B, "Map 1 holds values that are not numbers"),
        (A, np.where(np.arange(64000).reshape(A.shape) == 77, np.inf, B), "Map 2 holds values that are not numbers"),
        (A[:30], B[:30], "is 40 x 40 x 30 voxels (x, y, z); expected a cubic map"),
        (A, B[2:-2, 2:-2, 2:-2], "expected half-maps of one box"),
    ],
    ids=[
        "constant",
        "one zero",
        "zeros",
        "identical",
        "scaled",
        "offset",
        "minus",
        "opposite",
        "nan",
        "inf",
        "slab",
        "box",
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning:mrcfile")
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_maps_that_are_no_half_maps(
    half1: np.ndarray, half2: np.ndarray, words: str, write: Write, tmp_path: Path
) -> None:
    assert words in refused(tmp_path, write("a", half1), write("b", half2))


@pytest.mark.parametrize(
    ("mask", "size_a", "words"),
    [
        (A, PIXEL_A, "is it a density map?"),
        (np.full_like(A, 2.0), PIXEL_A, "values from 2 to 2; expected 0"),
        (np.zeros_like(A), PIXEL_A, "zero everywhere"),
        (np.where(np.arange(64000).reshape(A.shape) == 77, np.nan, 1.0), PIXEL_A, "The mask holds values"),
        (np.ones((41, 41, 41)), PIXEL_A, "41 px wide and the maps 40 px; expected the same box"),
        (np.ones_like(A), 2.2, "has voxels of 2.2 Å"),
        (np.ones_like(A)[:30], PIXEL_A, "expected a cubic map"),
    ],
    ids=["density", "twos", "zeros", "nan", "box", "voxel", "slab"],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning:mrcfile")
def test_masks_that_are_none(mask: np.ndarray, size_a: float, words: str, write: Write, tmp_path: Path) -> None:
    paths = write("a", A), write("b", B)
    assert words in refused(tmp_path, *paths, "--mask", write("mask", mask, size_a))


def test_wrong_masks_are_described(write: Write, tmp_path: Path) -> None:
    mask = np.zeros_like(A)
    mask[14:26, 14:26, 14:20] = 1.0
    code, text, record = run(
        tmp_path, write("a", A), write("b", B), "--mask", write("m", mask), "--no-local-resolution"
    )
    assert code == 0, text
    assert "mask is binary" in text
    assert "leaves out" in text
    described = record["mask"]
    assert described["name"] == "mask given"
    assert described["edge_px"] is None
    assert described["left_out"] > 0.1
    assert described["fraction_of_box"] == pytest.approx(12 * 12 * 6 / 40**3)


@pytest.mark.parametrize("size_a", [0.0, (2.0, 2.0, 2.5)], ids=["none", "oblong"])
def test_voxel_sizes_that_are_none_can_be_given(size_a: Any, write: Write, tmp_path: Path) -> None:
    paths = write("a", A, size_a), write("b", B, size_a)
    mask = write("mask", np.ones_like(A), size_a)
    assert "--pixel-size" in refused(tmp_path, *paths)
    for wrong in ("0", "-1", "nan"):
        assert "expected a positive number" in refused(tmp_path, *paths, "--pixel-size", wrong)
    code, text, record = run(tmp_path, *paths, "--pixel-size", PIXEL_A, "--no-local-resolution", "--mask", mask)
    assert code == 0, text
    assert record["pixel_size_a"] == PIXEL_A


@pytest.mark.parametrize(
    ("dtype", "scale", "header"),
    [
        ("i1", 20.0, {}),
        ("i2", 1000.0, {}),
        ("f2", 1.0, {}),
        ("f4", 1e-30, {}),
        ("f4", 1e30, {}),
        ("f4", 1.0, {"nxstart": -20, "nystart": 7, "nzstart": 3, "origin": (10.0, -20.0, 33.0)}),
    ],
    ids=["int8", "int16", "float16", "tiny", "huge", "origin"],
)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning:numpy")
def test_modes_scales_and_origins_change_nothing(
    dtype: str, scale: float, header: dict[str, Any], write: Write, tmp_path: Path
) -> None:
    plain = run(tmp_path, write("p", A), write("q", B), "--no-local-resolution")[2]["resolutions"]["masked"]["value_a"]
    paths = write("a", A * scale, dtype=dtype, **header), write("b", B * scale, dtype=dtype, **header)
    code, text, record = run(tmp_path, *paths, "--no-local-resolution", "--overwrite")
    assert code == 0, text
    assert record["resolutions"]["masked"]["value_a"] == pytest.approx(plain)


def test_files_that_are_no_maps(write: Write, tmp_path: Path) -> None:
    half = write("a", A)
    text, short, empty = (tmp_path / f"{name}.mrc" for name in ("text", "short", "empty"))
    text.write_text("no map at all\n" * 500)
    short.write_text("hi")
    empty.write_bytes(b"")
    cut = tmp_path / "cut.mrc"
    cut.write_bytes(half.read_bytes()[:5000])
    for path, words in (
        (tmp_path / "missing.mrc", "No such file"),
        (text, "is not an MRC file"),
        (short, "holds 2 bytes"),
        (empty, "holds 0 bytes"),
        (cut, "is truncated"),
        (tmp_path, "is a folder"),
        (write("complex", A, dtype="c8"), "complex"),
    ):
        assert words in refused(tmp_path, path, half)
        assert words in refused(tmp_path, half, path)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--local-sampling", "0", "distance of the windows of local resolution is 0 Å"),
        ("--local-sampling", "nan", "is nan Å"),
        ("--guinier-from", "-1", "coarsest resolution of the B-factor's fit is -1 Å"),
        ("--bfactor", "nan", "The B-factor is nan"),
        ("--bfactor", "1e9", "expected -1000 to 1000"),
        ("--seed", "-1", "The seed is -1"),
    ],
)
def test_options_out_of_range(option: str, value: str, words: str, write: Write, tmp_path: Path) -> None:
    assert words in refused(tmp_path, write("a", A), write("b", B), option, value)
