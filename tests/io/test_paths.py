from pathlib import Path

import pytest

from gemmap.errors import InputError
from gemmap.io.paths import project_folders, resolve_stacks


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("Extract/a.mrcs", "Refine/job1/b.mrcs", "data/Extract/a.mrcs", "b.mrcs"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_project_is_found_above_the_metadata_file(root: Path) -> None:
    folders = project_folders(root / "Refine" / "job1" / "run_data.star")
    assert resolve_stacks(["Extract/a.mrcs"], folders) == [root / "Extract" / "a.mrcs"]


def test_folder_of_the_metadata_file_comes_first_for_every_stack(root: Path) -> None:
    folders = project_folders(root / "Refine" / "job1" / "run_data.star")
    assert resolve_stacks(["Extract/a.mrcs", "b.mrcs"], folders)[1] == root / "Refine" / "job1" / "b.mrcs"


def test_working_folder_comes_last(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(root)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert resolve_stacks(["b.mrcs"], project_folders(elsewhere / "run_data.star")) == [root / "b.mrcs"]


def test_datadir_is_the_only_folder_searched(root: Path) -> None:
    folders = project_folders(root / "run_data.star")
    assert resolve_stacks(["Extract/a.mrcs"], folders, datadir=root / "data") == [root / "data/Extract/a.mrcs"]
    with pytest.raises(InputError, match=r"1 of 1 image stacks are missing \(b\.mrcs\); looked in .*data:"):
        resolve_stacks(["b.mrcs"], folders, datadir=root / "data")


def test_prefix_is_removed_where_it_stands(root: Path) -> None:
    names = ["/far/away/Extract/a.mrcs", "b.mrcs"]
    assert resolve_stacks(names, [root], strip_prefix="/far/away") == [root / "Extract/a.mrcs", root / "b.mrcs"]


def test_prefix_without_effect_is_refused(root: Path) -> None:
    with pytest.raises(InputError, match=r"No image name starts with '/wrong' \(the first is 'b\.mrcs'\)"):
        resolve_stacks(["b.mrcs"], [root], strip_prefix="/wrong")


def test_missing_stacks_are_counted_and_three_are_named(root: Path) -> None:
    names = [f"x{i}.mrcs" for i in range(5)] + ["b.mrcs"]
    with pytest.raises(InputError, match=r"5 of 6 image stacks are missing \(x0\.mrcs, x1\.mrcs, x2\.mrcs, \.\.\.\)"):
        resolve_stacks(names, [root])


def test_absolute_names_are_taken_as_they_are(root: Path) -> None:
    assert resolve_stacks([str(root / "b.mrcs")], [root / "data"]) == [root / "b.mrcs"]


def test_no_names(root: Path) -> None:
    assert resolve_stacks([], [root]) == []
