"""Files that real programs wrote and nobody can use, and others made to deceive: one sentence, or read right."""

import io
import json
import os
import pickle
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gemmap.io.star import read_star

pytestmark = pytest.mark.usefixtures("quick_fit")

#: What ``reconstruct`` says of each, and the rows and columns of the tables that are in it.
REAL = {
    "M_particles_sub10.star": ("9 of 9 image stacks are missing", {"": (10, 20)}),
    "empty_loop.star": ("names no images", {"": (0, 1)}),
    "loop_double_quote.star": ("names no images", {"": (2, 8)}),
    "loop_single_quote.star": ("names no images", {"": (2, 8)}),
    "one_loop.star": ("", {"particles": (16, 12)}),  # subtomograms
    "postprocess.star": ("names no images", {"general": (1, 6), "fsc": (49, 7), "guinier": (49, 3)}),
    "rln3.1_data_style.star": (
        "has 2 tables with images (block_2, block_3)",
        {"block_1": (1, 7), "block_2": (2, 5), "block_3": (2, 5)},
    ),
    "run_it025_optimiser_3D.star": ("names no images", {"optimiser_general": (1, 84)}),
    "run_it025_sampling_3D.star": (
        "names no images", {"sampling_general": (1, 15), "sampling_directions": (192, 2)},
    ),
    "single_line_middle_of_multiblock.star": (
        "has 2 tables with images (block_1, block_2)", {"block_1": (1, 5), "block_2": (1, 5)},
    ),
    "truncated_stack.mrcs": ("have no poses", {}),
    "two_single_line_loop_blocks.star": ("names no images", {"block_0": (1, 3), "block_1": (1, 3)}),
}  # fmt: skip


def refused(gemmap: Callable, tmp_path: Path, particles: Path, *options: object, message: str = "") -> str:
    """The one sentence; nothing is written."""
    outcome = gemmap("reconstruct", particles, "-o", tmp_path / "run", *options)
    assert outcome.code == 2
    assert outcome.err.startswith("Error: ")
    assert outcome.err.count("\n") == 1
    assert outcome.err.endswith(".\n")
    assert message in outcome.err
    assert not (tmp_path / "run").exists()
    return outcome.err


def test_every_real_one_is_listed(shared_data: Path) -> None:
    assert {path.name for path in (shared_data / "malformed").iterdir()} == set(REAL)


@pytest.mark.parametrize("name", list(REAL))
def test_real_ones(gemmap: Callable, shared_data: Path, tmp_path: Path, name: str) -> None:
    path = shared_data / "malformed" / name
    message, shapes = REAL[name]
    refused(gemmap, tmp_path, path, message=message)
    if shapes:
        tables = read_star(path)
        assert {block: (len(table), len(table.labels)) for block, table in tables.items()} == shapes
        assert all(len(table.strings(label)) == len(table) for table in tables.values() for label in table.labels)


def test_quotes_are_taken_off(shared_data: Path) -> None:
    for kind in ("single", "double"):
        table = read_star(shared_data / "malformed" / f"loop_{kind}_quote.star")[""]
        assert table.strings("quote_string") == ["quote string"] * 2
        assert table.strings("whitespace_string") == [" ", " "]
        assert table.strings("empty_string_and_normal_string") == ["", "test"]


def test_the_truncated_stack(gemmap: Callable, shared_data: Path, particles: Path, tmp_path: Path) -> None:
    (particles.parent / "particles.mrcs").unlink()
    (particles.parent / "particles.mrcs").symlink_to(shared_data / "malformed" / "truncated_stack.mrcs")
    refused(gemmap, tmp_path, particles, message="is truncated: it holds 66560 bytes; expected")


def folder(path: Path) -> None:
    path.mkdir()


