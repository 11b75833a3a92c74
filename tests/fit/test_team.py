"""Several processes do one reconstruction: each inserts its share, and the maps are those of one process."""

import multiprocessing
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gemmap.errors import BackendError
from gemmap.fit.config import FitConfig
from gemmap.fit.half_maps import reconstruct_halves, reconstruct_together
from gemmap.fit.progress import Silent
from gemmap.fit.records import Reconstruction
from gemmap.fit.schedule import Schedule
from gemmap.fit.team import Alone, Team, owner, share, share_begin
from gemmap.fit.torch_team import joined
from gemmap.io.checkpoint import Checkpoint
from gemmap.particles.stack import ArrayStack
from gemmap.particles.table import ParticleTable
from gemmap.simulate.config import SimulationConfig
from gemmap.simulate.particles import simulate
from gemmap.simulate.structure import Atoms

N, BOX = 70, 32
CONFIG = FitConfig(particle_diameter_a=80.0, max_steps=4)


def particles() -> tuple[ParticleTable, ArrayStack]:
    """The same particles in every process, one of them dead."""
    rng = np.random.default_rng(2)
    atoms = Atoms(rng.normal(0.0, 10.0, (200, 3)), np.full(200, 6), np.full(200, 20.0), np.ones(200))
    config = SimulationConfig(box_px=BOX, pixel_size_a=4.0, n_particles=N, snr=0.5, seed=3)
    simulation = simulate(atoms, config, workers=1)
    images = simulation.stack.read(np.arange(N))
    table = simulation.table.select(np.resize(np.arange(N), 2 * N))
    table = type(table)(**{**vars(table), "index_in_stack": np.arange(2 * N), "half": 1 + np.arange(2 * N) % 2})
    images = np.concatenate([images, images + rng.standard_normal(images.shape).astype(np.float32)])
    images[77] = 0.0
    return table, ArrayStack(images)


def together(
    work: Callable[[Team, Any], Any], size: int, argument: Any = None, survivors: int | None = None
) -> list[tuple[str, Any]]:
    """Run ``work`` in as many processes: what each that lives returned, or the sentence it ended with, by rank."""
    # A spawned process imports this module by its name.
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2])
        return _together(work, size, argument, survivors)


