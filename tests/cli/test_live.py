"""``reconstruct --live``: a client sees the run advance, the maps are the same to the bit, and errors are sentences."""

import http.client
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import fake_fit
import pytest
import yaml

OPTIONS = ("--max-steps", 24, "--n-gaussians", 800, "--particle-diameter", 170, "--threads", 1)
URL = re.compile(r"^Watch the run: (http://127\.0\.0\.1:(\d+)/\?token=([\w-]{32}))$", re.MULTILINE)
#: Slices may be taken at every step.
SCRIPT = """
import gemmap.report.live.progress as live
from gemmap.cli.main import main

live.INTERVAL_S, live.MOST_OF_TIME = 0.0, 1e9
main()
"""


class Run:
    """A command in a process of its own, and the address that it printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.out = ""
        assert process.stdout is not None
        while (found := URL.search(self.out)) is None:
            line = process.stdout.readline()
            assert line, (self.out, process.communicate()[1])
            self.out += line
        self.url, self.port, self.token = found[1], int(found[2]), found[3]

    def ask(self, page: str, query: str = "") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", f"/{page}?token={self.token}{query}")
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def watch(self, until: str) -> list[dict]:
        """States of the run, and slices with them, until it has a status or a stage."""
        states = []
        while True:
            state = json.loads(self.ask("state.json", "&looks=1")[1])
            if not states or state["slices"] != states[-1]["slices"]:
                state["pictures"] = json.loads(self.ask("slices.json")[1])["pictures"]
            states.append(state)
            if until in (state["status"], state["stage"]):
                return states
            time.sleep(0.02)

    def end(self) -> tuple[int, str]:
        out, err = self.process.communicate(timeout=60)
        self.out += out
        return self.process.returncode, err


@contextmanager
def started(*arguments: object, script: str = SCRIPT) -> Iterator[Run]:
    search = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, "-c", script, "reconstruct", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": search, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    try:
        yield Run(process)
    finally:
        process.kill()
        process.communicate()


def test_a_watched_run_is_the_same_run(
    gemmap: Callable, simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_fit.draw_nothing(monkeypatch, page=True)
    outcome = gemmap("reconstruct", simulated / "particles.star", "-o", tmp_path / "alone", *OPTIONS)
    assert outcome.code == 0, outcome.err
    with started(simulated / "particles.star", "-o", tmp_path / "run", *OPTIONS, "--live") as run:
        states = run.watch("finished")
        status, report = run.ask("report")
        code, err = run.end()
    assert (code, err) == (0, "")
    assert status == 200
    assert report == (tmp_path / "run" / "report.html").read_bytes()
    # It went on, and slices of every fit appeared, each more than once.
    assert len({state["stage"] for state in states}) >= 4
    assert states[0]["status"] == "running"
    captions = {(p["title"], p["text"]) for state in states for p in state.get("pictures", ())}
    for title in ("Half 1", "Half 2", "All particles"):
        assert len({text for of, text in captions if of == title}) >= 2, captions
    for name, n in (("loss", 5), ("score", 2), ("gaussians", 5)):
        points = [[len(series["x"]) for series in state["plots"][f"plot-{name}"]] for state in states]
        for before, after in itertools.pairwise(points):
            assert all(a <= b for a, b in zip(before, after, strict=True))
        assert len(points[-1]) == n
        assert min(points[-1]) >= 2
    # Looking changed nothing.
    names = sorted(f.name for f in (tmp_path / "alone").iterdir() if f.suffix in (".mrc", ".safetensors", ".csv"))
    assert len(names) > 15
    for name in names:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes(), name
    # How a run is watched is no option of it, and its token is nowhere.
    configs = [yaml.safe_load((tmp_path / of / "config.yaml").read_text()) for of in ("run", "alone")]
    assert configs[0] == configs[1]
    for file in (tmp_path / "run").glob("*.*"):
        assert run.token.encode() not in file.read_bytes(), file


def test_a_resumed_run_can_be_watched(
    gemmap: Callable, particles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gemmap.fit.half_maps._fit_all", stop)
        outcome = gemmap("reconstruct", particles, "-o", tmp_path / "run", *OPTIONS, "--checkpoint-interval", 0)
    assert outcome.code == 130
    with started("--resume", tmp_path / "run", "--live") as run:
        states = run.watch("finished")
        assert run.ask("report")[0] == 200
        assert run.end() == (0, "")
    titles = [p["title"] for state in states for p in state.get("pictures", ())]
    assert {"Half 1", "Half 2", "All particles"} <= set(titles)
    # The halves were fitted by the process before: their curves come with their results.
    assert [len(series["x"]) > 1 for series in states[-1]["plots"]["plot-loss"]] == [True, True, True, False, False]


SLOW = """
import time
import fake_fit
import gemmap.api.run
from gemmap.cli.main import main

fake_fit.draw_nothing(__import__("pytest").MonkeyPatch())