def loop(path: Path) -> None:
    path.symlink_to(path.with_name("loop"))
    path.with_name("loop").symlink_to(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (folder, "is a folder; expected a file"),
        (os.mkfifo, "is a named pipe; expected a file"),
        (device, "is a device; expected a file"),
        (loop, "cannot be read: Too many levels of symbolic links"),
        (Path.touch, ""),
    ],
)
@pytest.mark.parametrize("place", ["particles.star", "p.cs", "p.pkl", "c.npz", "i.pkl", "p.txt", "m.mrc", "c.yaml"])
def test_no_ordinary_file(
    gemmap: Callable, particles: Path, tmp_path: Path, make: Callable[[Path], None], message: str, place: str
) -> None:
    path = tmp_path / place
    path.unlink(missing_ok=True)
    make(path)
    good = ("--poses", path, "--no-ctf")
    options = {"p.pkl": good, "c.npz": good, "i.pkl": ("--ind", path), "m.mrc": ("--mask", path),
               "c.yaml": ("--config", path), "p.txt": good}.get(place, ())  # fmt: skip
    started = time.monotonic()
    refused(gemmap, tmp_path, particles if options and place != "p.txt" else path, *options, message=message)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("make", [folder, os.mkfifo, device, loop])
def test_no_ordinary_stack(gemmap: Callable, particles: Path, tmp_path: Path, make: Callable[[Path], None]) -> None:
    (tmp_path / "particles.mrcs").unlink()
    make(tmp_path / "particles.mrcs")
    refused(gemmap, tmp_path, particles, message="1 of 1 image stacks are missing (particles.mrcs)")


