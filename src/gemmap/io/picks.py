"""Coordinates of particles in their micrographs, from RELION's and cryoSPARC's particle files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gemmap.io.cs_fields import CsFields, read_cs_fields
from gemmap.io.image_list import FileKind
from gemmap.io.relion_table import RelionTable, read_relion_table
from gemmap.particles.picks import Picks

#: RELION's coordinates are in pixels of the unbinned micrograph.
_MICROGRAPH_PIXEL_SIZES = ("rlnMicrographOriginalPixelSize", "rlnMicrographPixelSize")


def read_picks(path: Path, kind: FileKind, passthrough: Sequence[Path] = ()) -> Picks | None:
    """Return where the particles of every row of a file were picked, or None if the file does not say.

    Raises
    ------
    InputError, FormatError
        If the file cannot be read.
    """
    if kind == "star":
        return _relion(read_relion_table(path))
    return _cryosparc(read_cs_fields(path, passthrough)) if kind == "cs" else None


def _relion(table: RelionTable) -> Picks | None:
    if not all(label in table for label in ("rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY")):
        return None
    centre = np.stack([table.floats("rlnCoordinateX"), table.floats("rlnCoordinateY")], axis=-1)
    sizes: list[float] = []
    for label in _MICROGRAPH_PIXEL_SIZES:
        if label in table:
            sizes = np.unique(table.floats(label)).tolist()
            break
    return Picks(_numbers(table.strings("rlnMicrographName")), centre, sizes[0] if len(sizes) == 1 else None)


def _cryosparc(fields: CsFields) -> Picks | None:
    needed = (
        "location/micrograph_uid",
        "location/center_x_frac",
        "location/center_y_frac",
        "location/micrograph_shape",
    )
    if not all(name in fields for name in needed):
        return None
    shape = fields.floats("location/micrograph_shape")
    x = fields.floats("location/center_x_frac") * shape[:, 1]
    # Counted from the other end than the rows of the images.
    y = (1.0 - fields.floats("location/center_y_frac")) * shape[:, 0]
    sizes = np.unique(fields.floats_or("location/micrograph_psize_A", 0.0)).tolist()
    known = len(sizes) == 1 and sizes[0] > 0
    uids = np.unique(fields.columns["location/micrograph_uid"], return_inverse=True)[1].reshape(-1)
    return Picks(uids, np.stack([x, y], axis=-1), sizes[0] if known else None)


def _numbers(names: Sequence[str]) -> np.ndarray:
    number: dict[str, int] = {}
    return np.array([number.setdefault(name, len(number)) for name in names], np.int64)
