"""Which windows reach into which tiles: lists in a fixed order, so that sums over them are the same to the bit."""

import torch
from jaxtyping import Int
from torch import Tensor


def bin_windows(
    windows: Int[Tensor, "n axes2"], before: Int[Tensor, " n"] | None, size: int, tile: int, n_tiles: int
) -> tuple[Int[Tensor, " pairs"], Int[Tensor, " tiles_and_1"]]:
    """Return, tile by tile, the rows whose window reaches into it, ascending, and where each tile's list begins.

    Parameters
    ----------
    windows
        First grid point of every window and number of points, (x, y, .. , width, height, ..), inside 0 .. size - 1;
        0 points where nothing is inside.
    before
        Number of tiles before those of a row's grid, where rows lie in several grids (images); None for one grid.
    size, tile
        Sides of the grid and of a tile.
    n_tiles
        Tiles of all grids; of one grid they are numbered with x fastest.
    """
    axes, per_axis = windows.shape[1] // 2, -(-size // tile)
    first = windows[:, :axes] // tile
    extents = (windows[:, :axes] + windows[:, axes:] - 1) // tile - first + 1
    extents = torch.where((windows[:, axes:] > 0).all(1, keepdim=True), extents, 0)
    counts = extents.prod(1)
    ends = counts.cumsum(0)
    # The one number that the host waits for.
    total = int(ends[-1]) if len(ends) else 0
    device = windows.device
    rows = torch.repeat_interleave(torch.arange(len(windows), device=device), counts, output_size=total)
    rest = torch.arange(total, device=device) - (ends - counts)[rows]
    tiles = torch.zeros_like(rows) if before is None else before[rows]
    for axis in range(axes):
        extent = extents[rows, axis]
        tiles += per_axis**axis * (first[rows, axis] + rest % extent)
        rest = rest // extent
    # 32 bits are sorted in half the time of 64. Stable: rows of a tile stay ascending.
    tiles, order = torch.sort(tiles.to(torch.int32), stable=True)
    begins = torch.searchsorted(tiles, torch.arange(n_tiles + 1, dtype=torch.int32, device=device))
    return rows[order].to(torch.int32), begins
