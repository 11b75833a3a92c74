"""``gemmap demo`` on few particles: the claimed resolution beside the true one."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gemmap.io.mrc import read_map
from gemmap.validate.fsc import fsc


@pytest.mark.usefixtures("quick_fit")
def test_files_and_sentences(gemmap: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    outcome = gemmap("demo", "-o", folder, "--n-particles", 60, "--seed", 1, "--threads", 1, "--quiet")
    assert outcome.code == 0, outcome.err
    assert {file.name for file in folder.iterdir()} == {"particles", "run", "report.md", "fsc.png", "slices.png"}
    lines = {line.split("  ")[0]: line for line in outcome.out.splitlines()}
    assert next(iter(lines)) == "Resolution"
    job = json.loads((folder / "run" / "job.json").read_text())
    assert lines["Claimed"].endswith(job["resolutions"]["map"]["text"])
    assert job["config"]["seed"] == 1
    assert json.loads((folder / "particles" / "simulation.json").read_text())["config"]["n_particles"] == 60

    truth, mask = (read_map(folder / "particles" / f"{name}.mrc")[0] for name in ("truth", "mask"))
    for label, name in (("True, map", "run_class001"), ("True, back-proj.", "backprojection")):
        curve = fsc(read_map(folder / "run" / f"{name}.mrc")[0], truth, mask)
        shell = next(s for s in range(1, 49) if s == 48 or curve[s + 1] < 0.5)
        assert f"{96 * 2.5 / shell:.2f} Å" in lines[label]
        assert "truth-FSC 0.5, mask of the truth" in lines[label]
        assert f"| {curve[1:].mean():.3f} | " in (folder / "report.md").read_text()
    report = (folder / "report.md").read_text()
    assert "60 particles of the spike trimer" in report
    assert re.findall(r"\]\((\w+\.png)\)", report) == ["fsc.png", "slices.png"]
    for label in ("Claimed", "True, map", "True, back-proj."):
        assert f"| {label} | " in report

    outcome = gemmap("demo", "-o", folder)
    assert outcome.code == 2
    assert "exists; choose another folder" in outcome.err


@pytest.mark.slow
def test_the_resolution_claimed_is_the_true_one(gemmap: Callable, tmp_path: Path) -> None:
    outcome = gemmap("demo", "-o", tmp_path / "demo", "-q")
    assert outcome.code == 0, outcome.err
    claimed, true = (
        float(re.search(rf"^{label} +(?:at Nyquist \()?([\d.]+) Å", outcome.out, re.MULTILINE)[1])
        for label in ("Claimed", "True, map")
    )
    assert claimed == pytest.approx(true, rel=0.08)
    rows = re.findall(r"^\| (map|back-projection) \| \S+ \| (\S+) \| (\S+) \|$", (tmp_path / "demo" / "report.md")
                      .read_text(), re.MULTILINE)  # fmt: skip
    means = {name: (float(in_run), float(unmasked)) for name, in_run, unmasked in rows}
    assert means["map"][0] > means["back-projection"][0]
    assert means["map"][1] > means["back-projection"][1]
