"""The command ``gemmap mask``."""

from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
from typer.testing import CliRunner

import gemmap
from gemmap.cli.main import app
from gemmap.io.mrc import read_map, write_map
from gemmap.validate.masks import find_particle, soft_mask_from_map, soften

N, PIXEL_A = 36, 3.0


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A map and two halves, whose mean it is."""
    folder = tmp_path_factory.mktemp("maps")
    rng = np.random.default_rng(0)
    z, y, x = np.indices((N, N, N)) - N // 2
    ball = scipy.ndimage.gaussian_filter((x**2 + y**2 + z**2 < 64).astype(np.float64), 1.0)
    halves = [(ball + 0.2 * rng.standard_normal(ball.shape)).astype(np.float32) for _ in range(2)]
    paths = [folder / f"{name}.mrc" for name in ("map", "half1", "half2")]
    for path, volume in zip(paths, [((halves[0] + halves[1]) / 2.0).astype(np.float32), *halves], strict=True):
        write_map(path, volume, PIXEL_A)
    return paths


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["mask", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())


def test_the_mask_and_what_is_said_of_it(maps: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "mask.mrc"
    code, text = run(maps[0], "-o", out)
    assert code == 0, text
    mask, size_a = read_map(out)
    volume = read_map(maps[0])[0]
    assert size_a == pytest.approx(PIXEL_A)
    np.testing.assert_array_equal(mask, soft_mask_from_map(volume, PIXEL_A))
    particle = find_particle(volume, PIXEL_A)
    volume_a3 = particle.voxels.sum() * PIXEL_A**3
    assert f"{particle.threshold:.6g}" in text
    assert f"{volume_a3:,.0f} Å^3, {volume_a3 * 0.81e-3:,.0f} kDa" in text
    assert f"{(mask > 0.5).mean():.1%} of the box" in text


def test_from_halves_it_is_the_mask_of_their_mean_and_the_same_twice(maps: list[Path], tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{i}.mrc" for i in range(3))
    assert run(maps[0], "-o", first)[0] == 0
    for out in (second, third):
        assert run("--half1", maps[1], "--half2", maps[2], "-o", out)[0] == 0
    assert first.read_bytes() == second.read_bytes() == third.read_bytes()


@pytest.mark.parametrize(
    ("option", "value"),
    [("--threshold", "0.2"), ("--lowpass", "30"), ("--lowpass", "0"), ("--extend", "5"), ("--edge", "3")],
)
def test_every_option_has_its_effect(option: str, value: str, maps: list[Path], tmp_path: Path) -> None:
    plain, changed = tmp_path / "plain.mrc", tmp_path / "changed.mrc"
    assert run(maps[0], "-o", plain)[0] == 0
    assert run(maps[0], "-o", changed, option, value)[0] == 0
    assert (read_map(plain)[0] != read_map(changed)[0]).any()


def test_the_diameter_and_the_pixel_size_are_heard(maps: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "mask.mrc"
    assert run(maps[0], "-o", out, "--pixel-size", 2)[0] == 0
    assert read_map(out)[1] == pytest.approx(2.0)
    code, text = run(maps[0], "-o", out, "--overwrite", "--particle-diameter", 40)
    assert code == 0
    assert text != run(maps[0], "-o", out, "--overwrite")[1]


def test_quiet_says_nothing(maps: list[Path], tmp_path: Path) -> None:
    assert run(maps[0], "-o", tmp_path / "mask.mrc", "-q") == (0, "")


def test_the_library_makes_the_same_mask(maps: list[Path], tmp_path: Path) -> None:
    made = gemmap.make_mask(tmp_path / "mask.mrc", maps[0], threshold=0.3, extend_px=2, edge_px=4)
    voxels = find_particle(read_map(maps[0])[0], PIXEL_A, threshold=0.3).voxels
    np.testing.assert_array_equal(made.mask, soften(voxels, 2, 4))
    assert made.threshold == 0.3
    assert made.volume_a3 == pytest.approx((made.mask > 0.5).sum() * PIXEL_A**3)


def test_bad_input_gets_one_sentence(maps: list[Path], tmp_path: Path) -> None:
    small, flat = tmp_path / "small.mrc", tmp_path / "flat.mrc"
    write_map(small, np.ones((8, 8, 8), np.float32), PIXEL_A)
    write_map(flat, np.ones((N, N, N), np.float32), PIXEL_A)
    out = tmp_path / "out.mrc"
    for arguments, words in (
        ((), "give MAP, or both --half1 and --half2"),
        ((maps[0], "--half1", maps[1]), "give MAP, or both --half1 and --half2"),
        (("--half1", maps[1]), "give MAP, or both --half1 and --half2"),
        ((maps[0], "--half1", maps[1], "--half2", maps[2]), "give MAP, or both --half1 and --half2"),
        (("--half1", maps[1], "--half2", small), "one box"),
        ((tmp_path / "missing.mrc",), "No such file"),
        ((flat,), "without contrast"),
        ((maps[0], "--threshold", "99"), "No voxel lies above the threshold 99"),
        ((maps[0], "--extend", "-1"), "growth of a mask is -1 px"),
        ((maps[0], "--lowpass", "-3"), "low-pass filter is at -3 Å"),
        ((maps[0], "--pixel-size", "0"), "expected a positive number"),
        ((maps[0], "--particle-diameter", "-5"), "particle diameter is -5 Å"),
    ):
        code, text = run(*arguments, "-o", out)
        assert code == 2, text
        assert words in text
        assert not out.exists()
    code, text = run(maps[0], "-o", maps[0], "--overwrite")
    assert code == 2
    assert "is read and would be replaced" in text
    code, text = run(maps[0], "-o", small)
    assert code == 2
    assert "--overwrite" in text
    code, text = run(maps[0], "-o", tmp_path)
    assert code == 2
    assert "is a folder" in text
