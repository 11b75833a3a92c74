"""Random changes to a file that readers stumble over: numbers at the edge, words in the wrong place, missing parts."""

import random
import struct

_WORDS = [
    b"nan", b"-inf", b"1e400", b"-1", b"0", b"99999999999999999999", b"'", b'"', b";", b"loop_", b"data_", b"_rln",
    b"#", b"1e308", b"0@s.mrcs", b"1@", b"@", b"\0", b"\xff\xfe", b"[1,x]", b"[", b"../s.mrcs", b"/dev/zero", b"?",
    b"2", b"0.5", b"True", b"s.mrcs", b"data_optics", b"_rlnImageSize", b"_rlnOpticsGroup", b"\xc3\xa9", b"save_x",
]  # fmt: skip
_NUMBERS = [0, 1, -1, 2, 255, 2**15, 2**16, 2**24, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, 2**64 - 1]


def mutate(data: bytes, rng: random.Random, other: bytes = b"") -> bytes:
    """Change a file in one to six ways."""
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        data = rng.choice(_WAYS)(data, rng, other)
    return data[:200_000]


def _place(data: bytes, rng: random.Random) -> int:
    # Headers are at the front.
    return rng.randrange(min(len(data), rng.choice((64, 1024, 10**9))) or 1)


def _flip(data: bytes, rng: random.Random, _other: bytes) -> bytes:
    place = _place(data, rng)
    return data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]


def _number(data: bytes, rng: random.Random, _other: bytes) -> bytes:
    n_bytes, order = rng.choice((1, 2, 4, 8)), rng.choice(("little", "big"))
    value = rng.choice(_NUMBERS) % 2 ** (8 * n_bytes)
    place = _place(data, rng) // n_bytes * n_bytes
    return data[:place] + value.to_bytes(n_bytes, order) + data[place + n_bytes :]


def _float(data: bytes, rng: random.Random, _other: bytes) -> bytes:
    place = _place(data, rng) // 4 * 4
    value = rng.choice((float("nan"), float("inf"), 1e38, -1.0, 0.0, 1e-40))
    return data[:place] + struct.pack("<f", value) + data[place + 4 :]


def _cut(data: bytes, rng: random.Random, _other: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _remove(data: bytes, rng: random.Random, _other: bytes) -> bytes:
    place = _place(data, rng)
    return data[:place] + data[place + rng.randrange(1, 40) :]


def _insert(data: bytes, rng: random.Random, _other: bytes) -> bytes:
    place = _place(data, rng)
    return data[:place] + rng.choice(_WORDS) * rng.choice((1, 1, 1, 50)) + data[place:]


def _word(data: bytes, rng: random.Random, _other: bytes) -> bytes:
    words = data.split(b" ")
    words[rng.randrange(len(words))] = rng.choice(_WORDS)
    return b" ".join(words)


def _line(data: bytes, rng: random.Random, _other: bytes) -> bytes:
    lines = data.split(b"\n")
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(3)
    if kind == 0:
        del lines[i]
    elif kind == 1:
        lines.insert(i, lines[j])
    else:
        lines[i], lines[j] = lines[j], lines[i]
    return b"\n".join(lines)


def _repeat(data: bytes, rng: random.Random, _other: bytes) -> bytes:
    place = _place(data, rng)
    return data[:place] + data[place : place + rng.randrange(1, 100)] * rng.choice((2, 10, 500)) + data[place:]


def _splice(data: bytes, rng: random.Random, other: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


_WAYS = (_flip, _number, _number, _float, _cut, _remove, _insert, _word, _word, _line, _repeat, _splice)
