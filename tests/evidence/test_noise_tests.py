"""Noise in the place of signal, noise in the place of everything, and fewer particles."""

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from evidence_case import BOX, PIXEL_A, N, case

from gemmap.evidence import particle_count
from gemmap.evidence.case import Case
from gemmap.evidence.noise_substitution import substitute_noise
from gemmap.evidence.particle_count import count_particles, fit_line
from gemmap.evidence.pure_noise import FIRST_SHELL, chance, reconstruct_noise
from gemmap.fit.half_maps import fit_half_maps
from gemmap.fit.image_batches import Particles
from gemmap.fit.progress import Silent
from gemmap.fit.schedule import Schedule
from gemmap.fit.source import ImageSource
from gemmap.validate.fsc import fsc
from gemmap.validate.masks import spherical_mask
from gemmap.validate.resolution import Resolution


def test_noise_substitution_takes_signal_away_beyond_a_shell_only():
    found = substitute_noise(case(), Silent(), from_shell=5)
    assert found is not None
    assert found.from_shell == 5
    np.testing.assert_allclose(found.given["half_maps_unmasked"], fsc(*case().half_maps), atol=0.02)
    # Inside, the particles are what they were.
    assert found.substituted["half_maps_masked"][2:4].min() > found.given["half_maps_masked"][2:4].min() - 0.1
    beyond = slice(8, 13)
    assert found.given["half_maps_masked"][beyond].mean() > 0.5
    assert found.substituted["half_maps_masked"][beyond].mean() < 0.35
    assert abs(found.substituted["backprojection_unmasked"][beyond].mean()) < 0.15
    t, n = (of["half_maps_masked"] for of in (found.given, found.substituted))
    t, n = t[7:14], n[7:14]
    np.testing.assert_allclose(found.true["half_maps_masked"][7:14], (t - n) / (1 - n), atol=1e-9)
    np.testing.assert_array_equal(found.true["half_maps_masked"][:7], found.given["half_maps_masked"][:7])
    assert set(found.resolutions) == set(found.given)
    assert "random phases leave" in found.line()


def test_without_a_shell_below_the_limit_there_is_nothing_beyond():
    same = replace(case(), backprojections=(case().backprojections[0], case().backprojections[0]))
    assert substitute_noise(same, Silent()) is None


def test_phases_are_random_from_where_back_projections_in_the_mask_stop_to_agree():
    """Without a mask that is shells earlier, and a fit to nearly nothing has nothing to make too much of."""
    found = substitute_noise(case(), Silent())
    assert found is not None
    curve = found.given["backprojection_masked"]
    assert curve[found.from_shell] < 0.8 <= curve[1 : found.from_shell].min()
    assert found.from_shell > 1 + np.flatnonzero(found.given["backprojection_unmasked"][1:] < 0.8)[0]


def test_two_maps_of_noise_agree_by_chance():
    found = reconstruct_noise(case(), Silent())
    for name in ("half_maps_masked", "half_maps_unmasked"):
        assert found.largest(name) == np.abs(found.curves[name][FIRST_SHELL:]).max()
    assert found.largest("backprojection_unmasked") < 0.15
    assert found.largest("half_maps_unmasked") < 0.4
    assert found.beyond_chance("backprojection_masked") == 0
    assert f"from shell {FIRST_SHELL} up two maps of noise" in found.line()
    again = reconstruct_noise(case(), Silent())
    np.testing.assert_array_equal(again.curves["half_maps_masked"], found.curves["half_maps_masked"])
    other = reconstruct_noise(replace(case(), seed=1), Silent())
    assert not np.array_equal(other.curves["half_maps_masked"], found.curves["half_maps_masked"])


@pytest.mark.parametrize("mask", [None, spherical_mask(40, 10.0, 4.0)])
def test_chance_is_rarely_exceeded_by_independent_maps(mask):
    level, beyond = chance(mask, 40), 0
    rng = np.random.default_rng(0)
    for _ in range(60):
        pair = rng.standard_normal((2, 40, 40, 40)).astype(np.float32)
        masked = pair if mask is None else pair * mask
        beyond += int((np.abs(fsc(*masked)) > level)[FIRST_SHELL:].any())
    assert beyond <= 10