def _together(
    work: Callable[[Team, Any], Any], size: int, argument: Any, survivors: int | None
) -> list[tuple[str, Any]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [
        context.Process(target=_member, args=(rank, size, port, work, argument, results)) for rank in range(size)
    ]
    for process in processes:
        process.start()
    told = dict(results.get(timeout=120) for _ in range(survivors or size))
    for process in processes:
        process.join(timeout=60)
    return [told[rank] for rank in sorted(told)]


def _member(rank: int, size: int, port: int, work: Callable[[Team, Any], Any], argument: Any, results: Any) -> None:
    import os

    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    try:
        with joined() as team:
            results.put((rank, ("returned", work(team, argument))))
    except Exception as error:
        results.put((rank, ("failed" if isinstance(error, BackendError) else "broke", repr(error))))


def reconstruct(team: Team, folder: Path | None) -> dict[str, Any] | None:
    table, stack = particles()
    keeper = None if folder is None else Checkpoint(folder / f"rank{team.rank}", 1e9)
    return summary(reconstruct_together(table, stack, CONFIG, Silent(), team, keeper=keeper))


def summary(result: Reconstruction | None) -> dict[str, Any] | None:
    if result is None:
        return None
    fits = {"half1": result.half1, "half2": result.half2, "full": result.full}
    return {
        **{name: (fit.map, fit.backprojection, fit.n_particles) for name, fit in fits.items()},
        "dead": result.dead_rows.tolist(),
    }


def assert_alike(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found["dead"] == expected["dead"] == [77]
    for name in ("half1", "half2", "full"):
        assert found[name][2] == expected[name][2]
        for ours, theirs in zip(found[name][:2], expected[name][:2], strict=True):
            assert np.linalg.norm(ours - theirs) < 1e-5 * np.linalg.norm(theirs)


@pytest.fixture(scope="module")
def one_process() -> dict[str, Any]:
    found = summary(reconstruct_halves(*particles(), CONFIG, Silent()))
    assert found is not None
    return found


@pytest.mark.parametrize("size", [2, 4])
def test_maps_are_those_of_one_process(size, one_process):
    (first, found), *others = together(reconstruct, size)
    assert first == "returned", found
    assert_alike(found, one_process)
    assert others == [("returned", None)] * (size - 1)


def die_in_half_2(team: Team, folder: Path) -> dict[str, Any] | None:
    """The last process is killed once half 1 is inserted."""
    import os

    import gemmap.fit.source as source

    insert = source.aggregate_half

    def insert_or_die(*arguments: Any, **named: Any) -> Any:
        if team.rank == 1 and arguments[4] == 2:
            os._exit(9)
        return insert(*arguments, **named)

    source.aggregate_half = insert_or_die
    return reconstruct(team, folder)


def test_a_process_that_dies_ends_the_run_with_a_sentence_and_it_goes_on(tmp_path, one_process):
    ((kind, text),) = together(die_in_half_2, 2, tmp_path, survivors=1)
    assert kind == "failed"
    assert "Another process of this run ended" in text
    assert {path.name for path in tmp_path.iterdir()} == {"rank0", "rank1"}
    (first, found), second = together(reconstruct, 2, tmp_path)
    assert first == "returned", found
    assert_alike(found, one_process)
    assert second == ("returned", None)


def lose_the_other(team: Team, _: None) -> str | None:
    import os

    if team.rank == 1:
        os._exit(9)
    try:
        team.add_up(np.ones(3, np.float32))
    except BackendError as error:
        return str(error)
    return None


BY_IMAGES = replace(CONFIG, schedule=Schedule(epochs=2, batch_size=9))


def reconstruct_by_images(team: Team, symmetry: str) -> dict[str, Any] | None:
    config = replace(BY_IMAGES, symmetry=symmetry)
    return summary(reconstruct_together(*particles(), config, Silent(), team))


@pytest.mark.parametrize(("size", "symmetry"), [(2, "C1"), (4, "C1"), pytest.param(3, "C2", marks=pytest.mark.slow)])
def test_batches_are_shared_and_the_maps_are_those_of_one_process(size, symmetry):
    """Also where a crew's last batch has fewer particles than processes."""
    expected = reconstruct_by_images(Alone(), symmetry)
    assert expected is not None
    (first, found), *others = together(reconstruct_by_images, size, symmetry)
    assert first == "returned", found
    assert_alike(found, expected)
    assert others == [("returned", None)] * (size - 1)


def die_in_the_last_fit(team: Team, folder: Path) -> dict[str, Any] | None:
    """The second process has fitted its half, and is killed while it helps with the fit of all particles."""
    import os

    import gemmap.fit.batch_gradients as module

    gradient, batches_of_half = module.batch_gradient, BY_IMAGES.schedule.steps(N) if BY_IMAGES.schedule else 0
    calls = 0

    def compute_or_die(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if team.rank == 1 and calls == batches_of_half + 5:
            os._exit(9)
        return gradient(*arguments)

    module.batch_gradient = compute_or_die
    return go_on_by_images(team, folder)


def go_on_by_images(team: Team, folder: Path) -> dict[str, Any] | None:
    keeper = Checkpoint(folder / f"rank{team.rank}", 0.0)
    return summary(reconstruct_together(*particles(), BY_IMAGES, Silent(), team, keeper=keeper))


def test_a_helper_that_dies_ends_the_run_with_a_sentence_and_it_goes_on(tmp_path):
    ((kind, text),) = together(die_in_the_last_fit, 2, tmp_path, survivors=1)
    assert kind == "failed"
    assert "Another process of this run ended" in text
    assert any(name.startswith("fit full training") for name in Checkpoint(tmp_path / "rank0", 0.0).names())
    expected = reconstruct_by_images(Alone(), "C1")
    assert expected is not None
    (first, found), _ = together(go_on_by_images, 2, tmp_path)
    assert first == "returned", found
    assert_alike(found, expected)


def test_losing_a_process_is_a_sentence():
    ((kind, text),) = together(lose_the_other, 2, survivors=1)
    assert kind == "returned"
    assert text.startswith("Another process of this run ended or cannot be reached (")
    assert text.endswith("see what it said, and go on with --resume.")


def talk(team: Team, _: None) -> Any:
    array = np.arange(5, dtype=np.float32) * (team.rank + 1)
    team.add_up(array)
    everyone = team.gather(team.rank * 10)
    if team.rank == 1:
        tensors = {"a": torch.arange(6.0).reshape(2, 3), "none": torch.zeros(0, 2), "n": torch.tensor([2**40])}
        team.send((tensors, {"text": "x"}), 0)
        return array.tolist(), everyone
    tensors, values = team.receive(1)
    return array.tolist(), everyone, {name: tensor.tolist() for name, tensor in tensors.items()}, dict(values)


def test_processes_add_gather_and_send():
    first, second = together(talk, 2)
    expected = ([0.0, 3.0, 6.0, 9.0, 12.0], [0, 10])
    assert second == ("returned", expected)
    received = {"a": [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], "none": [], "n": [2**40]}
    assert first == ("returned", (*expected, received, {"text": "x"}))


class Third(Alone):
    rank, size = 2, 3


@pytest.mark.parametrize("size", [3, pytest.param(4, marks=pytest.mark.slow)])
def test_other_processes_have_other_shares(tmp_path, size, one_process):
    """What two processes kept of their shares is of no use to three: it is read again."""
    together(die_in_half_2, 2, tmp_path, survivors=1)
    (first, found), *_ = together(reconstruct, size, tmp_path)
    assert first == "returned", found
    assert_alike(found, one_process)


@pytest.mark.parametrize(("count", "size"), [(5, 3), (7, 1), (2, 4), (0, 2)])
def test_shares_begin_where_those_before_end(count, size):
    rows = np.arange(count) + 10
    for rank in range(size):
        team = Alone()
        team.rank, team.size = rank, size
        begin, mine = share_begin(count, team), share(rows, team)
        np.testing.assert_array_equal(mine, rows[begin : begin + len(mine)])


def test_shares_are_neighbours_and_all_there_is():
    rows = np.array([4, 7, 8, 9, 20])
    np.testing.assert_array_equal(share(rows, Alone()), rows)
    np.testing.assert_array_equal(share(rows, Third()), [20])
    assert len(share(rows[:1], Third())) == 0
    assert [owner(half, Third()) for half in (1, 2)] == [0, 1]
    assert [owner(half, Alone()) for half in (1, 2)] == [0, 0]


def test_one_process_is_alone():
    with joined({}) as team:
        assert (team.rank, team.size, team.gather("x")) == (0, 1, ["x"])
    with joined({"WORLD_SIZE": "1", "RANK": "0"}) as team:
        assert team.size == 1


def test_missing_variables_are_named():
    with (
        pytest.raises(BackendError, match="WORLD_SIZE is 2, but RANK, MASTER_PORT is not set; start"),
        joined({"WORLD_SIZE": "2", "MASTER_ADDR": "x"}),
    ):
        pass
