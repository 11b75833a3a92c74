"""The images engine on a small phantom: kin of the aggregate, downhill, and obedient to its schedule."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fit_cases import aggregate_of, correlation, particles, phantom

from gemmap.errors import InputError, NumericsError
from gemmap.fit import adam
from gemmap.fit.image_loss import ImageBatch
from gemmap.fit.images import Particles, PosedBatch, TrainingStep, batch_gradient, train
from gemmap.fit.init import at_random, from_voxels
from gemmap.fit.normal import NormalEquations
from gemmap.fit.parameters import Parameters
from gemmap.fit.schedule import Schedule
from gemmap.fit.voxels import VoxelSettings, fit_voxels, noise_of_blob
from gemmap.particles.stack import ArrayStack
from gemmap.validate.masks import spherical_mask

CPU = torch.device("cpu")
BOX, SIZE, N, NOISE = 24, 20, 240, 3.0
DENSITY = phantom(4, 20)
TABLE, IMAGES = particles(DENSITY, N, BOX, noise=NOISE)
# Unit white noise has the power D^2 in every coefficient of the plain transform.
INVERSE_NOISE = np.full((1, BOX // 2 + 1), 1.0 / (NOISE * BOX) ** 2)
PARTICLES = Particles(TABLE, ArrayStack(IMAGES), np.arange(N), INVERSE_NOISE)


@pytest.fixture(scope="module")
def equations():
    return NormalEquations.build(aggregate_of(TABLE, IMAGES, NOISE), SIZE, CPU)


@pytest.fixture(scope="module")
def start(equations):
    region = torch.from_numpy(spherical_mask(SIZE, 6.0, 1.0))
    return from_voxels(fit_voxels(equations, region, VoxelSettings(0.7, 1.0, 10)), 0.7, 300, seed=0)


def run(equations, start, schedule=Schedule(growth=0.0), particles_=PARTICLES, seed=0, cap=2000, penalty=None):
    seen: list[TrainingStep] = []
    price = noise_of_blob(equations, 0.7) if penalty is None else penalty
    last = train(particles_, start, equations.unit, price, schedule, cap, seed, CPU, seen.append)
    return last, seen


def everything() -> PosedBatch:
    images = ImageBatch(
        torch.from_numpy(IMAGES), None,
        torch.from_numpy(TABLE.scale).float(), torch.from_numpy(INVERSE_NOISE[TABLE.optics_group]).float(),
        TABLE.pixel_size_a,
    )  # fmt: skip
    shifts = torch.from_numpy(TABLE.shifts_a / TABLE.pixel_size_a).float()
    return PosedBatch(np.arange(N), images, torch.from_numpy(TABLE.rotations).float(), shifts)


def test_the_gradient_of_all_images_is_the_aggregates(equations):
    """To the gridding error of the aggregate, for Gaussians wide enough for the pixels."""
    at = at_random(equations, 5.0, 40, seed=3)
    draw = torch.from_numpy(np.random.default_rng(5).normal(size=(40, 7))).float()
    at = Parameters(at.centres, 0.3 + 0.15 * draw[:, :3], draw[:, 3:], at.log_masses)
    found, _ = batch_gradient(at, everything(), equations.unit)
    expected = at.gather(equations.gradient(at.voxelize(SIZE))[0])
    for a, b in zip(found, expected, strict=True):
        assert float((a - b).norm() / b.norm()) < 0.05
        assert correlation(a.numpy(), b.numpy()) > 0.998


def test_the_loss_falls_and_the_map_improves(equations, start):
    last, seen = run(equations, start, Schedule(epochs=4, batch_size=40, growth=0.0))
    assert [s.number for s in seen] == list(range(1, 25))
    assert np.mean([s.loss for s in seen[-6:]]) < np.mean([s.loss for s in seen[:6]])
    truth = DENSITY.volume(SIZE)
    assert correlation(last.voxelize(SIZE).numpy(), truth) > correlation(start.voxelize(SIZE).numpy(), truth) - 0.002


def test_random_gaussians_find_the_density(equations):
    at = at_random(equations, 6.0, 300, seed=0)
    last, _ = run(equations, at, Schedule(epochs=20, batch_size=40, growth=0.0))
    truth = DENSITY.volume(SIZE)
    assert correlation(last.voxelize(SIZE).numpy(), truth) > correlation(at.voxelize(SIZE).numpy(), truth) + 0.2


def test_every_image_is_used_every_epoch(equations, start):
    class Counting(ArrayStack):
        def read(self, rows):
            counted.extend(np.asarray(rows).tolist())
            return super().read(rows)

    counted: list[int] = []
    run(equations, start, Schedule(epochs=2, batch_size=50, growth=0.0), replace(PARTICLES, stack=Counting(IMAGES)))
    np.testing.assert_array_equal(np.bincount(counted, minlength=N), 2)


def test_the_number_of_gaussians_grows_to_the_cap(equations, start):
    few = Parameters(*(t[:100].clone() for t in start.tensors()))
    _, seen = run(equations, few, Schedule(epochs=3, batch_size=24, growth=0.1), cap=130)
    numbers = [len(s.parameters) for s in seen]
    assert numbers[0] == 100
    assert max(numbers) == 130
    assert numbers[-1] == numbers[int(0.7 * len(numbers))]


def test_same_seed_same_bits_other_seed_other_order(equations, start):
    first, again, other = (run(equations, start, seed=s)[0] for s in (0, 0, 1))
    assert torch.equal(first.centres, again.centres)
    assert not torch.equal(first.centres, other.centres)


def test_whitening_makes_a_difference(equations, start):
    shells = np.linspace(0.3, 3.0, BOX // 2 + 1)
    coloured = replace(PARTICLES, inverse_noise=INVERSE_NOISE * shells)
    white, plain = (run(equations, start, Schedule(growth=0.0, whitened=w), coloured)[0] for w in (True, False))
    assert not torch.equal(white.centres, plain.centres)


def test_a_batch_larger_than_the_set_is_refused(equations, start):
    with pytest.raises(InputError, match="batch of 500 images was asked for, but there are 240 particles"):
        run(equations, start, Schedule(batch_size=500))


def test_divergence_is_noticed(equations, start, monkeypatch):
    monkeypatch.setattr(adam, "RATES", (0.0, 0.0, 0.0, 8.0))
    with pytest.raises(NumericsError, match=r"diverged in batch \d+: the mean loss .* the rates are too high"):
        run(equations, start, Schedule(epochs=9, batch_size=8, growth=0.0))


def test_epochs_are_counted_with_a_smaller_last_batch(equations, start):
    """240 particles in batches of 100: three batches an epoch, the last one of 40."""
    _, seen = run(equations, start, Schedule(epochs=2, batch_size=100, growth=0.0))
    assert [s.epochs for s in seen] == pytest.approx([k / 3 for k in range(1, 7)])
