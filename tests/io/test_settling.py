"""A file has settled when it stayed the same for a while, by our own clock."""

import os
from pathlib import Path

from gemmap.io.settling import Settling, Stamp


def test_a_file_settles_by_our_own_clock(tmp_path: Path) -> None:
    now = [100.0]
    settling, file = Settling(5.0, lambda: now[0]), tmp_path / "a"
    assert settling.settled(file) is None
    file.write_bytes(b"12")
    # Its own time is long ago: a copy may keep that of its original.
    os.utime(file, ns=(10**9, 10**9))
    assert settling.settled(file) is None
    now[0] += 4.9
    assert settling.settled(file) is None
    now[0] += 0.1
    assert settling.settled(file) == Stamp(2, 10**9)
    assert settling.settled(file) == Stamp(2, 10**9)


def test_a_change_of_size_or_time_begins_anew(tmp_path: Path) -> None:
    now = [0.0]
    settling, file = Settling(1.0, lambda: now[0]), tmp_path / "a"
    file.write_bytes(b"12")
    os.utime(file, ns=(1, 1))
    for change in (lambda: file.write_bytes(b"123"), lambda: os.utime(file, ns=(2, 2))):
        settling.settled(file)
        now[0] += 1.0
        assert settling.settled(file) is not None
        change()
        assert settling.settled(file) is None
    file.unlink()
    assert settling.settled(file) is None
    assert Stamp.of(file) is None
