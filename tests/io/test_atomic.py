import resource
from pathlib import Path

import pytest

from gemmap.errors import OutputError
from gemmap.io.atomic import atomic_path, remove_unfinished


def test_file_appears_with_its_content_and_no_other_file_stays(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "map.mrc") as temporary:
        assert temporary.suffix == ".mrc"
        temporary.write_text("new")
        assert not (tmp_path / "map.mrc").exists()
    assert [(f.name, f.read_text()) for f in tmp_path.iterdir()] == [("map.mrc", "new")]


def test_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "map.mrc").write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "map.mrc") as temporary:
        temporary.write_text(f"half {1 / 0}")
    assert [(f.name, f.read_text()) for f in tmp_path.iterdir()] == [("map.mrc", "old")]


def test_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    final = tmp_path / "no" / "map.mrc"
    with pytest.raises(OutputError, match=r"Cannot write .*map\.mrc: No such file"), atomic_path(final) as temporary:
        temporary.write_text("x")


def test_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="Cannot write"), atomic_path(tmp_path / "map.mrc"):
        pass
    assert not list(tmp_path.iterdir())


def test_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the file size fails in write() as a full disk does."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    try:
        with pytest.raises(OutputError, match="free space"), atomic_path(tmp_path / "map.mrc") as temporary:
            temporary.write_bytes(bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    final = tmp_path / "run_class001.mrc"
    names = [".run_class001.0123456789ab.part.mrc", ".other.0123456789ab.part.mrc", ".run_class001.x.part.mrc"]
    for name in (*names, final.name):
        (tmp_path / name).touch()
    remove_unfinished([final, tmp_path / "absent.mrc", tmp_path / "no" / "folder.mrc"])
    assert {file.name for file in tmp_path.iterdir()} == {final.name, *names[1:]}
    # The name is the one that is used.
    with atomic_path(final) as temporary:
        temporary.touch()
        remove_unfinished([final])
        assert not temporary.exists()
        temporary.touch()
