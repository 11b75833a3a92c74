"""What a watch remembers: bad files, images read before, its state, and results that are moved."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from gemmap.api.options import ReconstructionOptions
from gemmap.api.watch import results
from gemmap.api.watch.known_images import KnownImages
from gemmap.api.watch.retries import Retries
from gemmap.api.watch.state import TakenFile, WatchState
from gemmap.errors import FormatError, InputError, OutputError
from gemmap.io.settling import Stamp
from gemmap.report.history import HistoryRow, append_history

OLD, NEW = Stamp(1, 1), Stamp(2, 2)


def test_a_bad_file_is_set_aside_once_and_tried_ever_less_often() -> None:
    now = [0.0]
    retries, tries, reported = Retries(1.0, lambda: now[0]), [], []
    for second in range(40):
        now[0] = float(second)
        if retries.may_try("a", OLD):
            tries.append(second)
            if retries.failed("a", OLD):
                reported.append(second)
    assert tries == [0, 1, 2, 3, 5, 9, 17, 33]
    assert reported == [2]
    assert retries.is_set_aside("a")
    # One that changed begins anew.
    assert retries.may_try("a", NEW)
    assert not retries.failed("a", NEW)
    assert not retries.is_set_aside("a")
    retries.succeeded("a")
    assert retries.may_try("a", NEW)


def test_images_are_known_while_their_stack_stays_the_same(tmp_path: Path) -> None:
    stacks = [tmp_path / "a.mrcs", tmp_path / "b.mrcs"]
    for stack in stacks:
        stack.write_bytes(b"1")
    known, stamps = KnownImages(), [Stamp.of(stack) for stack in stacks]
    known.learn(stacks, stamps, np.array([0, 0, 1]), np.array([3, 1, 0]), np.array([-7, 8, 9]))
    known.learn(stacks, stamps, np.array([0]), np.array([5]), np.array([10]))
    known.save(tmp_path / "known.safetensors")
    asked = np.array([0, 0, 0, 0, 1, 1]), np.array([3, 2, 1, 5, 0, 1])
    for one in (known, KnownImages.load(tmp_path / "known.safetensors")):
        ids, read = one.recall(stacks, *asked)
        np.testing.assert_array_equal(ids[read], [-7, 8, 10, 9])
        np.testing.assert_array_equal(read, [True, False, True, True, True, False])
    stacks[0].write_bytes(b"22")
    assert known.recall(stacks, *asked)[1].tolist() == [False, False, False, False, True, False]


@pytest.mark.parametrize("content", [None, b"", b"x" * 100])
def test_no_or_damaged_memory_of_images_is_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "known.safetensors"
    if content is not None:
        path.write_bytes(content)
    (tmp_path / "a").write_bytes(b"1")
    assert not KnownImages.load(path).recall([tmp_path / "a"], np.zeros(2, int), np.arange(2))[1].any()


def test_the_state_comes_back_and_other_options_are_refused(tmp_path: Path) -> None:
    path, options = tmp_path / "watch.json", ReconstructionOptions(tmp_path, sym="C2", box_px=32)
    state = WatchState.open(path, options)
    state.files["a.star"] = TakenFile(10, 20, "d", 5, 4, 1, "2026-01-01T00:00:00+00:00")
    state.save()
    again = WatchState.open(path, options)
    assert again.files == state.files
    assert again.files["a.star"].stamp == Stamp(10, 20)
    # What is fitted may change, and where.
    WatchState.open(path, ReconstructionOptions(tmp_path / "other", sym="C2", box_px=32, max_steps=3, device="cpu"))
    with pytest.raises(InputError, match=r"were added with box_px 32, and now it is 24; expected the same"):
        WatchState.open(path, ReconstructionOptions(tmp_path, sym="C2", box_px=24))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "gemmap-watch", "version": 2}', "\x00"])
def test_a_damaged_state_is_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "watch.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"watch\.json is not what gemmap watch wrote; remove it"):
        WatchState.open(path, ReconstructionOptions(tmp_path))


NAMES = ("run_class001.mrc", "fsc.csv", "locres.mrc", "report.html", "job.json")


def finished(folder: Path, content: str, names: tuple[str, ...] = NAMES) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(json.dumps({"status": "finished", "of": content}))


@pytest.mark.parametrize("killed_at", range(6))
def test_results_are_moved_whole_however_often_a_process_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    class Killed(BaseException):
        pass

    finished(tmp_path, "old")
    (tmp_path / "history.csv").write_text("kept")
    (tmp_path / "other.txt").write_text("kept")
    names = tuple(name for name in NAMES if name != "locres.mrc")
    finished(tmp_path / "next", "new", names)
    replace, moves = os.replace, []

    def killing(source: Path, target: Path) -> None:
        if len(moves) == killed_at:
            raise Killed
        moves.append(source)
        replace(source, target)

    monkeypatch.setattr(results.os, "replace", killing)
    if killed_at < len(names):
        with pytest.raises(Killed):
            results.put_in_place(tmp_path)
    else:
        results.put_in_place(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(results, "write_report", lambda _: None)
    results.recover_results(tmp_path)
    assert {json.loads((tmp_path / name).read_text())["of"] for name in names} == {"new"}
    assert not (tmp_path / "locres.mrc").exists()
    assert not (tmp_path / "next").exists()
    assert (tmp_path / "history.csv").read_text() == (tmp_path / "other.txt").read_text() == "kept"


def test_results_that_are_not_complete_are_removed(tmp_path: Path) -> None:
    finished(tmp_path, "old")
    finished(tmp_path / "next", "new", NAMES[:-1])
    results.recover_results(tmp_path)
    assert json.loads((tmp_path / "run_class001.mrc").read_text())["of"] == "old"
    assert not (tmp_path / "next").exists()


def test_results_that_cannot_be_moved_are_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(tmp_path / "next", "new")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results.os, "replace", full)
    with pytest.raises(OutputError, match=r"Cannot write to .*: No space left on device"):
        results.put_in_place(tmp_path)


def test_history_grows_and_another_file_is_refused(tmp_path: Path) -> None:
    for n in (10, 20):
        append_history(tmp_path, HistoryRow(1.7e9, n, float("inf"), 12.25, 3.0))
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines[0] == "unix_time_s,n_particles,resolution_a,half_maps_masked_a,fit_s"
    assert [line.split(",")[1:4] for line in lines[1:]] == [["10", "inf", "12.25"], ["20", "inf", "12.25"]]
    (tmp_path / "history.csv").write_text("x\n")
    with pytest.raises(FormatError, match="is not a history of gemmap watch"):
        append_history(tmp_path, HistoryRow(1.0, 1, 1.0, 1.0, 1.0))
