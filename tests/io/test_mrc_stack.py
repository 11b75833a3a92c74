"""Stacks against mrcfile, which our code does not use for reading pixels."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from io_project import BOX, PIXEL_A, Project

from gemmap.errors import FormatError, InputError
from gemmap.io.mrc import open_stack, stack_problems, write_stack
from gemmap.io.mrc_header import read_header
from gemmap.io.mrc_stack import MrcStack


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

    def test_boxes_may_differ_from_stack_to_stack(self, tmp_path: Path) -> None:
        stack = mixed(tmp_path)
        assert stack.boxes_px.tolist() == [16, 21, 16, 21]
        for rows, box, value in ((np.array([2, 0]), 16, [2, 0]), (np.array([1, 3]), 21, [1, 3])):
            images = stack.read(rows)
            assert images.shape == (2, box, box)
            assert images[:, 0, 0].tolist() == value

    @pytest.mark.parametrize("dtype", [np.float32, np.float16])
    def test_images_of_several_pieces(self, tmp_path: Path, dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gemmap.io.mrc_stack._PIECE_BYTES", 1500)
        pixels = np.random.default_rng(1).integers(0, 99, (9, 16, 16)).astype(dtype)
        stack = one_stack(stack_file(tmp_path / "a.mrcs", pixels), 9)
        for rows in (np.arange(9), np.array([8, 2, 3, 4, 5, 0, 5])):
            np.testing.assert_array_equal(stack.read(rows), pixels[rows].astype(np.float32))

    def test_a_stack_that_shrinks_or_goes_away_is_named(self, tmp_path: Path) -> None:
        stack = mixed(tmp_path)
        stack.read(np.array([0]))
        os.truncate(tmp_path / "16.mrcs", 1100)
        (tmp_path / "21.mrcs").unlink()
        with pytest.raises(InputError, match=r"16\.mrcs became shorter while it was read; put the whole file back"):
            stack.read(np.array([0]))
        with pytest.raises(InputError, match=r"21\.mrcs cannot be read: No such file"):
            stack.read(np.array([1]))

    def test_no_file_stays_open(self, tmp_path: Path) -> None:
        before = os.listdir("/proc/self/fd")
        mixed(tmp_path).read(np.array([0]))
        assert len(os.listdir("/proc/self/fd")) == len(before)

    def test_no_complaint_at_the_end_of_the_interpreter(self, tmp_path: Path) -> None:
        """A stack that is kept until the names of its own module are gone."""
        write_stack(tmp_path / "a.mrcs", np.zeros((1, 16, 16), np.float32), 1.0)
        script = f"""
import ctypes, pathlib, numpy as np, gemmap.io.mrc_stack as module
from gemmap.io.mrc_header import read_header
header = read_header(pathlib.Path({str(tmp_path / "a.mrcs")!r}))
module.kept = module.MrcStack([header], np.zeros(1, int), np.arange(1), np.ones(1))
module.kept.read(np.arange(1))
ctypes.pythonapi.Py_IncRef(ctypes.py_object(module))
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def mixed(folder: Path) -> MrcStack:
    """Images 0 and 2 of 16 px, 1 and 3 of 21 px; each holds its number."""
    files = [
        stack_file(folder / f"{box}.mrcs", np.stack([np.full((box, box), value, np.float32) for value in values]))
        for box, values in ((16, (0, 2)), (21, (1, 3)))
    ]
    headers = [read_header(file) for file in files]
    return MrcStack(headers, np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]), np.ones(4))


#: Argument: folder with n stacks of one image each.
_UNDER_A_LIMIT = """
import os, resource, sys
from pathlib import Path
import numpy as np
from gemmap.io.mrc_header import read_header
from gemmap.io.mrc_stack import MrcStack
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
folder, n = Path(sys.argv[1]), int(sys.argv[2])
stack = MrcStack([read_header(folder / f"{i}.mrcs") for i in range(n)], np.arange(n), np.zeros(n, int), np.ones(n))
for order in (np.arange(n), np.random.default_rng(0).permutation(n)):
    for start in range(0, n, 100):
        rows = order[start : start + 100]
        assert (stack.read(rows)[:, 3, 3] == rows).all()
assert len(os.listdir("/proc/self/fd")) < 100
"""


def test_thousands_of_stacks_under_a_limit_of_256_open_files(tmp_path: Path) -> None:
    write_stack(tmp_path / "0.mrcs", np.zeros((1, 16, 16), np.float32), 1.0)
    header = (tmp_path / "0.mrcs").read_bytes()[:1024]
    n = 2000
    for i in range(n):
        (tmp_path / f"{i}.mrcs").write_bytes(header + np.full((16, 16), i, "<f4").tobytes())
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _UNDER_A_LIMIT, str(tmp_path), str(n)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - started < 30


class TestProblems:
    """Every stack that cannot be used is found at once."""

    @pytest.fixture
    def broken(self, project: Project) -> Project:
        first, second = (project.folder / name for name in project.table.stacks[:2])
        first.unlink()
        os.truncate(second, second.stat().st_size - 100)
        return project

    def test_all_are_listed(self, broken: Project) -> None:
        problems = stack_problems(broken.table, [broken.folder])
        assert [Path(problem.path).name for problem in problems] == [
            Path(name).name for name in broken.table.stacks[:2]
        ]
        assert problems[0].reason == "is missing"
        assert problems[1].reason.startswith("is truncated: it holds")
        with pytest.raises(InputError, match=r"2 of \d image stacks cannot be used: .* is missing; .* is truncated"):
            open_stack(broken.table, [broken.folder])

    def test_none(self, project: Project) -> None:
        assert stack_problems(project.table, [project.folder]) == []

    def test_one_is_a_sentence_with_advice(self, broken: Project) -> None:
        kept = broken.table.select(np.flatnonzero(broken.table.stack_of == 1))
        with pytest.raises(FormatError, match=r"is truncated: .* copy or write it again\.$"):
            open_stack(kept, [broken.folder])

    def test_many_short_stacks_are_counted_and_three_are_named(self, tmp_path: Path) -> None:
        headers = [read_header(stack_file(tmp_path / f"{i}.mrcs", np.zeros((1, 16, 16), "f4"))) for i in range(6)]
        with pytest.raises(InputError) as caught:
            MrcStack(headers, np.arange(6), np.array([0, 1, 2, 3, 4, 5]), np.ones(6))
        text = str(caught.value)
        assert text.startswith("5 of 6 image stacks cannot be used: ")
        assert text.count("holds 1 images; the particle file asks for image") == 3
        assert text.endswith("and 2 more, which gemmap check lists.")


class TestRefusals:
    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            ((2, 16, 18), "images of 18 x 16 px; expected square"),
            ((2, 15, 15), "box of 15 px; expected at least 16"),
        ],
    )
    def test_boxes(self, tmp_path: Path, shape: tuple[int, ...], message: str) -> None:
        file = stack_file(tmp_path / "a.mrcs", np.zeros(shape, np.float32))
        with pytest.raises(InputError, match=message):
            one_stack(file, 2)

    def test_images_of_different_boxes_cannot_be_read_together(self, tmp_path: Path) -> None:
        stack = mixed(tmp_path)
        with pytest.raises(InputError, match=r"different boxes: .*16\.mrcs 16 px, .*21\.mrcs 21 px"):
            stack.read(np.array([0, 1]))
        with pytest.raises(InputError, match="different boxes"):
            assert stack.box_px

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
