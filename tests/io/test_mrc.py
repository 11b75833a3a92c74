"""Stacks and maps against mrcfile, which our code does not use for reading or writing pixels."""

import itertools
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from io_project import BOX, PIXEL_A, Project

from gemmap.errors import FormatError, InputError, NumericsError, OutputError
from gemmap.io.mrc import MrcStack, open_stack, read_map, write_map, write_stack
from gemmap.io.mrc_header import read_header


def stack_file(path: Path, images: np.ndarray) -> Path:
    with mrcfile.new(path) as mrc:
        mrc.set_data(images)
        mrc.set_image_stack()
    return path


def one_stack(path: Path, n: int, sign: float = 1.0) -> MrcStack:
    return MrcStack([read_header(path)], np.zeros(n, int), np.arange(n), np.full(n, sign))


class TestReading:
    @pytest.mark.parametrize(
        "rows", [[], [0], [9], [3, 3], list(range(10)), [7, 0, 4, 9, 1, 8, 2], list(range(9, -1, -1))]
    )
    def test_images_come_in_the_order_asked(self, project: Project, rows: list[int]) -> None:
        stack = open_stack(project.table, [project.folder])
        images = stack.read(np.array(rows, dtype=int))
        assert images.dtype == np.float32
        np.testing.assert_array_equal(images, project.images[rows])
        assert (stack.n, stack.box_px) == (10, BOX)
        assert stack.header_pixel_sizes_a == pytest.approx((PIXEL_A,))

    def test_twice_the_same(self, project: Project) -> None:
        stack = open_stack(project.table, [project.folder])
        first = stack.read(np.arange(10))
        first[:] = 0
        np.testing.assert_array_equal(stack.read(np.arange(10)), project.images)

    def test_sign_of_the_file_and_invert_both_multiply(self, project: Project) -> None:
        sign = np.where(np.arange(10) % 3 == 0, -1.0, 1.0)
        table = project.table.select(np.arange(10))
        object.__setattr__(table, "image_sign", sign)
        rows = np.array([6, 1, 0])
        upright = open_stack(table, [project.folder]).read(rows)
        np.testing.assert_array_equal(upright, project.images[rows] * sign[rows, None, None].astype(np.float32))
        np.testing.assert_array_equal(open_stack(table, [project.folder], invert=True).read(rows), -upright)

    @pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.float16, np.float32])
    def test_dark_images_of_every_type(self, tmp_path: Path, dtype: type) -> None:
        pixels = np.random.default_rng(0).integers(0, 100, (2, 16, 16)).astype(dtype)
        stack = one_stack(stack_file(tmp_path / "a.mrcs", pixels), 2, sign=-1.0)
        np.testing.assert_array_equal(stack.read(np.array([1, 0])), -pixels[::-1].astype(np.float32))

    def test_more_stacks_than_open_files_allowed(self, tmp_path: Path) -> None:
        images = np.arange(60, dtype=np.float32)[:, None, None] * np.ones((16, 16), np.float32)
        headers = [read_header(stack_file(tmp_path / f"{i}.mrcs", image[None])) for i, image in enumerate(images)]
        stack = MrcStack(headers, np.arange(60), np.zeros(60, int), np.ones(60))
        old = resource.getrlimit(resource.RLIMIT_NOFILE)
        open_now = max(int(name) for name in os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 30, old[1]))
        try:
            got = stack.read(np.arange(60))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, old)
        np.testing.assert_array_equal(got, images)

    def test_a_stack_larger_than_memory_is_opened_and_read(self, tmp_path: Path) -> None:
        """512 GiB on paper: a sparse file with one image of ones near its end."""
        n, box = 2**19, 512
        file = tmp_path / "a.mrcs"
        write_stack(file, np.zeros((1, box, box), np.float32), 1.0)
        with open(file, "r+b") as handle:
            handle.seek(8)
            handle.write(np.int32(n).tobytes())
            try:
                handle.truncate(1024 + n * box * box * 4)
            except OSError:
                pytest.skip("this file system takes no sparse file of 512 GiB")
            handle.seek(1024 + (n - 2) * box * box * 4)
            handle.write(np.ones((box, box), "<f4").tobytes())
        stack = one_stack(file, n)
        assert stack.read(np.array([n - 2, 0])).mean(axis=(1, 2)).tolist() == [1.0, 0.0]


class TestRefusals:
    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            ((2, 16, 18), "images of 18 x 16 px; expected square"),
            ((2, 17, 17), "box of 17 px; expected an even box of at least 16"),
            ((2, 14, 14), "box of 14 px; expected an even box of at least 16"),
        ],
    )
    def test_boxes(self, tmp_path: Path, shape: tuple[int, ...], message: str) -> None:
        file = stack_file(tmp_path / "a.mrcs", np.zeros(shape, np.float32))
        with pytest.raises(InputError, match=message):
            one_stack(file, 2)

    def test_mixed_boxes(self, tmp_path: Path) -> None:
        headers = [read_header(stack_file(tmp_path / f"{d}.mrcs", np.zeros((1, d, d), np.float32))) for d in (16, 20)]
        with pytest.raises(InputError, match=r"different boxes: .*16\.mrcs 16 px, .*20\.mrcs 20 px"):
            MrcStack(headers, np.array([0, 1]), np.array([0, 0]), np.ones(2))

    def test_stack_with_fewer_images_than_asked_for(self, tmp_path: Path) -> None:
        file = stack_file(tmp_path / "a.mrcs", np.zeros((3, 16, 16), np.float32))
        with pytest.raises(InputError, match=r"a\.mrcs holds 3 images; the particle file asks for image 4"):
            one_stack(file, 4)

    def test_axis_order_of_a_stack(self, tmp_path: Path) -> None:
        file = stack_file(tmp_path / "a.mrcs", np.zeros((3, 16, 16), np.float32))
        with mrcfile.open(file, "r+") as mrc:
            mrc.header.mapc, mrc.header.mapr = 2, 1
        with pytest.raises(InputError, match=r"axis order \(2, 1, 3\)"):
            one_stack(file, 3)

    def test_no_particles(self) -> None:
        with pytest.raises(InputError, match="No particle is left"):
            MrcStack([], np.zeros(0, int), np.zeros(0, int), np.ones(0))

    def test_unused_stacks_need_not_exist(self, project: Project) -> None:
        (project.folder / project.table.stacks[0]).unlink()
        kept = project.table.select(np.array([8, 5]))
        stack = open_stack(kept, [project.folder])
        np.testing.assert_array_equal(stack.read(np.array([0, 1])), project.images[[8, 5]])


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
