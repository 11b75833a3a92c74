"""Weighed residuals: the compiled kernel against the readable definition, and what both must not depend on.

The definition itself is tested through the loss of images, by direct sums and by differences (tests/fit).
"""

from dataclasses import dataclass

import numba
import numpy as np
import pytest
import torch

from gemmap.errors import BackendError
from gemmap.kernels import threads
from gemmap.kernels.residuals import weigh_residuals
from gemmap.physics.ctf import CtfParameters
from gemmap.physics.image_model import image_coefficients

PIXEL_SIZE_A = 1.4


@dataclass(frozen=True)
class Case:
    """Transforms of b images of d pixels with all that the loss needs, in float64."""

    b: int
    d: int
    with_ctf: bool = True
    bfactor_a2: float = 30.0

    def run(self, backend, dtype=torch.float32):
        rng = np.random.default_rng(self.d)
        one = np.ones(self.b)
        ctf = CtfParameters(
            rng.uniform(8e3, 2.5e4, self.b), rng.uniform(8e3, 2.5e4, self.b), rng.uniform(-3, 3, self.b), 300 * one,
            2.7 * one, 0.1 * one, 0.3 * one, self.bfactor_a2 * one, 0.9 * one,
        )  # fmt: skip
        images = torch.from_numpy(rng.normal(size=(2, self.b, self.d, self.d)))
        projected, observed = torch.fft.rfft2(images).to(torch.complex64 if dtype == torch.float32 else None)
        side_a = self.d * PIXEL_SIZE_A
        coefficients = torch.from_numpy(image_coefficients(ctf if self.with_ctf else None, self.b, side_a))
        scales = torch.from_numpy(rng.uniform(0.5, 2, self.b) * rng.choice([-1, 1], self.b)).to(dtype)
        noise = torch.from_numpy(rng.uniform(0.1, 2, (self.b, self.d // 2 + 3))).to(dtype)
        return weigh_residuals(projected, observed, coefficients, scales, noise, backend)


def assert_same_vectors(found, expected, tolerance):
    """Relative L2 and cosine of all together, and of every image."""
    for a, b in zip((found, *found), (expected, *expected), strict=True):
        a, b = a.numpy().ravel(), b.numpy().ravel()
        length = np.linalg.norm(b)
        assert np.linalg.norm(a - b) <= tolerance * length
        assert np.vdot(a, b).real >= (1 - tolerance) * np.linalg.norm(a) * length


@pytest.mark.parametrize("with_ctf", [True, False])
@pytest.mark.parametrize(("b", "d"), [(1, 1), (3, 2), (2, 7), (1, 8), (5, 33), (1, 64), (2, 97)])
def test_the_kernel_follows_the_definition(b, d, with_ctf):
    case = Case(b, d, with_ctf)
    found, expected = case.run("numba"), case.run("reference", torch.float64)
    for a, e in zip(found, expected, strict=True):
        assert_same_vectors(a, e, 1e-5)


@pytest.mark.parametrize("bfactor_a2", [0.0, -40.0, 200.0])
def test_envelopes_that_damp_or_sharpen(bfactor_a2):
    case = Case(2, 31, bfactor_a2=bfactor_a2)
    for a, e in zip(case.run("numba"), case.run("reference", torch.float64), strict=True):
        assert_same_vectors(a, e, 1e-5)


def test_nothing_beyond_the_largest_circle_counts():
    """Also the corners and the Nyquist lines are written: what was there before must not remain."""
    d = 16
    gradient = Case(2, d).run("numba")[0]
    ky, kx = np.meshgrid(np.fft.fftfreq(d, 1 / d), np.arange(d // 2 + 1), indexing="ij")
    outside = torch.from_numpy(np.hypot(kx, ky) >= d / 2)
    assert not gradient[:, outside].any()
    assert (gradient[:, ~outside] != 0).all()


def test_auto_is_numba_for_single_precision():
    case = Case(2, 12)
    assert torch.equal(case.run("auto")[0], case.run("numba")[0])
    assert case.run("auto", torch.float64)[0].dtype == torch.complex128
    with pytest.raises(BackendError, match=r"'numba' cannot run weigh_residuals on torch.float64"):
        case.run("numba", torch.float64)


def test_bits_do_not_depend_on_the_number_of_threads():
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one core: no second thread to compare with")
    before = torch.get_num_threads()
    results = []
    for n in (1, 2):
        threads.configure(n)
        results.append(Case(3, 30).run("numba"))
    threads.configure(None)
    torch.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)


def test_a_value_that_is_not_finite_reaches_the_loss():
    one = torch.ones(1)
    plain = torch.from_numpy(image_coefficients(None, 1, 8.0))
    bad = torch.full((1, 8, 5), torch.nan, dtype=torch.complex64)
    for backend in ("numba", "reference"):
        gradient, losses, by_scale = weigh_residuals(bad.clone(), bad, plain, one, torch.ones(1, 5), backend)
        assert losses.isnan().all()
        assert by_scale.isnan().all()
        assert gradient[0, 0, 0].isnan()
