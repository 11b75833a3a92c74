"""CTF: RELION's numbers and sign, an independent formula, parameters that cannot be."""

import dataclasses

import numpy as np
import pytest
import torch

from gemmap.errors import InputError
from gemmap.physics.ctf import CtfParameters, ctf_at, ctf_half_plane
from gemmap.units import electron_wavelength_a

GOLDEN = {
    "defocus_u_a": 16000.0, "defocus_v_a": 15000.0, "defocus_angle_rad": np.radians(25.0), "voltage_kv": 300.0,
    "cs_mm": 2.7, "amplitude_contrast": 0.1, "phase_shift_rad": np.radians(10.0), "bfactor_a2": 0.0, "scale": 1.0,
}  # fmt: skip


def parameters(n=1, **changes):
    return CtfParameters(**{name: np.full(n, value) for name, value in {**GOLDEN, **changes}.items()})


def formula(kx, ky, p):
    """-s exp(-B k^2/4) sin(gamma) as in RELION's documentation, one point at a time."""
    lam = 12.2643247 / np.sqrt(p["voltage_kv"] * 1e3 * (1 + 0.978466e-6 * p["voltage_kv"] * 1e3))
    theta = p["defocus_angle_rad"]
    ka, kb = kx * np.cos(theta) + ky * np.sin(theta), ky * np.cos(theta) - kx * np.sin(theta)
    k2 = kx * kx + ky * ky
    gamma = np.pi * lam * (-p["defocus_u_a"] * ka**2 - p["defocus_v_a"] * kb**2)
    gamma += np.pi / 2 * p["cs_mm"] * 1e7 * lam**3 * k2**2 - p["phase_shift_rad"]
    gamma -= np.arctan(p["amplitude_contrast"] / np.sqrt(1 - p["amplitude_contrast"] ** 2))
    return -p["scale"] * np.exp(-p["bfactor_a2"] / 4 * k2) * np.sin(gamma)


def test_golden_numbers():
    ctf = ctf_half_plane(parameters(), 128, 1.3)[0]
    assert ctf.shape == (128, 65)
    assert ctf.dtype == torch.float64
    # (ky, kx) = (7, -12) is not stored; its mate (-7, 12) has the same value.
    for (ky, kx), value in {(0, 0): 0.271259, (0, 10): -0.615488, (10, 0): -0.496378, (-7, 12): 0.550152}.items():
        assert float(ctf[ky, kx]) == pytest.approx(value, abs=1e-6)


def test_bright_particles_are_positive_at_low_resolution():
    plain = ctf_half_plane(parameters(phase_shift_rad=0.0), 64, 1.0)[0]
    assert float(plain[0, 0]) == pytest.approx(0.1)
    assert float(plain[0, 1]) > float(plain[0, 0])


@pytest.mark.parametrize("d", [2, 7, 16])
def test_every_point_of_every_parameter(d):
    rng = np.random.default_rng(d)
    low = {"defocus_u_a": -5000, "defocus_v_a": 9000, "defocus_angle_rad": -4, "voltage_kv": 100, "cs_mm": 0.01,
           "amplitude_contrast": -0.2, "phase_shift_rad": -1, "bfactor_a2": -20, "scale": 0.5}  # fmt: skip
    high = {"defocus_u_a": 25000, "defocus_v_a": 30000, "defocus_angle_rad": 4, "voltage_kv": 300, "cs_mm": 2.7,
            "amplitude_contrast": 1.0, "phase_shift_rad": 2, "bfactor_a2": 80, "scale": 2}  # fmt: skip
    p = CtfParameters(**{name: rng.uniform(low[name], high[name], 5) for name in low})
    pixel_size_a = 1.7
    ctf = ctf_half_plane(p, d, pixel_size_a).numpy()
    assert ctf.shape == (5, d, d // 2 + 1)
    for i, iy, ix in np.ndindex(ctf.shape):
        # At even sizes row d/2 holds -1/2 (FFT order), column d/2 holds +1/2.
        ky = (iy if 2 * iy < d else iy - d) / (d * pixel_size_a)
        one = {f.name: getattr(p, f.name)[i] for f in dataclasses.fields(p)}
        assert ctf[i, iy, ix] == pytest.approx(formula(ix / (d * pixel_size_a), ky, one), abs=1e-9)


def test_bfactor_damps_and_scale_multiplies():
    plain = ctf_half_plane(parameters(), 32, 2.0)
    changed = ctf_half_plane(parameters(bfactor_a2=50.0, scale=1.5), 32, 2.0)
    assert float(changed[0, 0, 8] / plain[0, 0, 8]) == pytest.approx(1.5 * np.exp(-50 / 4 * (8 / 64) ** 2))
    assert float(changed[0, 0, 0] / plain[0, 0, 0]) == pytest.approx(1.5)


def test_even_aberrations_are_added_to_the_phase():
    """A quarter of a turn makes the sine a cosine, and sin^2 + cos^2 = 1."""
    p = parameters(2)
    k = np.array([[0.1, 0.2]]), np.array([[0.0], [-0.15]])
    plain, turned = ctf_at(p, *k), ctf_at(p, *k, np.full((2, 2), np.pi / 2))
    assert plain.shape == (2, 2, 2)
    envelope = p.scale[:, None, None] * np.exp(-p.bfactor_a2[:, None, None] * (k[0] ** 2 + k[1] ** 2) / 4)
    np.testing.assert_allclose(plain**2 + turned**2, envelope**2)


def test_no_particles_and_selection():
    assert ctf_half_plane(parameters(0), 8, 1.0).shape == (0, 8, 5)
    chosen = parameters(4).select(np.array([3, 1]))
    assert len(chosen) == 2
    many = CtfParameters(**{name: np.arange(4) * 0.1 + abs(value) / 2 for name, value in GOLDEN.items()})
    np.testing.assert_array_equal(many.select(np.array([3, 1])).cs_mm, many.cs_mm[[3, 1]])


def test_wavelength():
    assert electron_wavelength_a(300.0) == pytest.approx(0.0196875, abs=1e-6)
    assert electron_wavelength_a(200.0) == pytest.approx(0.0250793, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cs_mm": np.array([2.7])}, r"CTF column cs_mm has 1 rows; expected 3\."),
        (
            {"defocus_v_a": np.array([1e4, np.nan, np.nan])},
            r"CTF column defocus_v_a is not a number for 2 of 3 particles \(the first is particle 2\): estimate",
        ),
        ({"scale": np.array([1.0, 1.0, np.inf])}, r"scale is not a number for 1 of 3 .*the first is particle 3\)"),
        ({"amplitude_contrast": np.full(3, 10.0)}, "between -1 and 1: it is a fraction, not a percentage"),
        ({"voltage_kv": np.array([300.0, 300.0, 3e5])}, "Voltage is 300000 kV; expected 10 to 3000 kV"),
        ({"voltage_kv": np.zeros(3)}, "Voltage is 0 kV; .* check the file's voltage column"),
    ],
)
def test_impossible_parameters(changes, message):
    good = {name: np.full(3, value) for name, value in GOLDEN.items()}
    CtfParameters(**good)
    with pytest.raises(InputError, match=message):
        CtfParameters(**{**good, **changes})
