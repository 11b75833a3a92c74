"""HTML from values: text is escaped wherever it comes from, and data can end no script."""

import base64
import gzip
import html
import json
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from gemmap._types import Float

_VOID = frozenset({"br", "col", "hr", "img", "input", "meta"})
#: What could end a script element, begin a comment in it, or end a line of it.
_IN_SCRIPT = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


class Html(str):
    """Markup that is safe as it stands; every other string is text."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """Return an element.

    Parameters
    ----------
    name
        Such as ``p``.
    children
        `Html` as it is, anything else as escaped text; None is nothing.
    attributes
        Values are escaped; True gives an attribute without a value, None and False none. ``class_`` is ``class``, and
        ``data_x`` is ``data-x``.
    """
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        label = key.rstrip("_").replace("_", "-")
        words.append(label if value is True else f'{label}="{html.escape(printable(value))}"')
    opening = f"<{' '.join(words)}>"
    return Html(opening) if name in _VOID else Html(f"{opening}{join(children)}</{name}>")


def join(children: Iterable[object], between: str = "") -> Html:
    """Return children, as those of `tag`, one after another."""
    return Html(
        between.join(c if isinstance(c, Html) else html.escape(printable(c)) for c in children if c is not None)
    )


def printable(value: object) -> str:
    """Return text that UTF-8 can hold and a browser shows: names of files may hold any bytes."""
    text = str(value).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c in "\n\t" or c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def table(rows: Sequence[Sequence[object]], head: Sequence[object] = (), class_: str | None = None) -> Html:
    """Return a table whose first column names the rows."""
    body = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows]
    first = tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in head))) if head else None
    return tag("div", tag("table", first, tag("tbody", *body), class_=class_), class_="scroll", tabindex=0)


def json_script(identity: str, value: Any) -> Html:
    """Return data for the page's scripts.

    Raises
    ------
    ValueError
        If a number is not finite: JSON has no word for it.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text = text.encode("utf-8", "backslashreplace").decode().translate(_IN_SCRIPT)
    return Html(f'<script type="application/json" id="{identity}">{text}</script>')


def numbers(values: Float[np.ndarray, " n"] | Sequence[float], digits: int = 5) -> list[float | None]:
    """Return numbers with so many significant digits, None for those that are not finite."""
    return [float(f"{v:.{digits}g}") if np.isfinite(v) else None for v in np.asarray(values, np.float64).tolist()]


def packed(array: np.ndarray) -> Mapping[str, Any]:
    """Return an array as its shape, type and compressed little-endian bytes in base64; ``data.js`` unpacks it."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    data = gzip.compress(little.tobytes(), 9, mtime=0)
    return {"shape": list(array.shape), "dtype": array.dtype.name, "gzip": base64.b64encode(data).decode()}


def image_source(pixels: np.ndarray, palette: np.ndarray | None = None) -> str:
    """Return the address of a PNG image that holds itself.

    Parameters
    ----------
    pixels
        (h, w) of uint8, the first row on top.
    palette
        (k, 3) or (k, 4) of uint8, red, green, blue and opacity; None for grey.
    """
    height, width = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.astype(np.uint8)], axis=1)
    kind = 0 if palette is None else 3
    chunks = [_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))]
    if palette is not None:
        chunks.append(_chunk(b"PLTE", palette[:, :3].astype(np.uint8).tobytes()))
        if palette.shape[1] == 4:
            chunks.append(_chunk(b"tRNS", palette[:, 3].astype(np.uint8).tobytes()))
    chunks += [_chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)), _chunk(b"IEND", b"")]
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)).decode()


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
