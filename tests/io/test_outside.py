"""Names that lead out of the project are refused, and what projects do every day is not."""

from pathlib import Path

import pytest

from gemmap.errors import InputError
from gemmap.io.outside import require_inside


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a job, a stack in it and one beside it; the working folder is elsewhere."""
    for name in ("project/job/run.star", "project/Extract/a.mrcs", "other/b.mrcs", "work/c.mrcs"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def check(root: Path, name: str, found: str, datadir: str | None = None, **options: bool) -> None:
    folder = None if datadir is None else root / datadir
    require_inside([name], [root / found], root / "project/job/run.star", datadir=folder, **options)


@pytest.mark.parametrize(
    ("name", "found", "datadir"),
    [
        ("Extract/a.mrcs", "project/Extract/a.mrcs", None),  # relative to the project
        ("job/../Extract/a.mrcs", "project/job/../Extract/a.mrcs", None),
        ("ROOT/project/job/x.mrcs", "project/job/x.mrcs", None),
        ("ROOT/work/c.mrcs", "work/c.mrcs", None),
        ("../../work/c.mrcs", "project/job/../../work/c.mrcs", None),
        ("ROOT/other/b.mrcs", "other/b.mrcs", "other"),
        ("b.mrcs", "other/b.mrcs", "other"),
    ],
)
def test_inside(root: Path, name: str, found: str, datadir: str | None) -> None:
    check(root, name.replace("ROOT", str(root)), found, datadir)


@pytest.mark.parametrize(
    ("name", "found", "datadir"),
    [
        ("ROOT/other/b.mrcs", "other/b.mrcs", None),
        ("ROOT/project/job/../../other/b.mrcs", "project/job/../../other/b.mrcs", None),
        ("../Extract/a.mrcs", "project/job/../Extract/a.mrcs", None),
        ("../../other/b.mrcs", "project/job/../../other/b.mrcs", None),
        ("x/../../b.mrcs", "other/x/../../b.mrcs", "other"),
        ("ROOT/project/job2/x.mrcs", "project/job2/x.mrcs", None),  # not a folder whose name begins alike
    ],
)
def test_outside(root: Path, name: str, found: str, datadir: str | None) -> None:
    with pytest.raises(InputError, match=r"1 of 1 image stacks that .*run\.star names lie outside .*--allow-outside"):
        check(root, name.replace("ROOT", str(root)), found, datadir)


def test_project_of_relion(root: Path) -> None:
    (root / "project" / "default_pipeline.star").touch()
    check(root, str(root / "project/Extract/a.mrcs"), "project/Extract/a.mrcs")
    check(root, "../Extract/a.mrcs", "project/job/../Extract/a.mrcs")
    with pytest.raises(InputError, match="lie outside"):
        check(root, str(root / "other/b.mrcs"), "other/b.mrcs")


def test_names_whose_front_was_removed_are_relative(root: Path) -> None:
    check(root, "/far/away/Extract/a.mrcs", "project/Extract/a.mrcs", has_prefix=True)


def test_links_are_followed(root: Path) -> None:
    (root / "project/job/link.mrcs").symlink_to(root / "other/b.mrcs")
    check(root, "link.mrcs", "project/job/link.mrcs")
    (root / "linked").symlink_to(root / "project/job")
    stack = root / "project/job/x.mrcs"
    require_inside([str(stack)], [stack], root / "linked/run.star", datadir=None)


def test_many_are_counted_and_three_are_named(root: Path) -> None:
    names = [f"/data/{i}.mrcs" for i in range(5)] + ["Extract/a.mrcs"]
    stacks = [*map(Path, names[:5]), root / "project/Extract/a.mrcs"]
    with pytest.raises(InputError, match=r"5 of 6 .* \(/data/0\.mrcs, /data/1\.mrcs, /data/2\.mrcs, \.\.\.\)"):
        require_inside(names, stacks, root / "project/job/run.star", datadir=None)
