"""STAR files as tables of columns; what the columns mean is known in ``io.relion`` only."""

import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from gemmap._types import Float, Int
from gemmap.errors import FormatError, InputError, reason_of
from gemmap.io.atomic import atomic_path
from gemmap.io.opening import is_file, read_bytes

#: One column to write: text, or numbers.
Column = Sequence[str] | np.ndarray
#: No program writes more; the time to parse them grows with the square of their number.
_MOST_BLOCKS, _MOST_COLUMNS = 10_000, 1_000
#: Characters of a wrong value in a message.
_SHOWN = 80
#: What ``backslashreplace`` writes for one character.
_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")


class StarTable:
    """One data block: columns of equal length, converted when asked for.

    A block of label-value pairs (as some programs write a table of one row) is a table with one row.
    """

    def __init__(self, name: str, columns: Mapping[str, Any], source: Path, owner: object, escaped: bool) -> None:
        self.name = name
        self.source = source
        self._columns = columns
        self._escaped = escaped
        self._owner = owner  # gemmi's columns are views of its document, which must live as long as they do

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def __contains__(self, label: str) -> bool:
        return label in self._columns

    @property
    def labels(self) -> tuple[str, ...]:
        """Column labels without the leading underscore, in file order."""
        return tuple(self._columns)

    def strings(self, label: str) -> list[str]:
        """Return a column as text, without quotes."""
        from gemmi import cif

        values = [cif.as_string(v) if v[:1] in ("'", '"', ";") else v for v in self._columns[label]]
        return [_ESCAPE.sub(_unescape, v) for v in values] if self._escaped else values

    def floats(self, label: str) -> Float[np.ndarray, " n"]:
        """Return a column as float64.

        Raises
        ------
        FormatError
            Naming the first row that does not hold a number.
        """
        values = self.strings(label)
        try:
            return np.array(values, dtype=np.float64)
        except ValueError:
            row = next(i for i, value in enumerate(values) if not _is_number(value))
            raise FormatError(
                f"{self.source}: {label} of row {row + 1} is {values[row][:_SHOWN]!r}; expected a number."
            ) from None

    def ints(self, label: str) -> Int[np.ndarray, " n"]:
        """Return a column of whole numbers as int64 (``2`` and ``2.000`` are both taken).

        Raises
        ------
        FormatError
            Naming the first row that does not hold a whole number.
        """
        values = self.floats(label)
        with np.errstate(invalid="ignore"):
            bad = np.flatnonzero(~(values == np.rint(values)) | (np.abs(values) > 2**53))
        if len(bad):
            raise FormatError(
                f"{self.source}: {label} of row {bad[0] + 1} is {values[bad[0]]:g}; expected a whole number."
            )
        return values.astype(np.int64)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_star(path: Path) -> dict[str, StarTable]:
    """Read every data block of a STAR file, keyed by its name (``data_particles`` is ``particles``).

    Raises
    ------
    InputError
        If the file cannot be read.
    FormatError
        If it is not a STAR file: the sentence says in which line.
    """
    path = Path(path)
    if not is_file(path):
        raise InputError(f"{path} is not a file; expected a STAR file.")
    data = read_bytes(path).removeprefix(BOM_UTF8)
    n_blocks = data.count(b"\ndata_") + data.count(b"\nsave_")
    if n_blocks > _MOST_BLOCKS:
        raise FormatError(f"{path} has {n_blocks} data blocks; expected a few tables, as RELION writes them.")
    try:
        document, escaped = _parse(data)
        data = b""  # the document has copies; of a million particles this is 0.4 GB
        tables: dict[str, StarTable] = {}
        for block in document:
            columns = _columns(block, path)
            name = block.name.strip()  # gemmi calls a block without a name " "
            if columns:
                tables[name] = StarTable(name, columns, path, document, escaped)
    except (ValueError, RuntimeError) as error:
        reason = _null_byte(data) or _odd_row(data) or reason_of(error, "data:")
        raise FormatError(
            f"{path} is not a valid STAR file ({reason}); write it again with the program it came from."
        ) from error
    if not tables:
        raise FormatError(
            f"{path} has no table; expected a STAR file with a line that starts with 'data_' and columns."
        )
    return tables


