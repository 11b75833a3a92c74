"""Folders that exist, that are read from, and that do not fit on the disk."""

from pathlib import Path

import pytest

from gemmap.errors import InputError, OutputError
from gemmap.io.folders import prepare_folder, require_free, require_not_read, require_space


def test_free(tmp_path: Path) -> None:
    require_free(tmp_path / "new", overwrite=False)
    require_free(tmp_path, overwrite=True)
    with pytest.raises(OutputError, match="exists; choose another folder, or give --overwrite"):
        require_free(tmp_path, overwrite=False)
    (tmp_path / "file").touch()
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="is a file; expected a folder"):
            require_free(tmp_path / "file", overwrite)


def test_prepare_removes_ours_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    prepare_folder(folder, ["ours"])
    for name in ("ours", "theirs"):
        (folder / name).touch()
    prepare_folder(folder, ["ours", "absent"])
    assert [file.name for file in folder.iterdir()] == ["theirs"]


def test_what_is_read_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "ours").touch()
    (tmp_path / "link").symlink_to(tmp_path / "ours")
    with pytest.raises(InputError, match="ours is read and would be replaced"):
        require_not_read(tmp_path, ["ours"], [tmp_path / "link"])
    require_not_read(tmp_path, ["theirs", "absent"], [tmp_path / "link", tmp_path / "absent"])


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Cannot write to"):
        prepare_folder(tmp_path / "file" / "run", [])


def test_space(tmp_path: Path) -> None:
    require_space(tmp_path / "not" / "there" / "yet", 1000)
    with pytest.raises(OutputError, match=r"need about 1000000000\.0 GB and the disk of .* left; free space"):
        require_space(tmp_path / "new", 10**18)