def slow(table, stack, config, progress, mask=None, keeper=None):
    progress.start("waiting", 10, "years")
    time.sleep({seconds})
    progress.finish()
    if {seconds} == 0.5:
        raise gemmap.api.run.OutputError("The disk is full; free space.")
    return fake_fit.reconstruct_quickly(table, stack, config, progress, mask)


gemmap.api.run.reconstruct_halves = slow
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_the_page_too(simulated: Path, tmp_path: Path, number: signal.Signals) -> None:
    script = SLOW.format(seconds=120)
    with started(simulated / "particles.star", "-o", tmp_path / "run", "--live", script=script) as run:
        run.watch("waiting")
        run.process.send_signal(number)
        before = time.monotonic()
        code, err = run.end()
    assert code == 130
    assert re.fullmatch(r"Interrupted after .*; gemmap reconstruct --resume \S*/run goes on\.\n", err)
    assert time.monotonic() - before < 10
    with pytest.raises(ConnectionRefusedError):
        run.ask("state.json")


def test_a_run_that_fails_says_so_on_the_page(simulated: Path, tmp_path: Path) -> None:
    arguments = (simulated / "particles.star", "-o", tmp_path / "run", "--live", "--live-stay", "-q")
    with started(*arguments, script=SLOW.format(seconds=0.5)) as run:
        states = run.watch("failed")
        assert run.end() == (2, "Error: The disk is full; free space.\n")
    assert states[-1]["message"] == "The run failed: The disk is full; free space."


def test_a_page_that_stays(simulated: Path, tmp_path: Path) -> None:
    arguments = (simulated / "particles.star", "-o", tmp_path / "run", "--live", "--live-stay")
    with started(*arguments, script=SLOW.format(seconds=0)) as run:
        assert run.watch("finished")[-1]["stays"]
        for _ in range(2):
            time.sleep(0.2)
            assert run.ask("")[0] == 200
        assert run.process.poll() is None
        run.process.send_signal(signal.SIGINT)
        assert run.end() == (0, "")
    assert "The page, with the report, is served until Ctrl-C." in run.out
    assert json.loads((tmp_path / "run" / "job.json").read_text())["status"] == "finished"


def test_nobody_watches_and_nobody_waits(
    gemmap: Callable, quick_fit: list, simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gemmap.cli.live._FAREWELL_S", 1e6)
    outcome = gemmap("reconstruct", simulated / "particles.star", "-o", tmp_path / "run", "--live", "-q")
    assert outcome.code == 0, outcome.err
    assert URL.search(outcome.out)  # quiet, but without the address there is no page


def test_a_port_in_use_is_one_sentence(gemmap: Callable, quick_fit: list, simulated: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        arguments = (simulated / "particles.star", "-o", tmp_path / "run", "--live", "--live-port", port)
        outcome = gemmap("reconstruct", *arguments)
    assert outcome.code == 2
    assert outcome.err == (
        f"Error: Port {port} of 127.0.0.1 is in use; give another --live-port, or leave it out to take a free one.\n"
    )
    assert not (tmp_path / "run").exists()
    assert quick_fit == []
    outcome = gemmap("reconstruct", *arguments)
    assert outcome.code == 0, outcome.err
    assert f"http://127.0.0.1:{port}/?token=" in outcome.out


def test_other_machines_only_with_a_flag_and_a_word(
    gemmap: Callable, quick_fit: list, simulated: Path, tmp_path: Path
) -> None:
    outcome = gemmap(
        "reconstruct", simulated / "particles.star", "-o", tmp_path / "run", "--live", "--live-host", "0.0.0.0"
    )
    assert outcome.code == 0, outcome.err
    assert "Note: 0.0.0.0 is open to other machines; whoever has this address can watch." in outcome.out
    assert re.search(r"Watch the run: http://[\w.-]+:\d+/\?token=[\w-]{32}\n", outcome.out)


@pytest.mark.parametrize(("option", "value"), [("port", 8000), ("host", "0.0.0.0"), ("stay", None)])
def test_options_of_no_page(gemmap: Callable, simulated: Path, tmp_path: Path, option: str, value: object) -> None:
    words = [f"--live-{option}", *([] if value is None else [value])]
    outcome = gemmap("reconstruct", simulated / "particles.star", "-o", tmp_path / "run", *words)
    assert outcome.code == 2
    assert outcome.err == f"Error: --live-{option} was given without --live, which makes the page; add --live.\n"
    assert not (tmp_path / "run").exists()


def test_a_port_in_use_leaves_a_run_as_it_is(
    gemmap: Callable, particles: Path, tmp_path: Path, quick_fit: list
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gemmap.api.run.reconstruct_halves", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert gemmap("reconstruct", particles, "-o", tmp_path / "run").code == 130
    shutil.copytree(tmp_path / "run", tmp_path / "before")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        outcome = gemmap("reconstruct", "--resume", tmp_path / "run", "--live", "--live-port", port)
    assert outcome.code == 2
    assert "is in use" in outcome.err
    for file in (tmp_path / "before").iterdir():
        assert file.read_bytes() == (tmp_path / "run" / file.name).read_bytes(), file.name