def test_a_stack_that_may_not_be_read(gemmap: Callable, particles: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("the superuser may read everything")
    (tmp_path / "particles.mrcs").chmod(0)
    refused(gemmap, tmp_path, particles, message="particles.mrcs cannot be read: Permission denied")


def header(**values: int) -> bytes:
    """An MRC header of 200 float32 images of 40 px, with lies in it."""
    numbers = {"nx": 40, "ny": 40, "nz": 200, "mode": 2, **values}
    words = [numbers[name] for name in ("nx", "ny", "nz", "mode")] + [0, 0, 0, 40, 40, 1]
    raw = bytearray(struct.pack("<10i", *words).ljust(1024, b"\0"))
    raw[92:96] = struct.pack("<i", values.get("nsymbt", 0))
    raw[208:216] = b"MAP \x44\x44\0\0"
    return bytes(raw)


@pytest.mark.parametrize(
    ("lies", "message"),
    [
        ({"nz": 2**23}, "is truncated: it holds"),
        ({"nx": 2**24, "ny": 2**24, "nz": 2**24}, "is truncated: it holds"),
        ({"nx": 2**31 - 1}, "impossible sizes"),
        ({"nx": -40, "ny": -40}, "impossible sizes"),
        ({"nz": 0}, "impossible sizes"),
        ({"nsymbt": 2**31 - 1}, "is truncated: it holds"),
        ({"nsymbt": -1024}, "impossible sizes"),
        ({"mode": 4}, "MRC mode 4 (complex 32-bit floats)"),
        ({"mode": 101}, "MRC mode 101 (4-bit integers)"),
        ({"mode": 7}, "unknown mode"),
        ({"mode": -1}, "unknown mode"),
        ({"nz": 10}, "10 images"),
    ],
)
def test_headers_that_lie(
    gemmap: Callable, particles: Path, tmp_path: Path, lies: dict[str, int], message: str
) -> None:
    stack = tmp_path / "particles.mrcs"
    stack.write_bytes(header(**lies) + stack.read_bytes()[1024:])
    refused(gemmap, tmp_path, particles, message=message)


def test_an_honest_header_of_this_kind_is_read(gemmap: Callable, particles: Path, tmp_path: Path) -> None:
    stack = tmp_path / "particles.mrcs"
    stack.write_bytes(header() + stack.read_bytes()[1024:])
    assert gemmap("reconstruct", particles, "-o", tmp_path / "run").code == 0
    big = np.fromfile(stack, "<f4", offset=1024).astype(">f4").tobytes()
    swapped = np.frombuffer(header()[:208], "<i4").astype(">i4").tobytes() + b"MAP \x11\x11\0\0" + bytes(808)
    stack.write_bytes(swapped + big)
    assert gemmap("reconstruct", particles, "-o", tmp_path / "again").code == 0


def rows_of(particles: Path) -> tuple[list[str], list[str]]:
    lines = particles.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if "@" in line)
    return lines[:first], lines[first:]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("000003@", "'000003@", "unterminated"),
        ("000003@", "00\x0003@", "holds a null byte"),
        ("000003@", "99999999999999999999999@", "expected number@stack"),
        ("000003@", "1" * 5000 + "@", "expected number@stack"),
        ("000003@", "0@", "expected number@stack"),
        ("000003@", "000003", "expected number@stack"),
        ("000003@particles.mrcs", "000003@" + "a" * 5000, "1 of 2 image stacks are missing"),
        ("000003@particles.mrcs", "000003@particles.mrcs 7", "values"),
        ("_rlnAngleTilt", "_rlnAngleRot", "duplicate tag"),
    ],
)
def test_star_files_made_to_deceive(
    gemmap: Callable, particles: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    particles.write_text(particles.read_text().replace(old, new, 1))
    assert len(refused(gemmap, tmp_path, particles, message=message)) < 6000


@pytest.mark.parametrize("value", ["nan", "inf", "1e400", "0x10", "?", ".", "1,5"])
def test_values_that_are_no_numbers(gemmap: Callable, particles: Path, tmp_path: Path, value: str) -> None:
    head, rows = rows_of(particles)
    words = rows[4].split()
    place = next(i for i, word in enumerate(words) if "@" not in word and "." in word)
    words[place] = value
    particles.write_text("\n".join([*head, *rows[:4], " ".join(words), *rows[5:]]) + "\n")
    refused(gemmap, tmp_path, particles, message="number")


@pytest.mark.parametrize(
    "text",
    [
        "data_\nloop_\n" + "".join(f"_rln{i}\n" for i in range(100_000)) + "1 " * 100_000,
        "data_\nloop_\n_rlnImageName\n" + "1 " * 10**6,
        "".join(f"data_{i}\n_rlnImageName 1@a\n" for i in range(200_000)),
        "data_\n" + "loop_\n" * 10**5,
        "data_\n;" + "x" * 10**6,
    ],
)
def test_star_files_of_absurd_size_are_refused_at_once(
    gemmap: Callable, particles: Path, tmp_path: Path, text: str
) -> None:
    particles.write_text(text)
    started = time.monotonic()
    assert len(refused(gemmap, tmp_path, particles)) < 500
    assert time.monotonic() - started < 5


def npy(dtype: object, shape: tuple[int, ...], content: bytes) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy("|O", (1,), pickle.dumps(np.array([1], object))), "holds Python objects"),
        (npy([("uid", "<u8"), ("blob/path", "|O")], (1,), pickle.dumps("x")), "holds Python objects"),
        (npy([("uid", "<u8")], (10**15,), b"x"), "its header promises 8000000000000000"),
        (npy([("uid", "<u8")], (-5,), b"x" * 80), "in the shape (-5,)"),
        (npy([("uid", "|S0")], (10**15,), b""), "in the shape (1000000000000000,)"),
        (npy([("uid", "|S2000000000")], (1,), b""), "its header promises 2000000000"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 70000, "header"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", ""),
        (b"\x93NUMPY\x03\x00\xff\xff\xff\xff{}", "its header takes 4294967295 bytes"),
        (b"\x93NUMPY\x09\x00", ""),
        (b"\x93NUMPY", ""),
        (npy([("uid", "<u8")], (2,), bytes(16)), "has no poses"),
        (npy([("alignments3D/pose", "<f4", (3,)), ("blob/psize_A", "|S4")], (2,), bytes(32)), "expected numbers"),
    ],
)
def test_cs_files_made_to_deceive(gemmap: Callable, tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "p.cs").write_bytes(content)
    assert len(refused(gemmap, tmp_path, tmp_path / "p.cs", message=message)) < 500


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rot.npy", content)
    return buffer.getvalue()


