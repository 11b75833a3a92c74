"""Symmetric phantoms: n views of a particle are worth n particles, and a wrong symmetry shows."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fit_cases import PIXEL_SIZE_A, Phantom, correlation, particles, phantom, shell_correlation

from gemmap.fit import descent
from gemmap.fit.config import FitConfig
from gemmap.fit.copies import Copies
from gemmap.fit.diameter import estimate_diameter_px
from gemmap.fit.half_maps import reconstruct_halves
from gemmap.fit.image_batches import Particles
from gemmap.fit.init import VoxelStart
from gemmap.fit.keeper import Forgetful, RunState
from gemmap.fit.progress import Silent
from gemmap.fit.records import Reconstruction
from gemmap.fit.schedule import Schedule
from gemmap.fit.symmetry_check import check_symmetry
from gemmap.geometry.symmetry import point_group
from gemmap.kernels import ops
from gemmap.particles.dead_images import DeadImages
from gemmap.particles.stack import ArrayStack
from gemmap.particles.statements import flip_hand

BOX, N, NOISE = 32, 100, 8.0


def symmetric_phantom(name: str) -> Phantom:
    """About 60 round Gaussians, off the axes."""
    group = point_group(name)
    one = phantom(9.0, 60 // len(group))
    centres = np.einsum("gij,nj->gni", group.rotations, one.centres).reshape(-1, 3)
    return Phantom(centres, np.tile(one.masses, len(group)), one.sigma)


def run(
    density: Phantom, sym: str, n: int, schedule: Schedule | None = None, diameter_px: float = 24
) -> Reconstruction:
    table, images = particles(density, n, BOX, noise=NOISE)
    config = FitConfig(diameter_px * PIXEL_SIZE_A, max_steps=8, schedule=schedule, symmetry=sym)
    return reconstruct_halves(table, ArrayStack(images), config, Silent())


def quality(volume: np.ndarray, density: Phantom) -> float:
    return float(shell_correlation(volume, density.volume(BOX))[1:].mean())


@pytest.mark.parametrize("name", ["C3", "D2"])
def test_n_views_of_a_particle_are_worth_n_particles(name: str) -> None:
    density, order = symmetric_phantom(name), len(point_group(name))
    found, few, many = run(density, name, N), run(density, "C1", N), run(density, "C1", order * N)
    assert found.full.n_particles == N
    for kind, least in (("backprojection", 0.8), ("voxels", 0.65), ("map", 0.6)):
        got, worse, as_good = (quality(getattr(r.full, kind), density) for r in (found, few, many))
        # The map depends on how many steps the trials choose, too.
        assert got - worse > max(0.04, least * (as_good - worse)), kind
    assert len(found.full.gaussians) % order == 0


@pytest.mark.parametrize("name", ["D2", "O"])
def test_the_gaussians_of_the_file_are_the_map_and_symmetric(name: str) -> None:
    result = run(symmetric_phantom(name), name, 40).half1
    g = result.gaussians
    assert result.symmetry == name
    volume = ops.voxelize(g.centres_a / PIXEL_SIZE_A, g.scales_a / PIXEL_SIZE_A, g.quaternions, g.masses, 33)
    for rotated in (volume.flip(1, 2), volume.flip(0, 1)):  # by 180 degrees about x and z
        torch.testing.assert_close(rotated, volume, atol=1e-5 * float(volume.max()), rtol=0)
    # The rest is the residual.
    assert correlation(volume.numpy()[:32, :32, :32], result.map) > 0.9


@pytest.mark.parametrize("name", ["T", "I3"])
def test_the_other_hand_has_the_same_axes(name: str) -> None:
    """A mirror along one axis moves those of these groups; the inversion does not."""
    density = symmetric_phantom(name)
    table, images = particles(density, 40, BOX, noise=NOISE)
    config = FitConfig(24 * PIXEL_SIZE_A, max_steps=4, symmetry=name)
    flipped = reconstruct_halves(flip_hand(table), ArrayStack(images), config, Silent()).full
    plain = reconstruct_halves(table, ArrayStack(images), config, Silent()).full
    inside = (slice(1, None),) * 3
    inverted = plain.backprojection[inside][::-1, ::-1, ::-1]
    # Copies off the grid are interpolated, which is not exact; C1 is, in test_half_maps.
    np.testing.assert_allclose(flipped.backprojection[inside], inverted, atol=0.01 * np.abs(inverted).max())
    assert correlation(flipped.map[inside], plain.map[inside][::-1, ::-1, ::-1]) > 0.98
    assert correlation(flipped.map[1:], plain.map[1:][::-1]) < 0.9


def test_the_images_engine_shares_gaussians_too() -> None:
    density = symmetric_phantom("C3")
    schedule = Schedule(epochs=2, batch_size=10)
    found, few = run(density, "C3", N, schedule), run(density, "C1", N, schedule)
    assert quality(found.full.map, density) > quality(few.full.map, density) + 0.05
    g = found.full.gaussians
    unit = len(g) // 3
    turn = torch.from_numpy(point_group("C3").rotations).float()
    for copy in (1, 2):
        block = g.centres_a[copy * unit : (copy + 1) * unit]
        torch.testing.assert_close(block, g.centres_a[:unit] @ turn[copy].T, atol=1e-3, rtol=0)
    # Both engines pay the same for mass, although one counts every particle three times.
    aggregate = run(density, "C3", N)
    assert float(g.masses.sum()) == pytest.approx(float(aggregate.full.gaussians.masses.sum()), rel=0.1)


def test_a_random_start_in_the_images_engine() -> None:
    density = symmetric_phantom("C3")
    found = run(density, "C3", N, Schedule(epochs=3, batch_size=10, start="random"))
    assert len(found.full.gaussians) % 3 == 0
    assert quality(found.full.map, density) > quality(found.full.backprojection, density)


def test_a_wrong_symmetry_looks_worse() -> None:
    """The map is further from the truth than without symmetry, and the record says what speaks against it."""
    density = symmetric_phantom("C3")
    right, wrong, none = (run(density, sym, 300) for sym in ("C3", "C4", "C1"))
    assert quality(right.full.map, density) > quality(none.full.map, density) > quality(wrong.full.map, density) + 0.1
    assert right.details["asymmetric_part_half1"] < 0.1 < wrong.details["asymmetric_part_half1"]
    assert "asymmetric_part_half1" not in none.details


def test_the_diameter_is_found_from_views_in_one_asymmetric_unit() -> None:
    """A refinement under symmetry leaves all poses there: without the group most of Fourier space would be empty."""
    density, group = symmetric_phantom("O"), point_group("O")
    table, images = particles(density, 300, BOX, noise=2.0)
    equal = np.einsum("bij,gjk->bgik", table.rotations, group.rotations)
    nearest = (equal[:, :, 2] @ np.array([0.3, 0.2, 0.93])).argmax(axis=1)
    refined = replace(table, rotations=equal[np.arange(300), nearest])
    found, wrong, anywhere = (
        estimate_diameter_px(of, ArrayStack(images), np.arange(300), DeadImages(300), point_group(sym))
        for of, sym in ((refined, "O"), (refined, "C1"), (table, "O"))
    )
    assert found == anywhere
    assert wrong is None or wrong > 1.2 * found


class Notes(Silent):
    """Keeps the sentences told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


