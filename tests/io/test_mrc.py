"""Maps, and stacks that are written, against mrcfile, which our code does not use for pixels."""

import itertools
import resource
from collections.abc import Iterator
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from gemmap.errors import FormatError, InputError, NumericsError, OutputError
from gemmap.io.mrc import read_map, write_map, write_stack
from gemmap.io.mrc_header import read_header


def stack_file(path: Path, images: np.ndarray) -> Path:
    with mrcfile.new(path) as mrc:
        mrc.set_data(images)
        mrc.set_image_stack()
    return path


class TestMaps:
    @pytest.mark.parametrize("side", [1, 7, 16])
    def test_written_map_is_what_mrcfile_reads(self, tmp_path: Path, side: int) -> None:
        volume = np.random.default_rng(0).normal(5.0, 2.0, (side,) * 3).astype(np.float32)
        file = tmp_path / "map.mrc"
        write_map(file, volume, 1.37)
        assert mrcfile.validate(file)
        with mrcfile.open(file) as mrc:
            np.testing.assert_array_equal(mrc.data, volume)
            assert mrc.header.mode == 2
            assert mrc.is_volume()
            assert mrc.voxel_size.tolist() == pytest.approx((1.37,) * 3)
            assert mrc.header.origin.tolist() == (0, 0, 0)
            assert mrc.nstart.tolist() == (0, 0, 0)
            statistics = [float(mrc.header[name]) for name in ("dmin", "dmax", "dmean", "rms")]
            assert statistics == pytest.approx([volume.min(), volume.max(), volume.mean(), volume.std()], rel=1e-5)
        back, pixel_size_a = read_map(file)
        np.testing.assert_array_equal(back, volume)
        assert back.dtype == np.float32
        assert pixel_size_a == pytest.approx(1.37)

    @pytest.mark.parametrize("axes", list(itertools.permutations((1, 2, 3))))
    def test_axis_order_is_undone(self, tmp_path: Path, axes: tuple[int, int, int]) -> None:
        side = 3
        stored = np.empty((side,) * 3, np.float32)
        for section, row, column in itertools.product(range(side), repeat=3):
            xyz = {axes[0]: column, axes[1]: row, axes[2]: section}
            stored[section, row, column] = xyz[1] + 10 * xyz[2] + 100 * xyz[3]
        with mrcfile.new(tmp_path / "map.mrc") as mrc:
            mrc.set_data(stored)
            mrc.header.mapc, mrc.header.mapr, mrc.header.maps = axes
        volume, _ = read_map(tmp_path / "map.mrc")
        z, y, x = np.indices((side,) * 3)
        np.testing.assert_array_equal(volume, x + 10 * y + 100 * z)

    def test_map_that_is_not_cubic(self, tmp_path: Path) -> None:
        with mrcfile.new(tmp_path / "map.mrc") as mrc:
            mrc.set_data(np.zeros((4, 6, 8), np.float32))
        with pytest.raises(InputError, match=r"is 8 x 6 x 4 voxels \(x, y, z\); expected a cubic map"):
            read_map(tmp_path / "map.mrc")

    def test_voxels_that_are_not_cubic(self, tmp_path: Path) -> None:
        with mrcfile.new(tmp_path / "map.mrc") as mrc:
            mrc.set_data(np.zeros((4, 4, 4), np.float32))
            mrc.voxel_size = (1.0, 1.0, 1.1)
        with pytest.raises(InputError, match=r"voxels of 1 x 1 x 1\.1 Å; expected cubic voxels"):
            read_map(tmp_path / "map.mrc")

    @pytest.mark.parametrize(
        ("volume", "pixel_size_a", "error", "message"),
        [
            (np.zeros((4, 4, 5)), 1.0, InputError, "expected a cubic volume"),
            (np.zeros((4, 4)), 1.0, InputError, "expected a cubic volume"),
            (np.zeros((0, 0, 0)), 1.0, InputError, "expected a cubic volume"),
            (np.zeros((4, 4, 4)), 0.0, InputError, "expected a positive number"),
            (np.zeros((4, 4, 4)), float("nan"), InputError, "expected a positive number"),
            (np.full((4, 4, 4), np.nan), 1.0, NumericsError, "64 of 64 voxels"),
        ],
    )
    def test_what_cannot_be_written(
        self, tmp_path: Path, volume: np.ndarray, pixel_size_a: float, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            write_map(tmp_path / "map.mrc", volume, pixel_size_a)
        assert not list(tmp_path.iterdir())

    def test_full_disk(self, tmp_path: Path) -> None:
        old = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, old[1]))
        try:
            with pytest.raises(OutputError, match=r"Cannot write .*map\.mrc"):
                write_map(tmp_path / "map.mrc", np.zeros((16, 16, 16)), 1.0)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        assert not list(tmp_path.iterdir())


