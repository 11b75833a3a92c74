"""Gaussians on any grid: the model is continuous, so a map may be finer than the data's pixels."""

from dataclasses import dataclass
from pathlib import Path

import torch

from gemmap._types import Volume
from gemmap.errors import InputError
from gemmap.io.gaussians import load_gaussians
from gemmap.io.mrc import write_map
from gemmap.kernels import ops, threads

#: Largest side of a map, in voxels: 4 GB.
LARGEST_BOX_PX = 1024
#: Widths that a grid shows without aliasing, in voxels.
_NARROWEST_PX = 0.5


@dataclass(frozen=True, eq=False)
class Sampled:
    """Gaussians on a grid.

    Attributes
    ----------
    map
        (N, N, N): density times the volume of a voxel of the data, so that grey values do not depend on the grid.
    pixel_size_a
        Å.
    origin_a
        (x, y, z) in Å of voxel (0, 0, 0), in the frame where voxel 0 of the data's map is at 0.
    n_narrow
        Gaussians narrower than half a voxel in some direction, whose density such a grid cannot hold.
    """

    map: Volume
    pixel_size_a: float
    origin_a: tuple[float, float, float]
    n_narrow: int


def sample_gaussians(
    gaussians: Path | str,
    *,
    box_px: int | None = None,
    pixel_size_a: float | None = None,
    centre_a: tuple[float, float, float] | None = None,
    n_threads: int | None = None,
) -> Sampled:
    """Evaluate the Gaussians of a file on a grid of one's own.

    Parameters
    ----------
    gaussians
        ``gaussians*.safetensors`` of a run.
    box_px
        Side in voxels; None covers what the run's map covers, or with ``centre_a`` has as many voxels as it.
    pixel_size_a
        Å per voxel; None takes the run's.
    centre_a
        (x, y, z) of the voxel N//2 in Å as a viewer shows it on the run's map; None is the map's own centre.
    n_threads
        None for all cores.

    Raises
    ------
    InputError
        If the file cannot be read, or the box or pixel size is not possible.
    FormatError
        If the file is damaged or something else.
    """
    stored = load_gaussians(Path(gaussians))
    own_a, own_box = stored.pixel_size_a, stored.box_px
    size_a = own_a if pixel_size_a is None else pixel_size_a
    if not 0.0 < size_a < float("inf"):
        raise InputError(f"The pixel size is {size_a:g} Å; expected more than 0.")
    if box_px is None:
        box_px = own_box if centre_a is not None else max(1, round(own_box * own_a / size_a))
    if not 1 <= box_px <= LARGEST_BOX_PX:
        raise InputError(
            f"A map of {box_px} voxels a side was asked for; expected 1 to {LARGEST_BOX_PX}: give a smaller --box, or "
            "a region of it."
        )
    threads.configure(n_threads)
    middle_a = (own_box // 2) * own_a
    at_a = (middle_a,) * 3 if centre_a is None else centre_a
    g = stored.gaussians
    offset_a = torch.tensor([value - middle_a for value in at_a])
    scales_px = g.scales_a / size_a
    volume = ops.voxelize((g.centres_a - offset_a) / size_a, scales_px, g.quaternions, g.masses, box_px)
    # A normalised Gaussian in voxels is density per voxel of this grid; grey values count voxels of the data's.
    volume = volume * (own_a / size_a) ** 3
    origin_a = tuple(value - (box_px // 2) * size_a for value in at_a)
    narrow = int((scales_px.min(dim=1).values < _NARROWEST_PX).sum())
    return Sampled(volume.numpy(), size_a, (origin_a[0], origin_a[1], origin_a[2]), narrow)


def write_sampled(path: Path, sampled: Sampled) -> None:
    """Write a sampled map, with its origin in the header so that it lies on the run's map in viewers.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    write_map(path, sampled.map, sampled.pixel_size_a, sampled.origin_a)
