"""The turns of a watch, in this process and with a fit that takes no time: what is taken, skipped, said and kept."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import mrcfile
import numpy as np
import pytest

from gemmap.api.options import ReconstructionOptions
from gemmap.api.sums import load_sums
from gemmap.api.watch import loop
from gemmap.api.watch.intake import NotSettledError, take
from gemmap.api.watch.known_images import KnownImages
from gemmap.api.watch.loop import Watch, WatchEnd
from gemmap.api.watch.options import WatchOptions
from gemmap.errors import BackendError, FormatError, InputError, OutputError
from gemmap.fit.progress import Silent
from gemmap.io.relion_write import write_star31
from gemmap.io.settling import Settling
from gemmap.particles import identity
from gemmap.particles.table import ParticleTable
from gemmap.simulate.config import SimulationConfig
from gemmap.simulate.particles import Simulation, simulate
from gemmap.simulate.structure import Atoms

N, BOX, PIXEL_A = 120, 32, 4.0


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    rng = np.random.default_rng(2)
    n = 200
    atoms = Atoms(rng.normal(0.0, 12.0, (n, 3)), np.full(n, 6), np.full(n, 20.0), np.ones(n))
    return simulate(atoms, SimulationConfig(box_px=BOX, pixel_size_a=PIXEL_A, n_particles=N, snr=0.5), workers=1)


@pytest.fixture
def write(simulation: Simulation, tmp_path: Path) -> Callable[..., Path]:
    """Write rows of the set as a particle file with a stack of its own."""
    folder = tmp_path / "in"
    folder.mkdir()

    def particles(name: str, rows: np.ndarray, halves: bool = True, change: Callable | None = None) -> Path:
        images = simulation.stack.read(rows)
        if change is not None:
            change(images)
        with mrcfile.new(folder / f"{name}.mrcs", overwrite=True) as stack:
            stack.set_data(images)
            stack.voxel_size = PIXEL_A
        table: ParticleTable = simulation.table.select(rows)
        half = 1 + rows % 2 if halves else np.zeros(len(rows), np.int64)
        table = replace(table, half=half, stacks=(f"{name}.mrcs",), index_in_stack=np.arange(len(rows)))
        write_star31(folder / f"{name}.star", table)
        return folder / f"{name}.star"

    return particles


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of particles that were fitted, by a fit that only counts them."""
    done: list[int] = []

    def count(_run: Path, sums: Path, *_: object) -> SimpleNamespace:
        done.append(load_sums(sums).n_particles)
        return SimpleNamespace(n_particles=done[-1], resolution="9 Å")

    monkeypatch.setattr(loop, "renew_results", count)
    return done


@pytest.fixture
def watch(tmp_path: Path, fits: list[int]) -> Callable[..., tuple[WatchEnd, list[str]]]:
    def once(**options: object) -> tuple[WatchEnd, list[str]]:
        said: list[str] = []
        watched = {name: options.pop(name) for name in ("pattern", "until", "idle_s") if name in options}
        ends = watched if {"until", "idle_s"} & set(watched) else {**watched, "once": True}
        where = WatchOptions(tmp_path / "in", tmp_path / "run", settle_s=0.02, every_s=0.0, **ends)
        how = ReconstructionOptions(tmp_path / "in", **{"threads": 1, "device": "cpu", **options})
        return Watch(where, how, Silent(), said.append).run(), [line.split("  ", 1)[1] for line in said]

    return once


def sums_of(tmp_path: Path):
    return load_sums(tmp_path / "run" / "sums" / "all.safetensors")


