"""A run that ends at any save and is taken up again gives the same bits as one that was left alone."""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from fit_cases import PIXEL_SIZE_A, particles, phantom

from gemmap.errors import OutputError
from gemmap.fit import one_pass
from gemmap.fit.aggregate import Aggregate
from gemmap.fit.config import FitConfig
from gemmap.fit.half_maps import reconstruct_halves
from gemmap.fit.keeper import Forgetful, Piece, RunState
from gemmap.fit.progress import Silent
from gemmap.fit.records import FitResult, Reconstruction
from gemmap.fit.schedule import Schedule
from gemmap.particles.stack import ArrayStack

BOX, N = 24, 300
TABLE, IMAGES = particles(phantom(6, 40), N, BOX, noise=4.0)
CONFIG = FitConfig(particle_diameter_a=17 * PIXEL_SIZE_A, max_steps=3, n_gaussians=150)
#: Chunks of each half's pass.
CHUNKS = 3


class Killed(Exception):
    """The process is gone."""


class InMemory:
    """Keeps copies; dies after so many saves."""

    def __init__(self, lives: float = np.inf) -> None:
        self.kept: dict[str, Piece] = {}
        self.lives = lives
        self.saves: list[set[str]] = []

    def due(self) -> bool:
        return True

    def names(self) -> Collection[str]:
        return set(self.kept)

    def load(self, name: str) -> Piece:
        return copied(self.kept[name])

    def keep(self, names: Collection[str], new: Mapping[str, Piece]) -> None:
        assert set(new) <= set(names) <= set(new) | set(self.kept)
        self.kept = {name: copied(new[name]) if name in new else self.kept[name] for name in names}
        self.saves.append(set(names))
        self.lives -= 1
        if self.lives <= 0:
            raise Killed


def copied(piece: Piece) -> Piece:
    tensors, values = piece
    return {name: t.clone() for name, t in tensors.items()}, json.loads(json.dumps(values, allow_nan=False))


class CountingStack(ArrayStack):
    """Counts the images read."""

    def __init__(self, images: np.ndarray) -> None:
        super().__init__(images)
        self.n_read = 0

    def read(self, rows: np.ndarray) -> np.ndarray:
        self.n_read += len(rows)
        return super().read(rows)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    largest_half = max((TABLE.half == half).sum() for half in (1, 2))
    monkeypatch.setattr(one_pass, "CHUNK_BYTES", 4 * BOX**2 * int(np.ceil(largest_half / CHUNKS)))


def run(keeper: object, progress: object = None, config: FitConfig = CONFIG) -> tuple[Reconstruction, int]:
    stack = CountingStack(IMAGES)
    return reconstruct_halves(TABLE, stack, config, progress or Silent(), keeper=keeper), stack.n_read


def bits(result: Reconstruction) -> dict[str, bytes | object]:
    found: dict[str, object] = {}
    for name in ("half1", "half2", "full"):
        fit: FitResult = getattr(result, name)
        for part in ("map", "backprojection", "voxels"):
            found[f"{name}.{part}"] = getattr(fit, part).tobytes()
        for part in ("centres_a", "scales_a", "quaternions", "masses"):
            found[f"{name}.{part}"] = getattr(fit.gaussians, part).numpy().tobytes()
        found[name] = (
            fit.seed,
            fit.n_particles,
            fit.stopped_because,
            fit.details,
            [(s.step, s.loss) for s in fit.steps],
        )
    return found | {"details": result.details, "noise": {n: s.tobytes() for n, s in result.noise_spectra.items()}}


@pytest.fixture(scope="module")
def whole() -> dict[str, object]:
    return bits(reconstruct_halves(TABLE, ArrayStack(IMAGES), CONFIG, Silent()))


def test_keeping_changes_nothing_and_what_is_kept_is_needed(whole: dict[str, object]) -> None:
    keeper = InMemory()
    assert bits(run(keeper)[0]) == whole
    passed = lambda half: {f"half{half}_pass{i}" for i in range(3)}  # noqa: E731
    sets = lambda half: {f"half{half}_set{i}" for i in range(3)}  # noqa: E731
    tried = {"half1_choice", "half1_part0"}
    half1 = tried | {"half1_fit", "half1_gaussian_map"}
    both = half1 | {"half2_choice", "half2_part0", "half2_part1"}
    fits = {"half1_choice", "half1_fit", "half2_choice", "half2_fit", "full_fit"}
    assert [names - {"seconds"} for names in keeper.saves] == [
        *[passed(1)] * (CHUNKS - 1), sets(1), tried, half1,
        *[half1 | passed(2)] * (CHUNKS - 1), half1 | sets(2), both, both | {"half2_fit"},
        fits,
    ]  # fmt: skip


@pytest.mark.parametrize("at", range(1, 2 * (CHUNKS + 2) + 2))
def test_killed_at_a_save_and_resumed(whole: dict[str, object], at: int) -> None:
    keeper = InMemory(lives=at)
    with pytest.raises(Killed):
        run(keeper)
    keeper.lives = np.inf
    again, n_read = run(keeper)
    assert bits(again) == whole
    # Images that were inserted are not read again, except for the noise spectra (all of them, here).
    per_half = CHUNKS + 2
    done = {half: min(max(at - (half - 1) * per_half, 0), CHUNKS) for half in (1, 2)}
    sizes = {half: int((TABLE.half == half).sum()) for half in (1, 2)}
    chunk = one_pass.CHUNK_BYTES // (4 * BOX**2)
    assert n_read - N == sum(max(sizes[half] - done[half] * chunk, 0) for half in (1, 2))
    assert again.seconds["aggregate"] > 0
    assert again.images_per_second < 1e6


