"""``gemmap report``: the page of a run folder, or one sentence."""

from collections.abc import Callable
from pathlib import Path

import pytest
from run_folders import write_run


def test_the_path_is_printed(gemmap: Callable, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run1")
    outcome = gemmap("report", folder)
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"{folder / 'report.html'}\n"
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    elsewhere = tmp_path / "page.html"
    assert gemmap("report", folder, "-o", elsewhere).out == f"{elsewhere}\n"
    assert elsewhere.read_bytes() == (folder / "report.html").read_bytes()


@pytest.mark.parametrize("name", ["", "nothing"])
def test_no_run_is_one_sentence(gemmap: Callable, tmp_path: Path, name: str) -> None:
    outcome = gemmap("report", tmp_path / name)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (
        f"Error: {tmp_path / name} is no folder of a run: there is no job.json in it; give the folder that reconstruct "
        "-o made.\n"
    )


def test_a_page_that_cannot_be_written_is_one_sentence(gemmap: Callable, tmp_path: Path) -> None:
    outcome = gemmap("report", write_run(tmp_path / "run1"), "-o", tmp_path / "not" / "there.html")
    assert outcome.code == 2
    assert "Cannot write" in outcome.err


@pytest.mark.usefixtures("quick_fit")
@pytest.mark.parametrize("error", [ZeroDivisionError("in the page"), KeyboardInterrupt("in the page")])
def test_a_page_that_cannot_be_made_spoils_no_run(
    gemmap: Callable, simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("gemmap.report.run_folder.write_report", fail)
    outcome = gemmap("reconstruct", simulated / "particles.star", "-o", tmp_path / "run1")
    assert outcome.code == 0, outcome.err
    assert '"status": "finished"' in (tmp_path / "run1" / "job.json").read_text()
    log = (tmp_path / "run1" / "run.log").read_text()
    assert "report.html was not written" in log
    assert "in the page" in log
    assert "report.html" not in outcome.out
