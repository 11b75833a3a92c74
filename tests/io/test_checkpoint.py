"""Pieces in a folder: those of one moment or those of the moment before, whatever happens in between."""

import json
import pkgutil
import resource
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from gemmap.errors import FormatError, OutputError
from gemmap.io import checkpoint as module
from gemmap.io.checkpoint import Checkpoint, remove_checkpoint


def piece(number: float) -> tuple[Mapping, Mapping]:
    return {"x": torch.full((2, 3), number)}, {"n": number, "text": "Å"}


class Clock:
    """A clock that a test sets; every save takes ``cost`` seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cost: float = 0.0) -> None:
        self.now, self.cost = 0.0, cost
        real = module.save_tensors

        def save(*arguments: object) -> None:
            self.now += self.cost
            real(*arguments)

        monkeypatch.setattr(module, "save_tensors", save)

    def __call__(self) -> float:
        return self.now


def contents(folder: Path) -> dict[str, float]:
    """What another process finds."""
    found = Checkpoint(folder, 0)
    pieces = {name: found.load(name) for name in found.names()}
    for tensors, values in pieces.values():
        assert torch.equal(tensors["x"], torch.full((2, 3), values["n"]))
    return {name: values["n"] for name, (_, values) in pieces.items()}


def test_keep_replace_forget(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    kept = Checkpoint(folder, 0)
    assert list(kept.names()) == []
    assert not folder.exists()
    kept.keep(["a", "b"], {"a": piece(1), "b": piece(2)})
    assert contents(folder) == {"a": 1, "b": 2}
    before = {file.name: file.stat().st_ino for file in folder.iterdir()}
    kept.keep(["b", "c"], {"c": piece(3)})
    assert contents(folder) == {"b": 2, "c": 3}
    # What did not change was not written again, and what is not needed is gone.
    now = {file.name: file.stat().st_ino for file in folder.iterdir()}
    assert {name for name in now if before.get(name) == now[name]} == {"b.1.safetensors"}
    assert set(now) == {"b.1.safetensors", "c.2.safetensors", "index.json"}
    later = Checkpoint(folder, 0)
    later.keep(["b", "c"], {"b": piece(4)})
    assert contents(folder) == {"b": 4, "c": 3}
    with pytest.raises(KeyError):
        later.keep(["b", "never given"], {})
    assert contents(folder) == {"b": 4, "c": 3}


class Stopped(BaseException):
    """As Ctrl-C, anywhere."""


@pytest.mark.parametrize(
    ("where", "at"),
    [
        ("gemmap.io.checkpoint.save_tensors", 1), ("gemmap.io.checkpoint.save_tensors", 2),
        ("gemmap.io.checkpoint.atomic_path", 1), ("gemmap.io.atomic._sync_folder", 1),
        # The index is in place already.
        ("gemmap.io.atomic._sync_folder", 3),
    ],
)  # fmt: skip
def test_an_interrupt_leaves_one_moment_or_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, at: int
) -> None:
    kept = Checkpoint(tmp_path, 0)
    kept.keep(["a", "b"], {"a": piece(1), "b": piece(2)})
    real, calls = pkgutil.resolve_name(where), 0

    def stops(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == at:
            raise Stopped
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(where, stops)
        with pytest.raises(Stopped):
            kept.keep(["b", "c"], {"b": piece(3), "c": piece(4)})
    assert contents(tmp_path) == ({"a": 1, "b": 2} if at < 3 else {"b": 3, "c": 4})
    assert len(list(tmp_path.iterdir())) == 3
    kept.keep(["d"], {"d": piece(5)})
    assert contents(tmp_path) == {"d": 5}
    assert len(list(tmp_path.iterdir())) == 2


def test_full_disk(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path / "checkpoint", 0)
    kept.keep(["a"], {"a": piece(1)})
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    try:
        with pytest.raises(OutputError, match=r"Cannot write .*big\.2\.safetensors"):
            kept.keep(["big", "b"], {"b": piece(2), "big": ({"x": torch.zeros(10_000)}, {})})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert contents(tmp_path / "checkpoint") == {"a": 1}
    # The room that the failed attempt took is free again.
    assert len(list((tmp_path / "checkpoint").iterdir())) == 2
    nowhere = Checkpoint(tmp_path / "file" / "checkpoint", 0)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"Cannot write .*file.checkpoint: Not a directory; free space"):
        nowhere.keep([], {})


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    """Of several processes, one may be the first to keep something."""
    kept = Checkpoint(tmp_path / "checkpoint" / "rank1", 0)
    kept.keep(["a"], {"a": piece(1)})
    assert contents(tmp_path / "checkpoint" / "rank1") == {"a": 1}
    remove_checkpoint(tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()


def test_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, cost=1.0)
    kept = Checkpoint(tmp_path, 60.0, clock)
    for now, due in ((0, False), (59.9, False), (60, True), (1000, True)):
        clock.now = now
        assert kept.due() is due
    kept.keep(["a"], {"a": piece(1)})
    for now, due in ((1060.9, False), (1061, True)):
        clock.now = now
        assert kept.due() is due
    # A slow disk is not written to all the time.
    clock.cost = 30.0
    clock.now = 2000.0
    kept.keep(["a"], {"a": piece(2)})
    for now, due in ((2030 + 599, False), (2030 + 600, True)):
        clock.now = now
        assert kept.due() is due


def test_due_without_an_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Checkpoint(tmp_path, 0.0, Clock(monkeypatch, cost=30.0))
    assert kept.due()
    kept.keep(["a"], {"a": piece(1)})
    assert kept.due()


def index(**changes: object) -> str:
    return json.dumps({"schema": "gemmap-checkpoint", "version": 1, "files": {}, **changes})


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", index(files=[]), index(files={"a": "a"}), index(files={"a": "a.x.safetensors"})],
)
def test_a_damaged_index(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(FormatError, match=r"index\.json is damaged; remove .* to compute everything again\.$"):
        Checkpoint(tmp_path, 0)


@pytest.mark.parametrize(("change", "said"), [({"version": 2}, "version 2"), ({"schema": "other"}, "other version 1")])
def test_an_index_of_another_version(tmp_path: Path, change: dict, said: str) -> None:
    (tmp_path / "index.json").write_text(index(**change))
    with pytest.raises(FormatError, match=f"{said}; expected gemmap-checkpoint version 1: remove .* to compute every"):
        Checkpoint(tmp_path, 0)


def test_a_piece_that_is_damaged_or_gone(tmp_path: Path) -> None:
    Checkpoint(tmp_path, 0).keep(["a"], {"a": piece(1)})
    file = tmp_path / "a.1.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(FormatError, match=r"a\.1\.safetensors is damaged .*; remove .* to compute everything again\.$"):
        Checkpoint(tmp_path, 0).load("a")
    file.unlink()
    with pytest.raises(FormatError, match=r"cannot be read: No such file.*; remove .* everything again\.$"):
        Checkpoint(tmp_path, 0).load("a")


def test_what_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    remove_checkpoint(folder)
    Checkpoint(folder, 0).keep(["a"], {"a": piece(1)})
    for name in (".a.0123456789ab.part.safetensors", ".index.0123456789ab.part.json", "strange.7.safetensors"):
        (folder / name).touch()
    (folder / "notes.txt").touch()
    remove_checkpoint(folder)
    assert [file.name for file in folder.iterdir()] == ["notes.txt"]
    (folder / "notes.txt").unlink()
    Checkpoint(folder, 0).keep(["a"], {"a": piece(1)})
    remove_checkpoint(folder)
    assert not folder.exists()
