"""Fields of cryoSPARC's ``.cs`` files: NumPy structured arrays, joined with passthrough files on ``uid``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gemmap._types import Float, Int, PerParticle
from gemmap.errors import FormatError
from gemmap.io.cs_group import read_group
from gemmap.io.csdat import MAGIC, DamagedDataset, read_csdat
from gemmap.io.npy import load_npy
from gemmap.io.opening import open_input, read_bytes


@dataclass(frozen=True, eq=False)
class CsFields:
    """Fields of one particle set, whichever file each came from."""

    source: Path
    columns: Mapping[str, np.ndarray]
    n: int
    from_passthrough: frozenset[str] = frozenset()

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def floats(self, name: str) -> Float[np.ndarray, "n ..."]:
        """Return a field as float64.

        Raises
        ------
        FormatError
            If it holds no numbers.
        """
        column = self.columns[name]
        if column.dtype.kind not in "biuf":
            raise FormatError(f"{self.source}: field {name} holds {column.dtype} values; expected numbers.")
        return np.asarray(column, dtype=np.float64)

    def ints(self, name: str) -> Int[np.ndarray, " n"]:
        """Return a field of whole numbers as int64.

        Raises
        ------
        FormatError
            If it is not one whole number for every particle.
        """
        values = self.columns[name]
        if values.ndim != 1 or values.dtype.kind not in "iu":
            raise FormatError(f"{self.source}: {name} is not a whole number for every particle.")
        return values.astype(np.int64)

    def floats_or(self, name: str, default: float) -> PerParticle:
        """Return a field as float64, or the default where no file has it."""
        return self.floats(name) if name in self else np.full(self.n, default)

    def texts(self, name: str) -> list[str]:
        """Return a field of bytes or str as str."""
        return [t.decode(errors="replace") if isinstance(t, bytes) else str(t) for t in self.columns[name].tolist()]


def read_cs_fields(path: Path, passthrough: Sequence[Path] = ()) -> CsFields:
    """Read a ``.cs`` file, or the files of a ``.csg`` group, and join passthrough files to it on ``uid``.

    The main file's fields win.

    Raises
    ------
    FormatError
        If a file is no ``.cs`` file, or lacks particles of the main one.
    """
    path = Path(path)
    if path.suffix.lower() == ".csg":
        return _read_group_fields(path, passthrough)
    main = _load(path)
    columns = {name: main[name] for name in main.dtype.names or ()}
    return _joined(path, columns, len(main), [(Path(other), _load(Path(other))) for other in passthrough])


def _read_group_fields(path: Path, passthrough: Sequence[Path]) -> CsFields:
    group = read_group(path)
    parts = {file: _load(file) for file in group.slots}
    kept = {
        file: [n for n in records.dtype.names or () if n == "uid" or n.split("/")[0] in group.slots[file]]
        for file, records in parts.items()
    }
    main = parts.pop(group.main)
    columns = {name: main[name] for name in kept[group.main]}
    # What the group names belongs to it, in whichever file it stands.
    whole = _joined(path, columns, len(main), [(file, records[kept[file]]) for file, records in parts.items()])
    return _joined(path, dict(whole.columns), len(main), [(Path(other), _load(Path(other))) for other in passthrough])


def _joined(path: Path, columns: dict[str, np.ndarray], n: int, others: Sequence[tuple[Path, np.ndarray]]) -> CsFields:
    """Add the fields of other files that ``columns`` has not, by ``uid``."""
    own = set(columns)
    for other, extra in others:
        if "uid" not in columns or "uid" not in (extra.dtype.names or ()):
            raise FormatError(f"{path} and {other} cannot be joined: one of them has no field uid.")
        rows = _rows_by_uid(columns["uid"], extra["uid"], path, other)
        columns |= {name: extra[name][rows] for name in extra.dtype.names or () if name not in columns}
    return CsFields(path, columns, n, frozenset(columns) - own)


def _load(path: Path) -> np.ndarray:
    with open_input(path) as handle:
        head = handle.read(16)
    if head.startswith(MAGIC):
        try:
            records: np.ndarray = read_csdat(read_bytes(path))
        except DamagedDataset as error:
            raise FormatError(f"{path} is a compressed cryoSPARC file, but {error}; export it again.") from error
    elif b"CSDAT" in head:
        raise FormatError(
            f"{path} is a compressed cryoSPARC file of another version; save it as NumPy (cryosparc-tools: "
            "Dataset.load(file).save(new_file, format=1))."
        )
    else:
        records = load_npy(path, "a cryoSPARC particle file")
    if records.dtype.names is None or records.ndim != 1:
        raise FormatError(f"{path} holds a plain array of shape {records.shape}; expected a cryoSPARC particle table.")
    if len(records) == 0:
        raise FormatError(f"{path} holds no particles.")
    return records


def _rows_by_uid(wanted: np.ndarray, uids: np.ndarray, path: Path, other: Path) -> Int[np.ndarray, " n"]:
    order = np.argsort(uids, kind="stable")
    if len(np.unique(uids)) != len(uids):
        raise FormatError(f"{other} lists the same uid twice; expected one row per particle.")
    if len(uids) == 0:
        raise FormatError(f"{other} holds no particles.")
    rows = np.asarray(order[np.minimum(np.searchsorted(uids, wanted, sorter=order), len(uids) - 1)])
    lost = wanted[uids[rows] != wanted]
    if len(lost):
        raise FormatError(
            f"{other} lacks {len(lost)} of the {len(wanted)} particles of {path} (the first has uid {lost[0]}); "
            "give the passthrough file of the same job."
        )
    return rows
