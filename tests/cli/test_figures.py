"""``gemmap figures`` from the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from run_folders import write_run


def test_files_are_listed_and_what_is_missing_is_said(gemmap: Callable, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run1")
    (folder / "direction.csv").unlink()
    outcome = gemmap("figures", folder, "--format", "svg", "--width", "double")
    assert outcome.code == 0, outcome.err
    *files, last = outcome.out.splitlines()
    assert last == "directions was left out: neither direction.csv nor views.csv is there."
    assert [Path(line) for line in files] == [
        folder / "figures" / f"{name}.svg" for name in ("fsc", "slices", "locres", "guinier", "fits")
    ]
    assert all(Path(line).is_file() for line in files)


def test_one_figure_into_another_folder(gemmap: Callable, tmp_path: Path) -> None:
    outcome = gemmap(
        "figures", write_run(tmp_path / "run1"), "-o", tmp_path / "out" / "paper", "--only", "guinier", "--dpi", 150
    )
    assert outcome.code == 0, outcome.err
    assert sorted(file.name for file in (tmp_path / "out" / "paper").iterdir()) == [
        "guinier.pdf", "guinier.png", "guinier.svg",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--width", "wide", "The width is 'wide'; expected single"),
        ("--format", "tiff", "The format is 'tiff'; expected some of pdf, svg, png"),
        ("--only", "fsc,map", "The figure is 'map'; expected some of fsc, slices"),
        ("--dpi", "72", "The resolution is 72 dots per inch"),
        ("-o", ".", "is the folder of the results"),
    ],
)
def test_wrong_options_are_one_sentence(
    gemmap: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, value: str, said: str
) -> None:
    monkeypatch.chdir(write_run(tmp_path / "run1"))
    before = {path.name for path in Path().iterdir()}
    outcome = gemmap("figures", ".", option, value)
    assert outcome.code == 2
    assert outcome.err.startswith("Error: ")
    assert said in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert {path.name for path in Path().iterdir()} == before


def test_folders_without_a_finished_run_are_one_sentence(gemmap: Callable, tmp_path: Path) -> None:
    for folder, said in (
        (tmp_path / "absent", "is no folder"),
        (tmp_path, "holds neither a run"),
        (write_run(tmp_path / "half", status="interrupted"), 'its status is "interrupted"'),
    ):
        outcome = gemmap("figures", folder)
        assert outcome.code == 2
        assert said in outcome.err
        assert len(outcome.err.strip().splitlines()) == 1