def _parse(data: bytes) -> tuple[Any, bool]:
    """Parse a file; True if characters beyond ASCII, which gemmi refuses and paths may have, stand there as escapes.

    Bytes that are not UTF-8 come back as they are when a name becomes a path.
    """
    from gemmi import cif

    if data.isascii():
        return cif.read_string(data), False
    return cif.read_string(data.decode("utf-8", "surrogateescape").encode("ascii", "backslashreplace")), True


def _null_byte(data: bytes) -> str:
    place = data.find(b"\0")
    line = data.count(b"\n", 0, max(place, 0)) + 1
    return f"line {line} holds a null byte" if place >= 0 else ""


def _odd_row(data: bytes) -> str:
    """Say which row of a loop first has more or fewer values than there are labels; empty if none has."""
    n_labels, in_labels = 0, False
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0].startswith("_"):
            n_labels += in_labels
        elif words[0] == "loop_":
            n_labels, in_labels = 0, True
        elif words[0].startswith("data_"):
            n_labels, in_labels = 0, False
        elif n_labels and not any(mark in line for mark in "'\"") and len(words) != n_labels:
            return f"line {number} has {len(words)} of {n_labels} values"
    return ""


def _unescape(match: re.Match[str]) -> str:
    return chr(int(match[0][2:], 16))


def _columns(block: Any, path: Path) -> dict[str, Any]:
    loops = [item.loop for item in block if item.loop is not None]
    if not loops:
        return {item.pair[0].removeprefix("_"): [item.pair[1]] for item in block if item.pair is not None}
    if len(loops[0].tags) > _MOST_COLUMNS:
        raise FormatError(f"{path} has a table of {len(loops[0].tags)} columns; expected {_MOST_COLUMNS} at most.")
    return {tag.removeprefix("_"): block.find_values(tag) for tag in loops[0].tags}


def write_star(
    path: Path, tables: Mapping[str, Mapping[str, Column]], comments: Iterable[str] = (), block_comment: str = ""
) -> None:
    """Write tables as ``data_<name>`` loops, numbers with 10 significant digits.

    ``comments`` stand at the head of the file, ``block_comment`` (RELION's version line) before each table.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with atomic_path(Path(path)) as temporary, _open_text(temporary) as handle:
        handle.writelines(f"# {line}\n" for line in comments)
        for name, columns in tables.items():
            handle.write(f"\n# {block_comment}\n" if block_comment else "")
            handle.write(f"\ndata_{name}\n\nloop_\n")
            handle.writelines(f"_{label} #{number}\n" for number, label in enumerate(columns, start=1))
            texts = [_as_text(column) for column in columns.values()]
            handle.writelines(" ".join(row) + "\n" for row in zip(*texts, strict=True))
            handle.write("\n")


def _open_text(path: Path) -> TextIO:
    # Names that are not UTF-8 are written as the bytes they were read from.
    return open(path, "w", encoding="utf-8", errors="surrogateescape")


def _as_text(column: Column) -> list[str]:
    if isinstance(column, np.ndarray) and np.issubdtype(column.dtype, np.number):
        form = "%d" if np.issubdtype(column.dtype, np.integer) else "%.10g"
        return [form % value for value in column.tolist()]
    return [_quoted(str(value)) for value in column]


def _quoted(text: str) -> str:
    bare = text and not any(c.isspace() for c in text) and text[0] not in "'\"#_;$[]"
    if bare and not text.lower().startswith(("data_", "loop_", "save_", "stop_", "global_")):
        return text
    return f'"{text}"' if '"' not in text else f"'{text}'"
