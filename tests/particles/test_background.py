import numpy as np
import pytest

from gemmap.particles.background import Circles, NormalisedStack, WindowedStack
from gemmap.particles.stack import ArrayStack

D = 32


def circles(n: int, radius: float = 8.0, edge: float = 4.0, centre: tuple[float, float] = (0.0, 0.0)) -> Circles:
    return Circles(np.full(n, radius), np.full(n, edge), np.tile(np.array(centre), (n, 1)))


def noise(n: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, D, D)).astype(np.float32)


Y, X = np.indices((D, D)) - D // 2


class TestNormalised:
    def test_background_has_mean_0_no_ramp_and_deviation_1(self) -> None:
        gain = np.array([0.1, 1.0, 7.0, 300.0, 2.0])[:, None, None]
        raw = (gain * (noise() + 0.2 * X - 0.1 * Y + 40.0)).astype(np.float32)
        got = NormalisedStack(ArrayStack(raw), circles(5)).read(np.arange(5))
        outside = X**2 + Y**2 > 64
        for image in got:
            background = image[outside].astype(np.float64)
            assert background.mean() == pytest.approx(0.0, abs=1e-4)
            assert background.std() == pytest.approx(1.0, abs=1e-4)
            assert (background * X[outside]).mean() == pytest.approx(0.0, abs=1e-3)
            assert (background * Y[outside]).mean() == pytest.approx(0.0, abs=1e-3)

    def test_gain_offset_and_ramp_leave_no_trace(self) -> None:
        plain = NormalisedStack(ArrayStack(noise()), circles(5)).read(np.arange(5))
        changed = (3.0 * noise() + 0.5 * X + 9.0).astype(np.float32)
        again = NormalisedStack(ArrayStack(changed), circles(5)).read(np.arange(5))
        np.testing.assert_allclose(again, plain, atol=1e-5)

    def test_a_particle_is_not_background(self) -> None:
        raw = noise(1) + 50.0 * (X**2 + Y**2 < 49)
        got = NormalisedStack(ArrayStack(raw), circles(1)).read(np.array([0]))[0]
        assert got[X**2 + Y**2 > 64].std() == pytest.approx(1.0, abs=1e-5)
        assert got[D // 2, D // 2] > 40

    def test_every_image_has_its_own_circle(self) -> None:
        both = Circles(np.array([8.0, 12.0]), np.ones(2), np.zeros((2, 2)))
        got = NormalisedStack(ArrayStack(noise(2)), both).read(np.array([1, 0]))
        assert got[0][X**2 + Y**2 > 144].std() == pytest.approx(1.0, abs=1e-5)
        assert got[1][X**2 + Y**2 > 64].std() == pytest.approx(1.0, abs=1e-5)

    @pytest.mark.parametrize("value", [0.0, 1e-3, 12345.0])
    def test_a_constant_image_stays_constant(self, value: float) -> None:
        got = NormalisedStack(ArrayStack(np.full((1, D, D), value)), circles(1)).read(np.array([0]))
        assert (got == 0.0).all()

    def test_a_particle_on_a_constant_background_keeps_its_scale(self) -> None:
        raw = 7.0 + 50.0 * (X**2 + Y**2 < 49)[None]
        got = NormalisedStack(ArrayStack(raw), circles(1)).read(np.array([0]))
        np.testing.assert_allclose(got, raw - 7.0, atol=1e-4)


class TestWindowed:
    def test_inside_is_untouched_and_outside_is_the_mean(self) -> None:
        raw = noise() + 5.0
        stack = WindowedStack(ArrayStack(raw), circles(5))
        got = stack.read(np.array([3, 1]))
        distance = np.sqrt(X**2 + Y**2)
        np.testing.assert_array_equal(got[0][distance <= 8], raw[3][distance <= 8])
        outside = got[0][distance >= 12]
        assert outside.std() < 1e-6
        assert outside.mean() == pytest.approx(raw[3][distance >= 12].mean(), abs=0.05)
        between = (distance > 8.5) & (distance < 11.5)
        share = (got[0] - outside.mean())[between] / (raw[3] - outside.mean())[between]
        assert ((share > 0) & (share < 1)).all()
        assert np.corrcoef(share, distance[between])[0, 1] < -0.95
        assert (stack.n, stack.box_px) == (5, D)

    def test_the_circle_follows_the_particle(self) -> None:
        raw = noise(1)
        got = WindowedStack(ArrayStack(raw), circles(1, centre=(5.0, -3.0))).read(np.array([0]))[0]
        same = got == raw[0]
        assert (Y[same].mean(), X[same].mean()) == (pytest.approx(-3.0, abs=0.1), pytest.approx(5.0, abs=0.1))

    def test_images_of_the_source_are_left_alone(self) -> None:
        raw = noise()
        before = raw.copy()
        WindowedStack(ArrayStack(raw), circles(5)).read(np.arange(5))
        np.testing.assert_array_equal(raw, before)
