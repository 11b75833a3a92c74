"""One process at a time, and a process that was killed is none."""

import errno
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from gemmap.errors import OutputError
from gemmap.io.lock import FileLock

HOLDER = "import sys, time; from pathlib import Path; from gemmap.io.lock import FileLock\n" \
         "lock = FileLock(Path(sys.argv[1])); print('held', flush=True); time.sleep(120)"  # fmt: skip


def test_another_process_is_kept_out_until_it_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "run.log"
    file.write_text("text\n")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, file], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match=f"Another process is writing to {tmp_path}; wait until it has ended"):
            FileLock(file)
    finally:
        holder.kill()
        holder.communicate(timeout=60)
    FileLock(file).release()
    assert file.read_text() == "text\n"


def test_released(tmp_path: Path) -> None:
    for _ in range(2):
        lock = FileLock(tmp_path / "new")
        with pytest.raises(OutputError):
            FileLock(tmp_path / "new")
        lock.release()


def test_where_there_are_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuses)
    FileLock(tmp_path / "new").release()


def test_a_file_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"Cannot write .*: No such file or directory; choose another folder"):
        FileLock(tmp_path / "absent" / "new")