def test_chance_is_that_of_the_part_of_the_box_that_maps_fill():
    found = reconstruct_noise(case(), Silent())
    n_shells = BOX // 2 + 1 - FIRST_SHELL
    two_sided = NormalDist().inv_cdf(0.5 + 0.5 * 0.95 ** (1 / n_shells))
    k = np.fft.fftfreq(BOX, 1 / BOX)
    shell = np.rint(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)).astype(int)
    whole = np.bincount(shell.ravel())[: BOX // 2 + 1] / 2
    filled = spherical_mask(BOX, 0.5 * 70.0 / PIXEL_A, 6.0).astype(float) ** 2
    part = filled.sum() ** 2 / (filled**2).sum() / BOX**3
    np.testing.assert_allclose(
        found.chance["backprojection_unmasked"][8:], two_sided / np.sqrt(2 * whole)[8:], rtol=0.01
    )
    expected = two_sided / np.sqrt(2 * part * whole)
    np.testing.assert_allclose(found.chance["half_maps_unmasked"][8:], expected[8:], rtol=0.01)
    assert (found.chance["half_maps_masked"] >= found.chance["half_maps_unmasked"] - 1e-9)[8:].all()
    four = chance(None, BOX, 4)[8:]
    np.testing.assert_allclose(four, 2 * chance(None, BOX)[8:], rtol=1e-6)


def test_fewer_particles_resolve_less():
    found = count_particles(case(), Silent())
    assert found.counts == (160, N)
    squares = [1.0 / r.value_a**2 for r in found.resolutions["map"]]
    assert squares[0] <= squares[1]
    assert "160" in found.line()


class Heard(Silent):
    """Remembers the stages."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int]] = []

    def start(self, stage: str, total: int, unit: str) -> None:
        self.stages.append((stage, total))


def test_parts_are_added_up_from_half_of_the_particles_read_once(monkeypatch):
    """Extents are those of each half's whole, found once; sums of a part hold those of the smaller ones."""
    monkeypatch.setattr("gemmap.evidence.particle_count.LEAST_PER_HALF", 16)
    calls = []

    def found(*arguments: object) -> float:
        calls.append(arguments)
        return 18.0

    monkeypatch.setattr("gemmap.fit.extent.estimate_diameter_px", found)
    heard, free = Heard(), replace(case(), config=replace(case().config, particle_diameter_a=None))
    counted = count_particles(free, heard)
    assert counted.counts == (40, 80, 160, N)
    assert len(calls) == 2
    inserted = [total for stage, total in heard.stages if "reading and inserting" in stage]
    assert inserted == [20, 20, 40] * 2
    assert heard.stages[0][0].startswith("1/8 of the particles: ")


def test_a_part_is_what_it_is_reconstructed_alone(monkeypatch):
    """But for the noise, which is measured on more images."""
    judged = []

    def keep(case: Case, maps: object, backprojections: tuple[np.ndarray, np.ndarray]) -> dict[str, Resolution]:
        judged.append(backprojections)
        return given(case, maps, backprojections)

    given = particle_count._resolutions
    monkeypatch.setattr(particle_count, "_resolutions", keep)
    count_particles(case(), Silent())
    rows = np.flatnonzero(np.arange(N) // 2 % 2 == 0)
    alone = fit_half_maps(case().only(rows), case().stack, case().config, Silent())
    for part, whole, fit in zip(*judged, alone, strict=True):
        assert np.corrcoef(part.ravel(), fit.backprojection.ravel())[0, 1] > 0.9995
        assert np.corrcoef(part.ravel(), whole.ravel())[0, 1] < 0.99


def test_the_images_engine_sees_the_particles_of_a_part_only(monkeypatch):
    sets = []

    def seen(source: ImageSource, half: int | None) -> Particles:
        particles = given(source, half)
        sets.append(particles.rows)
        return particles

    given = ImageSource.particles
    monkeypatch.setattr(ImageSource, "particles", seen)
    config = replace(case().config, schedule=Schedule(epochs=1, batch_size=20))
    assert count_particles(replace(case(), config=config), Silent()).counts == (160, N)
    assert [len(rows) for rows in sets] == [80, 80]
    assert not set(sets[0]) & set(sets[1])


def resolution(value_a: float, at_nyquist: bool = False) -> Resolution:
    return Resolution(value_a, 0.5, "made up", "none", at_nyquist, BOX / value_a)


def test_the_line_gives_the_b_factor_back():
    bfactor_a2, counts = 120.0, (100, 200, 400, 800)
    values = [resolution(float(1.0 / np.sqrt(2.0 / bfactor_a2 * np.log(n) - 0.05))) for n in counts]
    line = fit_line(counts, values)
    assert line is not None
    assert line.bfactor_a2 == pytest.approx(bfactor_a2)
    assert line.error_a2 == pytest.approx(0.0, abs=1e-6)
    assert line.resolution_a(400) == pytest.approx(values[2].value_a)
    with_nyquist = fit_line(counts, [*values[:3], resolution(1.0, at_nyquist=True)])
    assert with_nyquist is not None
    assert with_nyquist.bfactor_a2 == pytest.approx(bfactor_a2)


def test_points_that_make_no_line():
    assert fit_line((100, 200), [resolution(8.0), resolution(float("inf"))]) is None
    assert fit_line((100, 200), [resolution(8.0), resolution(9.0)]) is None