def told(density: Phantom, sym: str, n: int, noise: float) -> list[str]:
    table, images = particles(density, n, BOX, noise=noise)
    notes = Notes()
    found = check_symmetry(table, ArrayStack(images), np.arange(n), 1, DeadImages(n), point_group(sym), notes)
    assert (found is not None and found.is_doubtful) == bool(notes.told)
    return notes.told


@pytest.mark.parametrize(("name", "wrong"), [("C3", "C4"), ("C3", "D3"), ("D2", "C4"), ("D2", "D4"), ("C3", "T")])
def test_images_speak_against_a_wrong_symmetry_only(name: str, wrong: str) -> None:
    density = symmetric_phantom(name)
    assert told(density, "C1", 200, NOISE) == told(density, name, 200, NOISE) == []
    (sentence,) = told(density, wrong, 200, NOISE)
    assert f"half 1: images speak against {wrong}: " in sentence
    assert told(density, wrong, 20, 10 * NOISE) == []  # too little is seen to say anything


@pytest.mark.parametrize("n", [0, 1, 2, 300])
def test_noise_speaks_against_nothing(n: int) -> None:
    assert told(Phantom(np.zeros((1, 3)), np.array([1e-3]), 1.0), "D7", n, 10.0) == []


def test_images_pay_for_mass_what_the_aggregate_pays_per_view(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums count a particle once for each view, epochs once: for the same balance the price is n times lower."""
    paid = []

    def note_price(_particles, _state, _unit, penalty, *_rest):
        paid.append(penalty)
        raise StopIteration

    monkeypatch.setattr(descent, "train", note_price)
    table, images = particles(symmetric_phantom("C3"), 40, BOX, noise=NOISE)
    start = VoxelStart(torch.rand((8, 8, 8)), 0.7, 6.0, 30, 0, Copies.of(point_group("C3"), torch.device("cpu")))
    silent = Silent()
    with pytest.raises(StopIteration):
        descent.fit_to_images(
            SimpleNamespace(unit=1.0), start, torch.ones((8, 8, 8)),
            Particles(table, ArrayStack(images), np.arange(40), np.ones((1, 17)), table.optics_group),
            Schedule(batch_size=10), "free", silent, RunState(Forgetful(), silent), "fit",
        )  # fmt: skip
    assert paid == [pytest.approx(2.0)]