def test_killed_at_every_save_in_turn(whole: dict[str, object]) -> None:
    """One step forward in every process."""
    keeper = InMemory(lives=1)
    for _ in range(2 * (CHUNKS + 2) + 1):
        with pytest.raises(Killed):
            run(keeper)
        keeper.lives = 1
    assert bits(run(keeper)[0]) == whole


#: Going through the images; the number of Gaussians grows on the way.
IMAGES_ENGINE = replace(CONFIG, schedule=Schedule(epochs=2, batch_size=40, start="random"))


@pytest.fixture(scope="module")
def whole_by_images() -> dict[str, object]:
    return bits(reconstruct_halves(TABLE, ArrayStack(IMAGES), IMAGES_ENGINE, Silent()))


def test_the_images_engine_keeps_where_its_training_is(whole_by_images: dict[str, object]) -> None:
    keeper = InMemory()
    assert bits(run(keeper, config=IMAGES_ENGINE)[0]) == whole_by_images
    trainings = [name for names in keeper.saves for name in names if name.endswith("training")]
    # A state after each batch: four in both epochs of a half, eight of all particles in windows of two.
    assert [trainings.count(f"fit {name} training") for name in ("half1", "half2", "full")] == [8, 8, 8]
    assert not any("training" in name for name in keeper.kept)


def test_a_training_killed_at_every_save_in_turn(whole_by_images: dict[str, object]) -> None:
    keeper, listener = InMemory(lives=1), Listener()
    n_processes = 0
    while True:
        keeper.lives = 1
        n_processes += 1
        try:
            again = run(keeper, listener, IMAGES_ENGINE)[0]
        except Killed:
            continue
        break
    assert bits(again) == whole_by_images
    assert n_processes == 2 * (CHUNKS + 2) + 1 + 24 + 1
    assert "fit half2: 3 batches were done before" in listener.heard


class Listener(Silent):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def note(self, text: str) -> None:
        self.heard.append(text)

    def aggregate(self, name: str, aggregate: Aggregate) -> None:
        self.heard.append(f"aggregate {name} {aggregate.n_particles}")

    def result(self, name: str, result: FitResult) -> None:
        self.heard.append(f"result {name}")


def test_results_are_told_again_so_that_none_is_missing() -> None:
    keeper, listener = InMemory(lives=CHUNKS + 2), Listener()
    with pytest.raises(Killed):
        run(keeper)
    keeper.lives = np.inf
    run(keeper, listener)
    n2 = int((TABLE.half == 2).sum())
    assert listener.heard == ["result half1", f"aggregate half2 {n2}", "result half2", "result full"]


def test_a_pass_that_goes_on_says_so() -> None:
    keeper, listener = InMemory(lives=1), Listener()
    with pytest.raises(Killed):
        run(keeper)
    keeper.lives = np.inf
    run(keeper, listener)
    chunk = one_pass.CHUNK_BYTES // (4 * BOX**2)
    assert listener.heard[0] == f"half 1: {chunk} of {(TABLE.half == 1).sum()} particles were inserted before"


class Full(InMemory):
    """A disk that has room again after a while."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    def keep(self, names: Collection[str], new: Mapping[str, Piece]) -> None:
        self.failures -= 1
        if self.failures >= 0:
            raise OutputError("Cannot write it: No space left on device.")
        super().keep(names, new)


@pytest.mark.parametrize("failures", [1, 4, 99])
def test_a_full_disk_ends_no_run(whole: dict[str, object], failures: int) -> None:
    keeper, listener = Full(failures), Listener()
    assert bits(run(keeper, listener)[0]) == whole
    notes = [text for text in listener.heard if text.startswith("no checkpoint was written, the run goes on: Cannot")]
    assert len(notes) == min(failures, 2 * (CHUNKS + 2) + 1)
    # What could not be kept is kept with the next.
    if failures < 99:
        assert bits(run(keeper)[0]) == whole


def test_the_forgetful_keeper() -> None:
    keeper = Forgetful()
    state = RunState(keeper, Silent())
    state.hold(a=({"x": torch.ones(2)}, {}))
    state.save("stage")
    assert (state.recall("a"), list(keeper.names()), keeper.due()) == (None, [], False)
    assert state.seconds["stage"] >= 0
    with pytest.raises(KeyError):
        keeper.load("a")


class NotDue(InMemory):
    def due(self) -> bool:
        return self.lives < 0


def test_state() -> None:
    keeper = NotDue()
    state = RunState(keeper, Silent())
    one, two = ({"x": torch.ones(2)}, {"n": 1}), ({"x": torch.zeros(2)}, {"n": 2})
    state.hold(a=one, b=one)
    state.save("first")
    assert not keeper.saves
    keeper.due = lambda: True
    state.drop("b", "never held")
    state.save("first")
    assert keeper.saves == [{"a", "seconds"}]
    state.save("second")
    assert len(keeper.saves) == 1, "nothing new to keep"
    state.hold(a=two)
    state.save("second")
    later = RunState(keeper, Silent())
    assert later.recall("a")[1] == {"n": 2}
    assert later.recall("b") is None
    assert set(later.seconds) == {"first", "second"}
    later.lap("second")
    assert later.seconds["second"] > state.seconds["second"]
