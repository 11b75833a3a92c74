"""The documentation is true: its links lead somewhere, its options and files exist, its commands run."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer.main

import gemmap
from gemmap.api.options import ReconstructionOptions
from gemmap.api.simulation import SIMULATION_FILES
from gemmap.cli.main import app
from gemmap.report.record import RUN_FILES

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks" / "README.md"])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LARGEST_IMAGE_BYTES = 300_000


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(page.read_text(encoding="utf-8")) if found == language]


def prose(page: Path) -> str:
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> Iterator[list[str]]:
    """The calls of ``gemmap`` in a page, split into words."""
    for text in blocks(page, "bash"):
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0].endswith("gemmap"):
                yield words[1:]


def options_of(subcommand: str) -> set[str]:
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group) or hasattr(group, "commands")
    command = group.commands[subcommand]
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


def test_there_are_pages() -> None:
    names = {name_of(page) for page in PAGES}
    assert {"README.md", "docs/index.md", "docs/tutorial.md", "docs/conventions.md", "docs/outputs.md"} <= names


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    dead = []
    for target in LINK.findall(prose(page)):
        if target.startswith(("https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(target)
    assert not dead


def test_every_page_can_be_reached_from_the_index() -> None:
    reached, waiting = set(), [ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = (page.parent / target.partition("#")[0] for target in LINK.findall(prose(page)))
        waiting += [path.resolve() for path in targets if path.suffix == ".md" and path.is_file()]
    assert set(PAGES) <= reached


def test_images_are_small_and_used() -> None:
    images = set((ROOT / "docs" / "images").iterdir())
    used = {(page.parent / target).resolve() for page in PAGES for target in LINK.findall(prose(page))}
    assert images <= used
    assert all(image.stat().st_size <= LARGEST_IMAGE_BYTES for image in images)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_have_the_options_they_use(page: Path) -> None:
    for words in commands(page):
        given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert given <= options_of(words[0]) | {"--help"}


def test_options_named_in_the_text_exist() -> None:
    subcommands = ("reconstruct", "check", "simulate", "demo")
    known = set().union(*(options_of(name) for name in subcommands)) | {"--help", "--version"}
    others = {"--slow", "--peer", "--strict", "--uninvert-data"}
    pages = [page for page in PAGES if page.parent.name != "benchmarks"]
    named = {option for page in pages for option in re.findall(r"`(--[a-z][a-z-]*)", prose(page))}
    assert named - others <= known


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_blocks_use_public_names(page: Path) -> None:
    for text in blocks(page, "python"):
        compile(text, name_of(page), "exec")
        assert set(re.findall(r"\bgemmap\.(\w+)", text)) <= set(gemmap.__all__)


def test_the_check_of_the_projection_prints_what_the_page_says() -> None:
    page = ROOT / "docs" / "faithfulness.md"
    (code,), (printed,) = blocks(page, "python"), blocks(page, "text")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == printed


def test_outputs_lists_every_file() -> None:
    text = (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")
    assert [name for name in (*RUN_FILES, *SIMULATION_FILES, "README.txt") if f"`{name}`" not in text] == []


def test_make_targets_named_in_the_text_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {word for page in PAGES for word in re.findall(r"\bmake ([a-z-]+)`", prose(page))}
    assert named
    assert named <= targets


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path: Path) -> None:
    """Every block of the tutorial, in order, in an empty folder; then what its text promises."""
    tools = str(Path(sys.executable).parent)
    environment = os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    printed = ""
    for language, text in BLOCK.findall((ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")):
        call = {"bash": ["bash", "-euc", text], "python": [sys.executable, "-c", text]}.get(language)
        if call is None:
            continue
        done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        printed = done.stdout
    job = json.loads((tmp_path / "run1" / "job.json").read_text(encoding="utf-8"))
    assert job["status"] == "finished"
    assert set(job["config"]) == set(ReconstructionOptions.__dataclass_fields__)
    outputs = (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")
    assert [key for key in job if f"`{key}`" not in outputs] == []
    found = re.search(r"([\d.]+) Å.*\(truth-FSC 0.5, mask of the truth\)", printed)
    assert found is not None
    assert float(found[1]) == pytest.approx(job["resolutions"]["map"]["value_a"], rel=0.1)
