"""Ctrl-C and SIGTERM: a real signal to a real process, an exit code of 130, and what was kept is said and is there."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gemmap.io.mrc import read_map

SCRIPT = """
import time
import fake_fit
import gemmap.api.run
from gemmap.cli.main import main


def slow(table, stack, config, progress, mask=None, keeper=None):
    class Slow:
        def __getattr__(self, name):
            return getattr(progress, name)

        def result(self, name, result):
            progress.result(name, result)
            print("stored", name, flush=True)
            time.sleep(120)

    return fake_fit.reconstruct_quickly(table, stack, config, Slow(), mask)


gemmap.api.run.reconstruct_halves = slow
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_keeps_what_is_there_and_says_so(simulated: Path, tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", SCRIPT, "reconstruct", simulated / "particles.star", "-o", tmp_path / "run"]
    search = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": search, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    assert process.stdout is not None
    while process.stdout.readline().strip() != "stored half1":
        assert process.poll() is None, process.communicate()[1]
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert re.fullmatch(
        r"Interrupted after \S+ s; .*/run keeps run_half1_class001_unfil\.mrc, backprojection_half1\.mrc, "
        r"voxels_half1\.mrc, gaussians_half1\.safetensors, particles\.star; "
        r"gemmap reconstruct --resume /\S*/run goes on\.\n",
        err,
    )
    job = json.loads((tmp_path / "run" / "job.json").read_text())
    assert job["status"] == "interrupted"
    assert job["stopped"] is not None
    assert "Interrupted" in (tmp_path / "run" / "run.log").read_text()
    read_map(tmp_path / "run" / "run_half1_class001_unfil.mrc")
    assert not [file for file in (tmp_path / "run").iterdir() if ".part" in file.name]
