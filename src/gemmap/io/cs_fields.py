"""Fields of cryoSPARC's ``.cs`` files: NumPy structured arrays, joined with passthrough files on ``uid``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gemmap._types import Float, Int, PerParticle
from gemmap.errors import FormatError
from gemmap.io.npy import load_npy
from gemmap.io.opening import open_input


@dataclass(frozen=True, eq=False)
class CsFields:
    """Fields of one particle set, whichever file each came from."""

    source: Path
    columns: Mapping[str, np.ndarray]
    n: int

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

    def floats_or(self, name: str, default: float) -> PerParticle:
        """Return a field as float64, or the default where no file has it."""
        return self.floats(name) if name in self else np.full(self.n, default)

    def texts(self, name: str) -> list[str]:
        """Return a field of bytes or str as str."""
        return [t.decode(errors="replace") if isinstance(t, bytes) else str(t) for t in self.columns[name].tolist()]


def read_cs_fields(path: Path, passthrough: Sequence[Path] = ()) -> CsFields:
    """Read a ``.cs`` file and join passthrough files to it on ``uid``; the main file's fields win.

    Raises
    ------
    FormatError
        If a file is no ``.cs`` file, or lacks particles of the main one.
    """
    main = _load(Path(path))
    columns = {name: main[name] for name in main.dtype.names or ()}
    for other in passthrough:
        extra = _load(Path(other))
        if "uid" not in columns or "uid" not in (extra.dtype.names or ()):
            raise FormatError(f"{path} and {other} cannot be joined: one of them has no field uid.")
        rows = _rows_by_uid(columns["uid"], extra["uid"], Path(path), Path(other))
        columns |= {name: extra[name][rows] for name in extra.dtype.names or () if name not in columns}
    return CsFields(Path(path), columns, len(main))


def _load(path: Path) -> np.ndarray:
    with open_input(path) as handle:
        if b"CSDAT" in handle.read(16):
            raise FormatError(
                f"{path} is a compressed cryoSPARC file; save it as NumPy (cryosparc-tools: "
                "Dataset.load(file).save(new_file, format=1))."
            )
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