class Bomb:
    """Asks for memory when unpickled."""

    def __init__(self, call: object, *arguments: object) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[object, ...]:
        return self.call, self.arguments


def nested(depth: int) -> bytes:
    return pickle.PROTO + b"\x04" + b"]" * depth + b"a" * (depth - 1) + b"."


def doubled(depth: int) -> list:
    content: list = [0]
    for _ in range(depth):
        content = [content, content]
    return content


RECONSTRUCT = np.zeros(0).__reduce__()[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.pkl", pickle.dumps(Bomb(os.system, "true")), "asks for posix.system"),
        ("p.pkl", pickle.dumps(Bomb(eval, "1")), "asks for builtins.eval"),
        ("p.pkl", pickle.dumps(Bomb(np.fromfile, "x")), "asks for numpy"),
        ("p.pkl", pickle.dumps(Bomb(np.ndarray, (2**40,))), "makes an array without values"),
        ("p.pkl", pickle.dumps(Bomb(RECONSTRUCT, np.ndarray, (2**40,), b"d")), "not numbers"),
        ("p.pkl", pickle.dumps(Bomb(np.dtype, "O")), "values of type 'O'"),
        ("p.pkl", pickle.dumps(Bomb(np.dtype, "V1000000000")), "values of type 'V1000000000'"),
        ("p.pkl", pickle.PROTO + b"\x04\x8e" + struct.pack("<Q", 2**40) + b"x.", "not a readable pickle"),
        ("p.pkl", nested(10**5), "not numbers"),
        ("p.pkl", pickle.PROTO + b"\x04Nr\xff\xff\xff\x7f.", "says to have 2147483647 parts"),
        ("p.pkl", pickle.dumps(doubled(60)), "not numbers"),
        ("p.pkl", b"", "not a readable pickle"),
        ("p.npz", zipped(npy("<f8", (10**12,), b"")), "its header promises 8000000000000"),
        ("p.npz", zipped(npy("|O", (1,), b"x")), "holds Python objects"),
        ("p.npz", zipped(npy("<f8", (4,), b"x" * 8)), "its header promises 32"),
        ("p.npz", b"PK\x03\x04" + bytes(100), "not a readable .npz file"),
    ],
)  # fmt: skip
def test_pickles_and_archives_made_to_deceive(
    gemmap: Callable, particles: Path, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    error = refused(gemmap, tmp_path, particles, "--poses", tmp_path / name, "--no-ctf", message=message)
    assert len(error) < 500


def test_an_archive_that_would_grow_a_thousand_times(gemmap: Callable, particles: Path, tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(tmp_path / "p.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("rot.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(300):
            member.write(bytes(2**20))
    message = "rot.npy would take 314572800 bytes of memory, from"
    refused(gemmap, tmp_path, particles, "--poses", tmp_path / "p.npz", "--no-ctf", message=message)


def test_names_that_are_not_utf8(gemmap: Callable, particles: Path, tmp_path: Path) -> None:
    """Files as old systems named them, and a STAR file in their encoding."""
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        place.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    (tmp_path / "particles.mrcs").rename(place / os.fsdecode(b"s\xfe.mrcs"))
    star = place / "particles.star"
    star.write_bytes(particles.read_bytes().replace(b"particles.mrcs", b"s\xfe.mrcs"))
    outcome = gemmap("reconstruct", star, "-o", place / "run", "--quiet")
    assert outcome.code == 0, outcome.err
    assert json.loads((place / "run" / "job.json").read_text())["config"]["particles"] == str(star)
    assert gemmap("reconstruct", place / "run" / "particles.star", "-o", place / "again", "--quiet").code == 0
    assert gemmap("reconstruct", "--config", place / "run" / "config.yaml", "-o", place / "b", "--quiet").code == 0
