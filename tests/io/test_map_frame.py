"""Where maps lie; headers written by mrcfile."""

from pathlib import Path

import mrcfile
import numpy as np
import pytest

from gemmap.io.map_frame import read_map_frame
from gemmap.io.mrc import write_map


def written(
    path: Path,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    start: tuple[int, int, int] = (0, 0, 0),
    axes: tuple[int, int, int] = (1, 2, 3),
) -> Path:
    with mrcfile.new(path, np.ones((4, 4, 4), np.float32)) as mrc:
        mrc.voxel_size = 1.5
        mrc.header.origin = origin
        mrc.header.nxstart, mrc.header.nystart, mrc.header.nzstart = start
        mrc.header.mapc, mrc.header.mapr, mrc.header.maps = axes
    return path


def test_a_header_without_either(tmp_path: Path) -> None:
    frame = read_map_frame(written(tmp_path / "a.mrc"), 1.5)
    assert frame.origin_a == (0, 0, 0)
    assert frame.source == "origin and start words of the header are 0"


def test_start_words_count_voxels(tmp_path: Path) -> None:
    frame = read_map_frame(written(tmp_path / "a.mrc", start=(2, -4, 6)), 1.5)
    assert frame.origin_a == (3.0, -6.0, 9.0)
    assert frame.source == "start words of the header"


def test_start_words_follow_the_order_of_the_axes(tmp_path: Path) -> None:
    """Columns, rows and sections of a map with axes 3, 1, 2 run along z, x and y."""
    frame = read_map_frame(written(tmp_path / "a.mrc", start=(2, 4, 6), axes=(3, 1, 2)), 1.0)
    assert frame.origin_a == (4.0, 6.0, 2.0)


def test_origin_words_come_first(tmp_path: Path) -> None:
    frame = read_map_frame(written(tmp_path / "a.mrc", origin=(0.0, 10.5, 0.0), start=(1, 2, 3)), 1.5)
    assert frame.origin_a == (0.0, 10.5, 0.0)
    assert "origin words" in frame.source
    assert "(1, 2, 3) are not used" in frame.source


def test_an_origin_that_is_no_number_is_none(tmp_path: Path) -> None:
    assert read_map_frame(written(tmp_path / "a.mrc", origin=(np.nan, 1.0, 1.0)), 1.5).origin_a == (0, 0, 0)


def test_a_map_is_written_where_it_lies(tmp_path: Path) -> None:
    write_map(tmp_path / "a.mrc", np.ones((4, 4, 4), np.float32), 1.5, (1.0, 2.5, -3.0))
    assert read_map_frame(tmp_path / "a.mrc", 1.5).origin_a == pytest.approx((1.0, 2.5, -3.0))
    with mrcfile.open(tmp_path / "a.mrc") as mrc:
        assert mrc.header.origin.tolist() == (1.0, 2.5, -3.0)
