"""The page says what is wrong with the particles before anything else, and hides what is right."""

from pathlib import Path
from typing import Any

import pytest
from run_folders import write_run

from gemmap.report.html.checked import banner, checks
from gemmap.report.html.files import RunFiles


@pytest.fixture
def run(tmp_path: Path) -> RunFiles:
    return RunFiles(write_run(tmp_path / "run1"))


def section(run: RunFiles) -> str:
    return str(checks(run).body)


def with_checks(run: RunFiles, value: dict[str, Any] | None) -> RunFiles:
    run.job["results"].pop("checks")
    if value is not None:
        run.job["results"]["checks"] = value
    return run


def test_what_is_wrong_stands_open_and_the_rest_is_folded(run: RunFiles) -> None:
    text = section(run)
    open_part, *folded = text.split("<details")
    assert "The table and 30 of 40 images were looked at before the reconstruction." in open_part
    assert "gemmap check does." in open_part
    assert "Images differ in noise." in open_part
    assert len(folded) == 2
    assert "Cannot be known (1)" in folded[0]
    assert "too few images" in folded[0]
    assert "Found right (1)" in folded[1]
    assert "Shifts are small." in folded[1]
    # A sign and a word, not a colour alone.
    assert ">!</span> WARNING" in open_part


def test_the_banner_counts_and_links(run: RunFiles) -> None:
    text = str(banner(run))
    assert 'href="#checks"' in text
    assert "1 warning. Read this before the resolution." in text


def test_nothing_wrong_is_no_banner(run: RunFiles) -> None:
    fine = {
        "n_images": 40,
        "n_particles": 40,
        "complete": True,
        "verdicts": [{"check": "a", "level": "ok", "text": "b"}],
    }
    assert banner(with_checks(run, fine)) is None
    assert "Nothing is wrong with them." in section(run)
    assert "gemmap check does." not in section(run)


@pytest.mark.parametrize(("wanted", "reason"), [(False, "--no-check"), (True, "holds no verdicts")])
def test_a_run_without_a_check_says_so(run: RunFiles, wanted: bool, reason: str) -> None:
    run.job["config"]["check"] = wanted
    left_out = checks(with_checks(run, None))
    assert left_out.body is None
    assert reason in left_out.missing
    assert banner(run) is None
