"""How far to believe it: figures of the validation and of tests, from whatever job.json holds."""

import json
from pathlib import Path

import pytest

from gemmap.report.html.files import RunFiles
from gemmap.report.html.judged import evidence, validation

FOUND = {
    "local_resolution_a": {"mean": 5.0, "quartiles": [4.0, 5.0, 6.5]},
    "cfar": 0.812,
    "sphericity": 0.9,
    "interval_95": {"better_a": 4.2, "worse_a": None},
    "bfactor_a2": -92.3,
    "caution": "Half-maps claim too much.",
    "warnings": ["The <mask> is tight."],
    "backprojections": {"cfar": 0.7, "interval_95": {"better_a": 5.0, "worse_a": 5.5}},
}


def run_with(folder: Path, results: object, interval: object = None) -> RunFiles:
    job = {"status": "finished", "results": results, "resolutions": {"map": {"interval": interval}}}
    (folder / "job.json").write_text(json.dumps(job))
    return RunFiles(folder)


def test_figures_stand_beside_those_of_the_back_projections(tmp_path):
    (section,) = validation(run_with(tmp_path, {"validation": FOUND}, {"better_a": 5.2, "worse_a": 6.1}))
    body = str(section.body)
    for text in (
        "5.00 Å (4.00 to 6.50)", "0.81", "0.70", "not measured", "4.20 Å and not resolved", "5.00 and 5.50 Å",
        "lies between 5.20 and 6.10 Å with 95 %", "B-factor of −92 Å²", "Half-maps claim too much.",
        "The &lt;mask&gt; is",
    ):  # fmt: skip
        assert text in body


@pytest.mark.parametrize("found", [{}, None, [], "x"])
def test_a_run_without_validation_has_no_section(tmp_path, found):
    assert validation(run_with(tmp_path, {"validation": found})) == []


@pytest.mark.parametrize("odd", [{"cfar": "x", "backprojections": 3, "interval_95": [1], "warnings": "y"}, {"a": 1}])
def test_odd_values_are_no_obstacle(tmp_path, odd):
    (section,) = validation(run_with(tmp_path, {"validation": odd}))
    assert "not measured" in str(section.body)


def test_tests_that_were_made_are_listed(tmp_path):
    found = {"pure-noise": {"text": "at most 0.1 & no shell"}, "held-out": 3, "other": {"text": "?"}}
    (section,) = evidence(run_with(tmp_path, {"evidence": found}))
    body = str(section.body)
    assert "at most 0.1 &amp; no shell" in body
    assert "?" not in body
    assert "<img" not in body
    (tmp_path / "evidence.png").write_bytes(b"\x89PNG")
    (section,) = evidence(RunFiles(tmp_path))
    assert 'src="data:image/png;base64,iVBORw=="' in str(section.body)


def test_no_tests_have_no_section(tmp_path):
    assert evidence(run_with(tmp_path, {})) == []
