"""Where a map's voxels lie in the coordinates of a model."""

from dataclasses import dataclass
from pathlib import Path

from gemmap.io.mrc_header import read_header


@dataclass(frozen=True)
class MapFrame:
    """Coordinates of a map's first voxel.

    Attributes
    ----------
    origin_a
        (x, y, z) in Å of voxel (0, 0, 0).
    source
        Which words of the header say so, for the user.
    """

    origin_a: tuple[float, float, float]
    source: str


def read_map_frame(path: Path, pixel_size_a: float) -> MapFrame:
    """Read where the first voxel lies: the ORIGIN words if one of them is not 0, else NSTART times the voxel size.

    ChimeraX follows the same rule; maps of RELION, cryoSPARC and GEM have 0 in both.

    Parameters
    ----------
    path
        MRC file.
    pixel_size_a
        Å, the header's or what replaces it.

    Raises
    ------
    InputError, FormatError
        As :func:`gemmap.io.mrc_header.read_header`.
    """
    header = read_header(Path(path))
    x, y, z = header.start_px
    if any(header.origin_a):
        ignored = f"; its start words {header.start_px} are not used" if any(header.start_px) else ""
        return MapFrame(header.origin_a, f"origin words of the header{ignored}")
    if any(header.start_px):
        return MapFrame((x * pixel_size_a, y * pixel_size_a, z * pixel_size_a), "start words of the header")
    return MapFrame((0.0, 0.0, 0.0), "origin and start words of the header are 0")
