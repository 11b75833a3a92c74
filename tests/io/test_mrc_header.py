"""Headers packed by hand, field by field, as the MRC2014 paper lists them."""

import struct
from pathlib import Path

import numpy as np
import pytest

from gemmap.errors import FormatError, InputError
from gemmap.io.mrc_header import read_header


def packed_header(
    nx: int = 16,
    ny: int = 16,
    nz: int = 3,
    mode: int = 2,
    order: str = "<",
    cell: tuple[float, float, float] = (32.0, 32.0, 6.0),
    sampling: tuple[int, int, int] = (16, 16, 3),
    axes: tuple[int, int, int] = (1, 2, 3),
    nsymbt: int = 0,
    stamp: bytes | None = None,
    map_id: bytes = b"MAP ",
) -> bytes:
    if stamp is None:
        stamp = b"\x44\x44\x00\x00" if order == "<" else b"\x11\x11\x00\x00"
    head = struct.pack(f"{order}10i", nx, ny, nz, mode, 0, 0, 0, *sampling)
    head += struct.pack(f"{order}6f", *cell, 90, 90, 90) + struct.pack(f"{order}3i", *axes)
    head += struct.pack(f"{order}3f", 0, 0, 0) + struct.pack(f"{order}2i", 1, nsymbt)
    head += bytes(100) + struct.pack(f"{order}3f", 0, 0, 0) + map_id + stamp
    return head + bytes(1024 - len(head))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("mode", "code"), [(0, "i1"), (1, "i2"), (2, "f4"), (6, "u2"), (12, "f2")])
def test_pixels_of_every_mode_and_byte_order(tmp_path: Path, order: str, mode: int, code: str) -> None:
    pixels = np.arange(3 * 16 * 16).reshape(3, 16, 16).astype(order + code)
    file = tmp_path / "a.mrcs"
    file.write_bytes(packed_header(mode=mode, order=order, nsymbt=160) + b"x" * 160 + pixels.tobytes())
    header = read_header(file)
    assert header.pixel_size_a == (2.0, 2.0, 2.0)
    np.testing.assert_array_equal(header.map_pixels(), pixels)


@pytest.mark.parametrize("order", ["<", ">"])
def test_missing_stamps_are_tolerated(tmp_path: Path, order: str) -> None:
    file = tmp_path / "a.mrcs"
    file.write_bytes(packed_header(order=order, stamp=bytes(4), map_id=bytes(4)) + bytes(3 * 16 * 16 * 4))
    assert read_header(file).shape == (3, 16, 16)


def test_wrong_machine_stamp_is_seen_through(tmp_path: Path) -> None:
    file = tmp_path / "a.mrcs"
    file.write_bytes(packed_header(order="<", stamp=b"\x11\x11\x00\x00") + bytes(3 * 16 * 16 * 4))
    assert read_header(file).shape == (3, 16, 16)


@pytest.mark.parametrize(
    "broken",
    [{"cell": (0.0, 0.0, 0.0)}, {"sampling": (0, 0, 0)}, {"cell": (float("nan"),) * 3}, {"cell": (-5.0, -5.0, -5.0)}],
)
def test_pixel_size_that_is_none_reads_as_zero(tmp_path: Path, broken: dict[str, tuple[float, ...]]) -> None:
    file = tmp_path / "a.mrcs"
    file.write_bytes(packed_header(**broken) + bytes(3 * 16 * 16 * 4))  # type: ignore[arg-type]
    assert read_header(file).pixel_size_a == (0.0, 0.0, 0.0)


def test_truncated_file_says_got_and_expected(tmp_path: Path) -> None:
    file = tmp_path / "a.mrcs"
    file.write_bytes(packed_header() + bytes(100))
    with pytest.raises(FormatError, match=r"a\.mrcs is truncated: it holds 1124 bytes; expected 4096 by its header"):
        read_header(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds 0 bytes"),
        (b"hello", "holds 5 bytes"),
        (bytes(2048), "not an MRC file"),
        (packed_header(mode=4) + bytes(9999), r"mode 4 \(complex 32-bit floats\); expected one of \[0, 1, 2, 6, 12\]"),
        (packed_header(mode=101) + bytes(9999), "4-bit"),
        (packed_header(nz=-1) + bytes(9999), "not an MRC file"),
        (packed_header(axes=(1, 1, 3)) + bytes(9999), r"axes \(1, 1, 3\)"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "a.mrcs"
    file.write_bytes(content)
    with pytest.raises(FormatError, match=message):
        read_header(file)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_header(tmp_path / "a.mrcs")