class TestWritingStacks:
    @pytest.mark.parametrize(("mode", "tolerance"), [(2, 0.0), (12, 1e-3)])
    @pytest.mark.parametrize("n", [1, 5])
    def test_written_stack_is_what_mrcfile_reads(self, tmp_path: Path, mode: int, tolerance: float, n: int) -> None:
        images = np.random.default_rng(0).normal(3.0, 1.0, (n, 16, 16)).astype(np.float32)

        def one_by_one() -> Iterator[np.ndarray]:
            yield from images

        file = tmp_path / "a.mrcs"
        assert write_stack(file, one_by_one(), 1.37, mode) == n
        assert mrcfile.validate(file)
        with mrcfile.open(file) as mrc:
            stored = mrc.data.reshape(images.shape).astype(np.float64)  # mrcfile makes one image 2D
            np.testing.assert_allclose(stored, images, rtol=tolerance)
            assert (mrc.header.nz, mrc.header.ispg, mrc.header.mz) == (n, 0, 1)
            assert mrc.header.mode == mode
            assert (float(mrc.voxel_size.x), float(mrc.voxel_size.y)) == pytest.approx((1.37, 1.37))
            statistics = [float(mrc.header[name]) for name in ("dmin", "dmax", "dmean", "rms")]
            assert statistics == pytest.approx([stored.min(), stored.max(), stored.mean(), stored.std()], rel=1e-5)

    @pytest.mark.parametrize(
        ("images", "mode", "message"),
        [
            (np.zeros((0, 16, 16)), 2, "no image to write"),
            (np.zeros((2, 16, 18)), 2, r"Image 1 of .* has shape \(16, 18\)"),
            ([np.zeros((16, 16)), np.zeros((18, 18))], 2, r"Image 2 of .* has shape \(18, 18\)"),
            (np.full((1, 16, 16), 1e6), 12, "not finite in mode 12"),
            (np.full((1, 16, 16), np.inf), 2, "not finite in mode 2"),
            (np.zeros((1, 16, 16)), 1, "mode 2 or 12; got mode 1"),
        ],
    )
    def test_what_cannot_be_written(self, tmp_path: Path, images: np.ndarray, mode: int, message: str) -> None:
        with pytest.raises(InputError, match=message):
            write_stack(tmp_path / "a.mrcs", images, 1.0, mode)
        assert not list(tmp_path.iterdir())


class TestRealFiles:
    def test_truncated_stack(self, shared_data: Path) -> None:
        with pytest.raises(FormatError, match="holds 66560 bytes; expected 722797568"):
            read_header(shared_data / "malformed" / "truncated_stack.mrcs")

    def test_map_in_a_long_box(self, shared_data: Path) -> None:
        with pytest.raises(InputError, match=r"50S-vol\.mrc is 32 x 32 x 128 voxels"):
            read_map(shared_data / "maps" / "50S-vol.mrc")

    def test_beta_galactosidase(self, shared_data: Path) -> None:
        volume, pixel_size_a = read_map(shared_data / "maps" / "betaGal.mrc")
        assert volume.shape == (100, 100, 100)
        assert pixel_size_a == pytest.approx(3.54)
        with mrcfile.open(shared_data / "maps" / "betaGal.mrc") as mrc:
            np.testing.assert_array_equal(volume, mrc.data)

    def test_stack_without_stamps(self, shared_data: Path) -> None:
        header = read_header(shared_data / "cryodrgn" / "toy_projections.mrcs")
        assert header.shape == (1000, 30, 30)
        assert header.pixel_size_a[:2] == (1.0, 1.0)
