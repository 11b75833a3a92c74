"""Optics with everything at once, and the image model written out anew: numpy, polar forms, nothing of gemmap.physics.

Frequencies are integers (kx, ky) of images of side d with pixels of ``pixel_size_a``.
"""

import numpy as np

#: (n, m) in RELION's order.
ODD_ORDERS = [(1, -1), (1, 1), (3, -3), (3, -1), (3, 1), (3, 3), (5, -5), (5, -3), (5, -1), (5, 1), (5, 3), (5, 5)]
EVEN_ORDERS = [(0, 0), (2, -2), (2, 0), (2, 2), (4, -4), (4, -2), (4, 0), (4, 2), (4, 4)]
RADIAL = {
    (0, 0): lambda r: 1 + 0 * r, (1, 1): lambda r: r, (2, 0): lambda r: 2 * r**2 - 1, (2, 2): lambda r: r**2,
    (3, 1): lambda r: 3 * r**3 - 2 * r, (3, 3): lambda r: r**3, (4, 0): lambda r: 6 * r**4 - 6 * r**2 + 1,
    (4, 2): lambda r: 4 * r**4 - 3 * r**2, (4, 4): lambda r: r**4, (5, 1): lambda r: 10 * r**5 - 12 * r**3 + 3 * r,
    (5, 3): lambda r: 5 * r**5 - 4 * r**3, (5, 5): lambda r: r**5,
}  # fmt: skip
#: Of the size that microscopes have, at pixels of 2 Å: some radians at Nyquist.
ODD = (2.0, -1.0, 40.0, -60.0, 80.0, 30.0, 100.0, -200.0, 150.0, 80.0, -90.0, 120.0)
EVEN = (0.3, 8.0, -6.0, 5.0, 60.0, 30.0, -40.0, 20.0, 50.0)
MAGNIFICATION = (1.05, 0.04, -0.02, 0.96)


def aberration(coefficients, orders, kx, ky):
    r, t = np.hypot(kx, ky), np.arctan2(ky, kx)
    terms = (
        c * RADIAL[n, abs(m)](r) * (np.cos(m * t) if m >= 0 else np.sin(-m * t))
        for c, (n, m) in zip(coefficients, orders, strict=False)
    )
    return sum(terms, np.zeros(np.shape(r)))


def at(k, d, pixel_size_a, magnification):
    """M k in 1/Å."""
    return np.reshape(magnification, (2, 2)) @ (np.asarray(k, float) / (d * pixel_size_a)).T


def ctf(k, d, pixel_size_a, p, i, *, even=(), magnification=(1, 0, 0, 1)):
    """CTF of particle i of the parameters p."""
    kx, ky = at(k, d, pixel_size_a, magnification)
    volts = p.voltage_kv[i] * 1e3
    lam = 12.2643247 / np.sqrt(volts * (1 + 0.978466e-6 * volts))
    angle = np.arctan2(ky, kx) - p.defocus_angle_rad[i]
    defocus = 0.5 * (p.defocus_u_a[i] + p.defocus_v_a[i] + (p.defocus_u_a[i] - p.defocus_v_a[i]) * np.cos(2 * angle))
    k2 = kx**2 + ky**2
    gamma = -np.pi * lam * defocus * k2 + 0.5 * np.pi * p.cs_mm[i] * 1e7 * lam**3 * k2**2
    gamma += aberration(even, EVEN_ORDERS, kx, ky) - p.phase_shift_rad[i] - np.arcsin(p.amplitude_contrast[i])
    return -p.scale[i] * np.exp(-p.bfactor_a2[i] * k2 / 4) * np.sin(gamma)


def odd_phase(k, d, pixel_size_a, *, odd=(), magnification=(1, 0, 0, 1)):
    return aberration(odd, ODD_ORDERS, *at(k, d, pixel_size_a, magnification))
