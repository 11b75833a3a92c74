"""``gemmap watch`` as a process: files that are being written, stops of all kinds, and what is there in the end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from gemmap.api.options import ReconstructionOptions
from gemmap.api.plan import plan_reconstruction
from gemmap.api.sums import aggregate, load_sums, save_sums
from gemmap.api.sums import merge as add
from gemmap.fit.kept_sums import KeptSums

#: Rows of the set in each file; the second is what the first grows by.
PARTS = {"a": slice(0, 80), "b": slice(80, 130), "c": slice(130, 200)}
OPTIONS = ("--settle", "0.2", "--every", "0", "--max-steps", "1", "--threads", "1", "--no-local-resolution")
PATIENCE_S = 120.0


class Pipeline:
    """Writes the particles of a simulated set as others would, each part with a stack of its own."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.folder, text = folder, (source / "particles.star").read_text().splitlines()
        self._rows = [line for line in text if "@particles.mrcs" in line]
        self._head = [line for line in text if "@particles.mrcs" not in line and line]
        self._images = mrcfile.read(source / "particles.mrcs")
        folder.mkdir(exist_ok=True)

    def stack(self, name: str) -> bytes:
        """The bytes of a stack."""
        path = self.folder / f".{name}.mrcs"
        with mrcfile.new(path) as stack:
            stack.set_data(self._images[PARTS[name]])
            stack.set_image_stack()
            stack.voxel_size = 6.0
        content = path.read_bytes()
        path.unlink()
        return content

    def star(self, *names: str) -> str:
        """A particle file of some parts."""
        lines = [
            f"{number:06d}@{name}.mrcs {row.split(maxsplit=1)[1]}"
            for name in names
            for number, row in enumerate(self._rows[PARTS[name]], start=1)
        ]
        return "\n".join([*self._head, *lines]) + "\n"


class Running:
    """A watch in a process of its own."""

    def __init__(self, folder: Path, run: Path, *options: str) -> None:
        command = [sys.executable, "-m", "gemmap", "watch", folder, "-o", run, *OPTIONS, *options]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.run = run
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )

    def wait_for(self, happened: Callable[[], bool]) -> None:
        started = time.monotonic()
        while not happened():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() - started < PATIENCE_S, (self.run / "watch.log").read_text()
            time.sleep(0.05)

    def said(self, text: str) -> bool:
        log = self.run / "watch.log"
        return log.exists() and text in log.read_text()

    def stop(self, number: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, err


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def new(*arguments: object) -> Running:
        running.append(Running(*arguments))
        return running[-1]

    yield new
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def totals(sums: KeptSums, half: int) -> np.ndarray:
    total = sums.splits[half].total()
    return np.concatenate([total.numerator.ravel(), total.weight.ravel()])


@pytest.mark.slow
def test_a_set_that_comes_in_parts_with_stops_of_all_kinds(simulated: Path, tmp_path: Path, start) -> None:
    folder, run = tmp_path / "in", tmp_path / "run"
    pipeline = Pipeline(simulated, folder)
    a_stack = pipeline.stack("a")

    first = start(folder, run)
    (folder / "a.star").write_text(pipeline.star("a"))
    (folder / "a.mrcs").write_bytes(a_stack[: len(a_stack) // 2])
    first.wait_for(lambda: first.said("a.star is set aside"))
    (folder / "a.mrcs").write_bytes(a_stack)
    first.wait_for(lambda: first.said("a.star: 80 new particles, 80 in all"))
    first.wait_for(lambda: first.said("80 particles fitted"))
    refused = Running(folder, run)
    _, err = refused.process.communicate(timeout=PATIENCE_S)
    assert refused.process.returncode == 2
    assert f"Process {first.process.pid} on " in err
    assert "is watching into" in err
    code, err = first.stop(signal.SIGINT)
    assert code == 130
    assert "all.safetensors keeps 80 particles, the results are of 80 of them: the same command goes on." in err

    second = start(folder, run)
    second.wait_for(lambda: second.said("going on with 80 particles"))
    (folder / "b.mrcs").write_bytes(pipeline.stack("b"))
    (folder / "a.star").write_text(pipeline.star("a", "b"))
    second.wait_for(lambda: second.said("a.star: 50 new particles, 130 in all"))
    second.wait_for(lambda: "a.star" in (state := json.loads((run / "watch.json").read_text()))["files"]
                    and state["files"]["a.star"]["n_particles"] == 130)  # fmt: skip
    # While it fits.
    assert second.stop(signal.SIGKILL)[0] == -signal.SIGKILL
    assert mrcfile.read(run / "run_class001.mrc").any()

    third = start(folder, run, "--until", "200")
    third.wait_for(lambda: third.said("going on with 130 particles"))
    (folder / "c.mrcs").write_bytes(pipeline.stack("c"))
    (folder / "c.star").write_text(pipeline.star("c"))
    out, err = third.process.communicate(timeout=PATIENCE_S)
    assert third.process.returncode == 0, err
    assert out.rstrip().endswith("200 particles, all of them fitted")

    sums = load_sums(run / "sums" / "all.safetensors")
    separate = []
    for name in PARTS:
        (folder / f"only_{name}.star").write_text(pipeline.star(name))
        separate.append(aggregated(folder / f"only_{name}.star", tmp_path / f"{name}.safetensors"))
    expected = add(separate)
    np.testing.assert_array_equal(sums.members.ids, expected.members.ids)
    np.testing.assert_array_equal(sums.members.half, expected.members.half)
    whole = load_sums(aggregated(simulated / "particles.star", tmp_path / "whole.safetensors"))
    np.testing.assert_array_equal(np.sort(sums.members.ids), np.sort(whole.members.ids))
    for half in (1, 2):
        np.testing.assert_array_equal(totals(sums, half), totals(expected, half))
        # Of one pass over all of them they differ by the noise, which each part measures on its own images.
        one, other = totals(sums, half), totals(whole, half)
        assert np.linalg.norm(one - other) < 0.1 * np.linalg.norm(other)
    job = json.loads((run / "job.json").read_text())
    assert (job["status"], job["results"]["n_particles"]) == ("finished", 200)
    rows = (run / "history.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows] == ["n_particles", "80", "130", "200"] or len(rows) > 3
    assert "plot-growth" in (run / "report.html").read_text()
    assert not (run / "next").exists()


def aggregated(star: Path, path: Path) -> Path:
    save_sums(path, aggregate(plan_reconstruction(ReconstructionOptions(star, threads=1))))
    return path