def test_files_are_taken_and_a_second_time_nothing_is(write, watch, fits, tmp_path):
    write("a", np.arange(50))
    write("b", np.arange(50, 90))
    end, said = watch()
    assert (end.n_particles, end.n_fitted, end.set_aside, end.waiting, fits) == (90, 90, {}, {}, [90])
    assert said[:2] == ["a.star: 50 new particles, 50 in all", "b.star: 40 new particles, 90 in all"]
    before = (tmp_path / "run" / "sums" / "all.safetensors").stat().st_mtime_ns
    # Copied again: another time, the same content.
    (tmp_path / "in" / "a.star").touch()
    end, said = watch()
    assert end.n_particles == 90
    assert said[0] == "going on with 90 particles that were added before"
    assert not [line for line in said if "a.star" in line]
    assert (tmp_path / "run" / "sums" / "all.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("remember", [True, False])
def test_a_file_that_grows_gives_its_new_particles_only(write, watch, tmp_path, remember):
    """Whether or not the watch remembers which file was taken, and which image is which."""
    write("a", np.arange(50))
    watch()
    if not remember:
        (tmp_path / "run" / "watch.json").unlink()
        (tmp_path / "run" / "sums" / "known_images.safetensors").unlink()
    write("a", np.arange(100))
    # Under another name, from another stack, and dark.
    write("z", np.arange(20, 100), change=lambda images: np.negative(images, out=images))
    end, said = watch()
    assert end.n_particles == 100
    assert "a.star: 50 new particles, 100 in all" in said
    assert "z.star: 0 new particles, 100 in all" in said
    assert len(np.unique(sums_of(tmp_path).members.ids)) == 100


def test_known_images_are_not_read_again(write, watch, tmp_path, monkeypatch):
    write("a", np.arange(50))
    watch()
    write("b", np.arange(50, 90))
    read, own = [], identity.image_ids

    def counting(images: np.ndarray) -> np.ndarray:
        read.append(len(images))
        return own(images)

    monkeypatch.setattr(identity, "image_ids", counting)
    # Both parts, each in its stack as it was.
    text = (tmp_path / "in" / "a.star").read_text()
    rows = [line for line in (tmp_path / "in" / "b.star").read_text().splitlines() if "@b.mrcs" in line]
    (tmp_path / "in" / "b.star").write_text(text.rstrip() + "\n" + "\n".join(rows) + "\n")
    end, said = watch()
    assert end.n_particles == 90
    assert "b.star: 40 new particles, 90 in all" in said
    assert max(read) <= 40


def test_half_sets_depend_on_the_image_alone(write, watch, tmp_path):
    """In whichever order, file or turn: the same image is in the same half."""
    found = []
    shuffled = np.random.default_rng(0).permutation(N)
    for files in (
        {"a": np.arange(70), "b": np.arange(70, N)},
        {"c": shuffled[:50], "d": shuffled[50:]},
        {"e": shuffled},
    ):
        for name, rows in files.items():
            write(name, rows, halves=False)
            watch()
        members = sums_of(tmp_path).members
        found.append(dict(zip(members.ids.tolist(), members.half.tolist(), strict=True)))
        shutil.rmtree(tmp_path / "run")
        for file in (tmp_path / "in").iterdir():
            file.unlink()
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == N
    assert 40 < sum(half == 1 for half in found[0].values()) < 80


def test_half_sets_of_the_file_stay(write, watch, tmp_path, simulation):
    write("a", np.arange(60))
    watch()
    np.testing.assert_array_equal(sums_of(tmp_path).members.half, 1 + np.arange(60) % 2)


def test_bad_files_are_set_aside_by_name_and_others_taken(write, watch, tmp_path):
    folder = tmp_path / "in"
    write("a", np.arange(50))
    (folder / "bad.star").write_text("nonsense\n")
    cut = write("cut", np.arange(50, 80)).with_suffix(".mrcs")
    cut.write_bytes(cut.read_bytes()[:-1000])
    other = write("other", np.arange(50, 80))
    other.write_text(other.read_text().replace(f" {PIXEL_A:g} ", " 4.5 ", 1))
    write(".hidden", np.arange(80, N))
    end, said = watch()
    assert end.n_particles == 50
    assert set(end.set_aside) == {"bad.star", "cut.star", "other.star"}
    assert "The sums so far has a pixel size 4 Å" in end.set_aside["other.star"]
    assert sum("bad.star is set aside" in line for line in said) == 1
    # Put right, they are taken.
    write("cut", np.arange(50, 80))
    (folder / "bad.star").unlink()
    other.unlink()
    end, _ = watch()
    assert (end.n_particles, end.set_aside) == (80, {})


def test_an_error_of_ours_ends_no_watch_and_is_in_the_log(write, watch, tmp_path, monkeypatch):
    write("a", np.arange(50))
    write("b", np.arange(50, 90))
    own = loop.take

    def broken(options: ReconstructionOptions, *others: object):
        if options.particles.name == "a.star":
            raise RuntimeError("a bug")
        return own(options, *others)

    monkeypatch.setattr(loop, "take", broken)
    end, _ = watch()
    assert (end.n_particles, end.set_aside) == (40, {"a.star": "a bug"})
    assert "Traceback" in (tmp_path / "run" / "watch.log").read_text()


def test_a_stack_has_to_settle_and_to_stay_so_while_it_is_read(write, tmp_path):
    """Its size may be right from the beginning, and its pixels come later."""
    star, now = write("a", np.arange(50)), [0.0]
    stack = star.with_suffix(".mrcs")
    settling, nobody = Settling(1.0, lambda: now[0]), np.zeros(0, np.int64)

    class Disturbing(Silent):
        def start(self, stage: str, total: int, unit: str) -> None:
            if stage == "reading and inserting particles of half 2":
                os.utime(stack, ns=(now_ns, now_ns))

    def taken(progress: Silent):
        options = ReconstructionOptions(star, threads=1, device="cpu")
        return take(options, settling, KnownImages(), nobody, progress)

    with pytest.raises(NotSettledError):
        taken(Silent())
    os.utime(stack, ns=(1, 1))
    now[0] += 1.0
    with pytest.raises(NotSettledError):
        taken(Silent())
    now[0] += 1.0
    now_ns = 2
    with pytest.raises(NotSettledError):
        taken(Disturbing())
    assert settling.settled(stack) is None
    now[0] += 1.0
    assert taken(Silent()).sums.n_particles == 50


def test_too_few_new_particles_wait_for_more(write, watch, tmp_path):
    write("a", np.arange(50))
    watch()
    write("a", np.arange(60))
    end, _ = watch()
    assert (end.n_particles, end.waiting) == (50, {"a.star": 10})
    write("a", np.arange(70))
    end, _ = watch()
    assert (end.n_particles, end.waiting) == (70, {})


def test_dead_images_are_left_out_and_many_are_a_bad_file(write, watch):
    def kill(n: int) -> Callable:
        return lambda images: images[:n].fill(0.0)

    write("a", np.arange(50), change=kill(2))
    write("b", np.arange(50, 90), change=kill(5))
    end, said = watch()
    assert end.n_particles == 48
    assert said[0] == "a.star: 48 new particles, 48 in all, 2 dead images left out"
    assert "at most 10 % can be left out" in end.set_aside["b.star"]


def test_a_fit_that_fails_ends_no_watch_but_the_last_one_is_told(write, watch, fits, tmp_path, monkeypatch):
    write("a", np.arange(50))
    calls = []

    def fails(*_: object):
        calls.append(1)
        if len(calls) == 1:
            write("b", np.arange(50, 90))
        raise OutputError("The disk is full.")

    monkeypatch.setattr(loop, "renew_results", fails)
    with pytest.raises(OutputError, match="The disk is full"):
        watch(until=90)
    assert "the fit failed, earlier results stay: The disk is full" in (tmp_path / "run" / "watch.log").read_text()
    assert sums_of(tmp_path).n_particles == 90


def test_a_stop_keeps_what_was_added_in_the_same_turn(write, watch, tmp_path, monkeypatch):
    write("a", np.arange(50))
    write("b", np.arange(50, 90))
    own, tries = loop.take, []

    def stopped(options: ReconstructionOptions, *others: object):
        if options.particles.name == "b.star":
            tries.append(1)
            # The first turn waits for the stacks.
            if len(tries) == 2:
                raise KeyboardInterrupt
        return own(options, *others)

    monkeypatch.setattr(loop, "take", stopped)
    with pytest.raises(
        KeyboardInterrupt, match=r"Stopped; .* keeps 50 particles, none were fitted yet this time: the same"
    ):
        watch()
    assert sums_of(tmp_path).n_particles == 50


def test_it_ends_when_nothing_new_comes(write, watch):
    write("a", np.arange(50))
    end, _ = watch(idle_s=0.1)
    assert (end.n_particles, end.n_fitted) == (50, 50)


@pytest.mark.parametrize("pattern", ["*.star", "**/*.star"])
def test_nothing_there_and_folders_below(write, watch, tmp_path, pattern):
    end, said = watch(pattern=pattern)
    assert (end.n_particles, said) == (0, [])
    write("a", np.arange(50))
    (tmp_path / "in" / "job1").mkdir()
    for name in ("a.star", "a.mrcs"):
        (tmp_path / "in" / name).rename(tmp_path / "in" / "job1" / name)
    assert watch(pattern=pattern)[0].n_particles == (50 if "**" in pattern else 0)


def test_what_cannot_be_watched_is_refused(write, watch, tmp_path):
    write("a", np.arange(50))
    with pytest.raises(BackendError, match="no GPU"):
        watch(device="cuda")
    run = tmp_path / "run"
    run.mkdir()
    (run / "job.json").write_text("{}")
    with pytest.raises(InputError, match=r"run exists and is not of gemmap watch \(watch.lock is not there\)"):
        watch()
    (run / "job.json").unlink()
    watch()
    with pytest.raises(InputError, match="were added with normalise False, and now it is True"):
        watch(normalise=True)
    sums = run / "sums" / "all.safetensors"
    sums.write_bytes(sums.read_bytes()[:-100])
    with pytest.raises(FormatError, match="damaged"):
        watch()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"folder": Path("absent")}, "absent is no folder"),
        ({"pattern": ""}, "The pattern is ''"),
        ({"pattern": "/data/*.star"}, "expected one of names in the folder"),
        ({"every_s": -1.0}, "--every is -1 s; expected 0 or more"),
        ({"settle_s": 0.0}, "--settle is 0 s; expected more than 0"),
        ({"idle_s": float("nan")}, "--idle-timeout is nan s"),
        ({"until": 0}, "--until is 0 particles"),
    ],
)
def test_options_that_make_no_sense(tmp_path, options, sentence):
    with pytest.raises(InputError, match=sentence):
        WatchOptions(**{"folder": tmp_path, "run": tmp_path / "run", **options})
