"""The repository keeps its shape: layers, sizes, pins, and nothing that is true on one machine only."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "gemmap"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LARGEST_MODULE_LINES = 350
TEXT_FILES = sorted(
    path
    for folder in ("src", "tests", "docs", "benchmarks", ".ci")
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and (path.suffix in {".py", ".md", ".txt", ".toml"} or folder == ".ci")
) + [path for path in ROOT.iterdir() if path.suffix in {".md", ".txt", ".toml"} or path.name == "Makefile"]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.lower().replace("_", "-").split("==") for line in lines if line and not line.startswith("#"))


def test_every_package_has_a_layer() -> None:
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    named = {name.strip() for layer in layers for name in layer.split("|")}
    modules = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" and not path.stem.startswith("__")}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert named == {f"gemmap.{name}" for name in modules | packages}


def test_modules_are_small() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {path.name: n for path, n in lengths.items() if n > LARGEST_MODULE_LINES} == {}


def test_tests_mirror_the_package() -> None:
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    assert folders - {"end_to_end", "fuzz"} <= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


def test_helper_modules_of_the_tests_have_names_of_their_own() -> None:
    """All helper folders are on one search path."""
    helpers = [
        path
        for path in (ROOT / "tests").rglob("*.py")
        if path.name != "conftest.py" and not path.stem.startswith("test_")
    ]
    names = [path.stem for path in helpers]
    assert len(set(names)) == len(names)
    search = {ROOT / folder for folder in PROJECT["tool"]["pytest"]["ini_options"]["pythonpath"]}
    assert {path.parent for path in helpers} <= search


def test_pins_cover_what_is_asked_for() -> None:
    asked = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["dev"]]
    pinned = pins()
    for requirement in map(Requirement, asked):
        name = requirement.name.lower().replace("_", "-")
        assert name in pinned
        assert requirement.specifier.contains(pinned[name])


def test_pins_are_versions_and_nothing_else() -> None:
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in pins().values())


def test_the_makefile_installs_the_pinned_pytorch() -> None:
    assert f"torch=={pins()['torch']}\n" in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", TEXT_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_names_a_machine(path: Path) -> None:
    """No home or mount of one computer, and no package index: pip is configured by whoever installs."""
    found = re.findall(
        r"(?:^|[\s\"'`(=])/(?:root|home|work|mnt|Users|opt)/\S*|--(?:extra-)?index-url|--find[-]links",
        path.read_text(encoding="utf-8"),
    )
    assert found == []
