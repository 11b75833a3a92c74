"""Compressed cryoSPARC datasets: one written by cryosparc-tools 5.0.3, and LZ4 blocks by hand."""

import base64
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from gemmap.errors import FormatError
from gemmap.io.cs_fields import read_cs_fields
from gemmap.io.csdat import DamagedDataset, decompress_lz4, read_csdat

#: Forty rows of uid (100, 101, ...), blob/path (J1/s0.mrc, J1/s1.mrc, ...), blob/idx and x/pose (0, 1.5, -2), saved
#: by ``Dataset.save(file, format=CSDAT_FORMAT)``; deflated here to be short.
SAMPLE = zlib.decompress(
    base64.b64decode(
        "eNrt0TlOAlEcx/HBfd/3FZ9bQwSUwhgTNVjZWGhHiBFmgNGBGRlQVvfdysILeA0bDuAlvAE30B/MT4OlrYHkm897/1kegRfvzubG"
        "7pskSVmhKbFwIiJW7B6Xwy7kRNpQsPH5RFKVBSaryWXhd9h9IqDpAaexj3sxzW1XDFU5Zd3psYYpp6GbSnkU8gDfkt+PCyKoR424"
        "YpqqHsMRQsuULv5MFXkvpCqabJaO/31a5Sl8uT+/bpMkWbI+Cg3RMI1QlR7QQ6rRKI1RnRr0iMapSRM0SY/pCU3RNM3QLM3RPD2l"
        "Z/ScXtBLekWv6Q29pXf0nj7QR/pEvfgNi5+LNm5baXX/t/0rKj5/X6lBtagO1aMG1IiaUDNq4ZNtqB11oE7UhbpRD+pFfagfDaBB"
        "NISG0QgaRWNoHE2gSWRHU0igaTSDZtEcmkcfttL7bfjD3wtr2BesL19d/6v1lttpuhai8WB55S6vvgCai6VW"
    )
)


def test_file_of_the_open_tools(tmp_path: Path) -> None:
    (tmp_path / "a.cs").write_bytes(SAMPLE)
    fields = read_cs_fields(tmp_path / "a.cs")
    np.testing.assert_array_equal(fields.columns["uid"], np.arange(100, 140))
    assert fields.texts("blob/path") == [f"J1/s{i % 2}.mrc" for i in range(40)]
    np.testing.assert_array_equal(fields.columns["blob/idx"], np.arange(40))
    np.testing.assert_array_equal(fields.floats("x/pose"), np.tile([0, 1.5, -2], (40, 1)))


@pytest.mark.parametrize("keep", [6, 9, 12, 100, 300, 600, len(SAMPLE) - 3])
def test_cut_short(tmp_path: Path, keep: int) -> None:
    (tmp_path / "a.cs").write_bytes(SAMPLE[:keep])
    with pytest.raises(FormatError, match=r"compressed cryoSPARC file, but it is damaged .*; export it again") as e:
        read_cs_fields(tmp_path / "a.cs")
    assert "\n" not in str(e.value)


def test_damaged_anywhere_is_one_error() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(SAMPLE)
        data[rng.integers(6, len(data))] = rng.integers(256)
        try:
            read_csdat(bytes(data))
        except DamagedDataset:
            continue


def test_length_that_would_fill_the_memory() -> None:
    header = SAMPLE[10 : 10 + struct.unpack("<I", SAMPLE[6:10])[0]].replace(b'"length": 40', b'"length": 4000000000000')
    with pytest.raises(DamagedDataset):
        read_csdat(SAMPLE[:6] + struct.pack("<I", len(header)) + header + SAMPLE[10 + len(header) - 11 :])


@pytest.mark.parametrize(
    ("block", "n_bytes", "plain"),
    [
        (b"\x50hello", 5, b"hello"),
        # Two literals, then eight bytes copied from two back: the copy overlaps what it writes.
        (b"\x24ab\x02\x00\x10c", 11, b"ababababab" + b"c"),
        # Fifteen literals and more: the length goes on in the next bytes.
        (b"\xf0\x01" + b"x" * 16, 16, b"x" * 16),
        (b"\xf0\xff\x00" + b"y" * 270, 270, b"y" * 270),
        (b"", 0, b""),
    ],
)
def test_lz4_blocks_by_hand(block: bytes, n_bytes: int, plain: bytes) -> None:
    assert decompress_lz4(block, n_bytes) == plain


@pytest.mark.parametrize("block", [b"\x24ab\x03\x00", b"\x24ab\x00\x00", b"\x60hello!", b"\x24ab\x02"])
def test_lz4_blocks_that_point_outside(block: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        decompress_lz4(block, 5)
