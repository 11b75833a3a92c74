"""Two half-maps that belong together."""

from pathlib import Path

from gemmap._types import Volume
from gemmap.errors import InputError
from gemmap.io.mrc import read_map

#: Largest relative difference of voxel sizes that are taken for the same.
PIXEL_SIZE_TOLERANCE = 1e-3


def read_halves(path1: Path, path2: Path, pixel_size_a: float | None = None) -> tuple[tuple[Volume, Volume], float]:
    """Read two half-maps of one box and their voxel size in Å.

    Parameters
    ----------
    pixel_size_a
        Replaces the headers'.

    Raises
    ------
    InputError, FormatError
        If one cannot be read, the boxes or the voxel sizes differ, or nothing says the voxel size.
    """
    (half1, size1_a), (half2, size2_a) = (read_map(path, pixel_size_a) for path in (path1, path2))
    if half1.shape != half2.shape:
        raise InputError(f"{path1} is {len(half1)} px and {path2} {len(half2)} px wide; expected half-maps of one box.")
    for path, size_a in ((path1, size1_a), (path2, size2_a)):
        if not size_a > 0:
            raise InputError(f"{path} does not say its voxel size; give it with --pixel-size.")
    if abs(size1_a - size2_a) > PIXEL_SIZE_TOLERANCE * max(size1_a, size2_a):
        raise InputError(
            f"{path1} has voxels of {size1_a:g} Å and {path2} of {size2_a:g} Å; expected the same: correct a header, "
            "or give --pixel-size."
        )
    return (half1, half2), size1_a
