"""The scripts for array jobs are those of the page, and do what it says: tasks are run one after the other."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gemmap.api.options import ReconstructionOptions
from gemmap.api.plan import plan_reconstruction
from gemmap.api.sums import aggregate, load_sums
from gemmap.cli.main import app

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "slurm.md").read_text(encoding="utf-8")
SCRIPTS = dict(re.findall(r"^`(\w+\.sh)`:\n\n```bash\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
SUBMISSION = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_page_has_both_scripts_and_submits_them() -> None:
    assert set(SCRIPTS) == {"parts.sh", "fit.sh"}
    assert all(name in SUBMISSION[0] for name in SCRIPTS)
    (array,), (n,) = (
        re.findall(r"--array=1-(\d+)$", SCRIPTS["parts.sh"], re.MULTILINE),
        re.findall(r"^N=(\d+)", SCRIPTS["parts.sh"], re.MULTILINE),
    )
    assert array == n


@pytest.mark.parametrize("text", [*SCRIPTS.values(), *SUBMISSION])
def test_bash_reads_them(text: str) -> None:
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


@pytest.mark.slow
def test_the_parts_of_an_array_are_the_whole(tmp_path: Path) -> None:
    n_parts = 3
    arguments = ["simulate", "-o", str(tmp_path / "s"), "--n-particles", "100", "--box", "32", "--pixel-size", "8"]
    assert CliRunner().invoke(app, [*arguments, "--snr", "0.5", "-q"]).exit_code == 0
    for name in ("particles.star", "particles.mrcs"):
        (tmp_path / "s" / name).rename(tmp_path / name)
    (tmp_path / "parts").mkdir()
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "gemmap"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gemmap "$@"\n')
    command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}", "SLURM_CPUS_PER_TASK": "1"}
    scripts = {name: re.sub(r"^N=\d+", f"N={n_parts}", text, flags=re.MULTILINE) for name, text in SCRIPTS.items()}
    for task in range(1, n_parts + 1):
        own = {**environment, "SLURM_ARRAY_TASK_ID": str(task)}
        subprocess.run(["bash"], input=scripts["parts.sh"], cwd=tmp_path, env=own, text=True, check=True)
    subprocess.run(["bash"], input=scripts["fit.sh"], cwd=tmp_path, env=environment, text=True, check=True)
    assert (tmp_path / "run1" / "report.html").is_file()
    merged = load_sums(tmp_path / "all.safetensors")
    whole = aggregate(plan_reconstruction(ReconstructionOptions(tmp_path / "particles.star", threads=1)))
    # The parts are runs of the file, in its order.
    np.testing.assert_array_equal(merged.members.ids, whole.members.ids)
    np.testing.assert_array_equal(merged.members.half, whole.members.half)
    np.testing.assert_array_equal(np.bincount(merged.members.part), [34, 33, 33])
