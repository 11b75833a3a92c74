"""The images engine on a small phantom: kin of the aggregate, downhill, and obedient to its schedule."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fit_cases import aggregate_of, correlation, particles, phantom

from gemmap.errors import InputError, NumericsError
from gemmap.fit.batch_gradients import batch_gradient
from gemmap.fit.image_batches import Particles, PosedBatch
from gemmap.fit.image_loss import ImageBatch
from gemmap.fit.images import Trained, train
from gemmap.fit.init import at_random, from_voxels
from gemmap.fit.normal import NormalEquations
from gemmap.fit.parameters import Parameters
from gemmap.fit.schedule import WINDOWS_PER_EPOCH, Schedule
from gemmap.fit.training import State
from gemmap.fit.voxels import VoxelSettings, fit_voxels, noise_of_blob
from gemmap.particles.optics import image_model
from gemmap.particles.stack import ArrayStack
from gemmap.validate.masks import spherical_mask

CPU = torch.device("cpu")
BOX, SIZE, N, NOISE = 24, 20, 240, 3.0
DENSITY = phantom(4, 20)
TABLE, IMAGES = particles(DENSITY, N, BOX, noise=NOISE)
# Unit white noise has the power D^2 in every coefficient of the plain transform.
INVERSE_NOISE = np.full((1, BOX // 2 + 1), 1.0 / (NOISE * BOX) ** 2)
PARTICLES = Particles(TABLE, ArrayStack(IMAGES), np.arange(N), INVERSE_NOISE, TABLE.optics_group)
SPHERE = torch.from_numpy(spherical_mask(SIZE, 6.0, 1.0))


@pytest.fixture(scope="module")
def equations():
    return NormalEquations.build(aggregate_of(TABLE, IMAGES, NOISE), SIZE, CPU)


@pytest.fixture(scope="module")
def start(equations):
    region = torch.from_numpy(spherical_mask(SIZE, 6.0, 1.0))
    return from_voxels(fit_voxels(equations, region, VoxelSettings(0.7, 1.0, 10)), 0.7, 300, seed=0)


def run(equations, start, schedule=Schedule(), particles_=PARTICLES, seed=0, cap=2000, shape="free", watch=None):
    seen: list[State] = []
    state = start if isinstance(start, State) else State.at_rest(start)

    def note(now: State) -> None:
        seen.append(now)
        if watch:
            watch(now)

    price = noise_of_blob(equations, 0.7)
    return train(particles_, state, equations.unit, price, schedule, shape, cap, seed, note), seen


def last(outcome: tuple[Trained, list[State]]) -> Parameters:
    assert outcome[0].failure == ""
    return outcome[0].state.parameters


def everything() -> PosedBatch:
    model = image_model(TABLE, BOX * TABLE.pixel_size_a)
    images = ImageBatch(
        torch.from_numpy(IMAGES), torch.from_numpy(model.coefficients), torch.from_numpy(model.scales).float(),
        torch.from_numpy(INVERSE_NOISE[TABLE.optics_group]).float(),
    )  # fmt: skip
    shifts = torch.from_numpy(TABLE.shifts_a / TABLE.pixel_size_a).float()
    return PosedBatch(np.arange(N), images, torch.from_numpy(TABLE.rotations).float(), shifts)


def test_the_gradient_of_all_images_is_the_aggregates(equations):
    """To the gridding error of the aggregate, for Gaussians wide enough for the pixels."""
    at = at_random(equations, SPHERE, 40, seed=3)
    draw = torch.from_numpy(np.random.default_rng(5).normal(size=(40, 7))).float()
    at = Parameters(at.centres, 0.3 + 0.15 * draw[:, :3], draw[:, 3:], at.log_masses)
    found, _ = batch_gradient(at, everything(), equations.unit)
    expected = at.gather(equations.gradient(at.voxelize(SIZE))[0])
    for a, b in zip(found, expected, strict=True):
        assert float((a - b).norm() / b.norm()) < 0.05
        assert correlation(a.numpy(), b.numpy()) > 0.998


def test_the_loss_falls_and_the_map_improves(equations, start):
    trained, seen = run(equations, start, Schedule(epochs=4, batch_size=40, rate=2.0))
    assert [s.number for s in seen] == list(range(1, 25))
    assert trained.state is seen[-1]
    assert np.mean([s.loss.mean for s in seen[-6:]]) < np.mean([s.loss.mean for s in seen[:6]])
    truth = DENSITY.volume(SIZE)
    found, before = trained.state.parameters.voxelize(SIZE).numpy(), start.voxelize(SIZE).numpy()
    assert correlation(found, truth) > correlation(before, truth) - 0.002


def test_random_gaussians_find_the_density(equations):
    at = at_random(equations, SPHERE, 150, seed=0)
    found = last(run(equations, at, Schedule(epochs=12, batch_size=20, start="random")))
    truth = DENSITY.volume(SIZE)
    assert correlation(found.voxelize(SIZE).numpy(), truth) > 0.9
    assert correlation(at.voxelize(SIZE).numpy(), truth) < 0.75


def test_every_image_is_used_every_epoch(equations, start):
    class Counting(ArrayStack):
        def read(self, rows):
            counted.extend(np.asarray(rows).tolist())
            return super().read(rows)

    counted: list[int] = []
    run(equations, start, Schedule(epochs=2, batch_size=50), replace(PARTICLES, stack=Counting(IMAGES)))
    np.testing.assert_array_equal(np.bincount(counted, minlength=N), 2)


def test_the_number_of_gaussians_grows_to_the_cap_while_it_searches(equations, start):
    few = Parameters(*(t[:100].clone() for t in start.tensors()))
    _, seen = run(equations, few, Schedule(epochs=8, batch_size=24, start="random"), cap=130)
    numbers = [len(s.parameters) for s in seen]
    assert numbers[0] <= 105
    assert max(numbers) == 130
    assert numbers[-1] == numbers[int(0.7 * len(numbers))]
    assert all(len(s.pull) == len(s.adam.first[0]) == len(s.parameters) for s in seen)
    _, near = run(equations, few, Schedule(batch_size=24), cap=130)
    assert {len(s.parameters) for s in near} == {100}


def test_same_seed_same_bits_other_seed_other_order(equations, start):
    first, again, other = (last(run(equations, start, seed=s)) for s in (0, 0, 1))
    assert torch.equal(first.centres, again.centres)
    assert not torch.equal(first.centres, other.centres)


def test_epochs_differ_in_their_order(equations, start):
    """Going through the images twice in one order would repeat its accidents."""

    class Listing(ArrayStack):
        def read(self, rows):
            listed.append(np.asarray(rows).tolist())
            return super().read(rows)

    listed: list[list[int]] = []
    run(equations, start, Schedule(epochs=2, batch_size=N), replace(PARTICLES, stack=Listing(IMAGES)))
    assert sorted(listed[0]) == sorted(listed[1])
    assert listed[0] != listed[1]


@pytest.mark.parametrize("schedule", [Schedule(batch_size=50), Schedule(epochs=4, batch_size=50, start="random")])
def test_going_on_from_any_state_ends_at_the_same_bits(equations, start, schedule):
    trained, seen = run(equations, start, schedule, cap=350)
    assert len(seen) > 8
    for state in (seen[0], seen[4], seen[-2]):
        again, rest = run(equations, state, schedule, cap=350)
        assert [s.number for s in rest] == [s.number for s in seen if s.number > state.number]
        pairs = zip(again.state.parameters.tensors(), trained.state.parameters.tensors(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_plain_squared_error_weighs_all_frequencies_alike(equations, start):
    shells = np.linspace(0.3, 3.0, BOX // 2 + 1)
    coloured = replace(PARTICLES, inverse_noise=INVERSE_NOISE * shells)
    white, plain = (last(run(equations, start, Schedule(loss=loss), coloured)) for loss in ("whitened", "mse"))
    assert not torch.equal(white.centres, plain.centres)
    same = replace(PARTICLES, inverse_noise=INVERSE_NOISE * shells.mean())
    torch.testing.assert_close(plain.centres, last(run(equations, start, Schedule(), same)).centres)


def test_every_particle_has_its_own_noise(equations, start):
    """Two spectra, told by a table row: one for all is another fit than two, and which is which matters."""
    two = np.concatenate([INVERSE_NOISE, 4.0 * INVERSE_NOISE])
    half = np.arange(N) % 2
    ways = [replace(PARTICLES, inverse_noise=two, noise_of=which) for which in (0 * half, half, 1 - half)]
    one, these, others = (last(run(equations, start, particles_=way)).centres for way in ways)
    assert torch.equal(one, last(run(equations, start)).centres)
    assert not torch.equal(one, these)
    assert not torch.equal(these, others)


@pytest.mark.parametrize(
    ("shape", "moving"),
    [("free", (True, True)), ("axis-aligned", (True, False)), ("round", (True, False)), ("fixed", (False, False))],
)
def test_what_a_shape_lets_move(equations, start, shape, moving):
    found = last(run(equations, start, shape=shape))
    changed = [not torch.allclose(a, b, atol=1e-6) for a, b in zip(found.tensors(), start.tensors(), strict=True)]
    assert tuple(changed[1:3]) == moving
    assert changed[0]
    assert changed[3]
    spread = (found.log_scales - found.log_scales.mean(dim=1, keepdim=True)).abs().max()
    assert (float(spread) < 1e-5) == (shape in ("round", "fixed"))


def test_a_batch_larger_than_the_set_is_refused(equations, start):
    with pytest.raises(InputError, match="batch of 500 images was asked for, but there are 240 particles"):
        run(equations, start, Schedule(batch_size=500))


def test_steps_that_diverge_are_noticed_and_the_last_good_state_kept(equations, start):
    trained, seen = run(equations, start, Schedule(epochs=9, batch_size=20, rate=3000.0))
    assert "the steps diverged: up to batch" in trained.failure
    assert "give a smaller --rate" in trained.failure
    if seen:
        assert trained.state is seen[-1]
    else:
        assert trained.state.parameters is start
        assert trained.state.number == 0
    assert f"after batch {trained.state.number} are kept" in trained.failure
    assert math.isfinite(trained.state.first.mean)


def test_a_loss_that_is_no_number_later_ends_it_too(equations, start):
    """An overflow in the middle: whatever was seen before is kept."""
    order: list[int] = []

    class Spoiling(ArrayStack):
        def read(self, rows):
            order.extend(np.asarray(rows).tolist())
            images = super().read(rows)
            return images * np.float32(1e30) if len(order) > N // 2 else images

    trained, seen = run(equations, start, Schedule(batch_size=20), replace(PARTICLES, stack=Spoiling(IMAGES)))
    assert "the steps diverged: up to batch 7 " in trained.failure
    assert [s.number for s in seen] == [3, 6]
    assert trained.state is seen[-1]


def test_a_start_without_a_loss_is_refused(equations, start):
    with pytest.raises(NumericsError, match="The loss of the start is not a number"):
        run(equations, start, particles_=replace(PARTICLES, inverse_noise=np.full_like(INVERSE_NOISE, np.nan)))


def test_the_loss_is_recorded_some_times_an_epoch(equations, start):
    """240 particles in batches of 10: every sixth batch."""
    _, seen = run(equations, start, Schedule(epochs=2, batch_size=10))
    assert [s.number for s in seen] == [6 * k for k in range(1, 2 * WINDOWS_PER_EPOCH + 1)]
