r"""CryoSPARC's compressed datasets (``CSDAT``, format 2 of its open tools): columns in LZ4 blocks.

Layout: the six bytes ``\x95CSDAT``; a little-endian uint32 and so many bytes of JSON (``length``, ``dtype`` as [name,
type, shape], ``compression``, ``compressed_fields``); for each field a uint32 and so many bytes; then all texts, each
ended by a zero byte, into which the fields of type object point.
"""

import json
import math
import struct
from typing import Any

import numpy as np

from gemmap.errors import reason_of

MAGIC = b"\x95CSDAT"
_KINDS = "fiu"
#: What bytes that are laid out in another way end in.
_DAMAGE = (
    *(ValueError, KeyError, TypeError, IndexError, AttributeError, struct.error),
    *(SyntaxError, OverflowError, MemoryError, RecursionError),
)


class DamagedDataset(Exception):  # noqa: N818 - the sentence is finished, with the file's name, by the caller
    """A compressed dataset that is not laid out as at the head of this module."""


def read_csdat(data: bytes) -> np.ndarray:
    """Return the records of a compressed dataset.

    Raises
    ------
    DamagedDataset
        If the bytes are not laid out as at the head of this module.
    """
    try:
        return _records(data)
    except _DAMAGE as error:
        raise DamagedDataset(f"it is damaged ({reason_of(error)})") from error


def _records(data: bytes) -> np.ndarray:
    size = struct.unpack_from("<I", data, len(MAGIC))[0]
    start = len(MAGIC) + 4
    header: dict[str, Any] = json.loads(data[start : start + size])
    position = start + size
    n = int(header["length"])
    compressed = set(header["compressed_fields"]) if header["compression"] else set()
    if header["compression"] not in (None, "lz4"):
        raise ValueError(f"unknown compression {header['compression']!r}")
    columns: dict[str, np.ndarray] = {}
    texts: list[str] = []
    for name, kind, *rest in header["dtype"] if n else ():
        dtype = np.dtype("<u8" if np.dtype(kind) == object else kind)
        if dtype.kind not in _KINDS:
            raise ValueError(f"field {name} of type {kind}")
        shape = (n, *(int(side) for side in (rest[0] if rest else ())))
        n_bytes = dtype.itemsize * math.prod(shape)
        (stored,) = struct.unpack_from("<I", data, position)
        block = data[position + 4 : position + 4 + stored]
        position += 4 + stored
        plain = decompress_lz4(block, n_bytes) if name in compressed else block
        if len(plain) != n_bytes:
            raise ValueError(f"field {name} has {len(plain)} of {n_bytes} bytes")
        columns[name] = np.frombuffer(plain, dtype).reshape(shape)
        if np.dtype(kind) == object:
            texts.append(name)
    heap = data[position:]
    for name in texts:
        columns[name] = _texts(columns[name], heap)
    records = np.zeros(n, [(name, values.dtype, values.shape[1:]) for name, values in columns.items()])
    for name, values in columns.items():
        records[name] = values
    return records


def _texts(offsets: np.ndarray, heap: bytes) -> np.ndarray:
    unique, of_row = np.unique(offsets, return_inverse=True)
    if len(unique) and int(unique[-1]) >= len(heap):
        raise ValueError("a text lies outside the file")
    return np.array([heap[int(start) : heap.index(b"\0", int(start))] for start in unique])[of_row.reshape(-1)]


def decompress_lz4(block: bytes, n_bytes: int) -> bytes:
    """Return the ``n_bytes`` bytes of an LZ4 block (the raw block format, without a frame).

    Raises
    ------
    ValueError, IndexError
        If the block is damaged or holds more.
    """
    out = bytearray()
    position = 0
    while position < len(block):
        token = block[position]
        position += 1
        n_literals, position = _length(block, position, token >> 4)
        out += block[position : position + n_literals]
        position += n_literals
        if len(out) > n_bytes:
            raise ValueError("an LZ4 block holds more than its field")
        if position >= len(block):
            break
        offset = block[position] | block[position + 1] << 8
        n_match, position = _length(block, position + 2, token & 15)
        n_match += 4
        if not 0 < offset <= len(out) or len(out) + n_match > n_bytes:
            raise ValueError("an LZ4 block points outside its field")
        # A match may overlap what it writes: the bytes since the offset repeat.
        pattern = bytes(out[-offset:])
        out += (pattern * (n_match // offset + 1))[:n_match]
    return bytes(out)


def _length(block: bytes, position: int, length: int) -> tuple[int, int]:
    if length == 15:
        more = 255
        while more == 255:
            more = block[position]
            position += 1
            length += more
    return length, position
