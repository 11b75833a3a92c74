"""Aberrations in cryoSPARC's fields, against formulas written out here."""

import math
from pathlib import Path

import numpy as np
import pytest
from cs_sample import columns, cs

from gemmap.errors import InputError
from gemmap.io.cs import read_cs
from gemmap.physics.zernike import odd_from_beam_tilt

ABERRATIONS = {
    "ctf/shift_A": np.array([[0.5, -0.25]] * 3),
    "ctf/tilt_A": np.array([[1500.0, -700.0]] * 3),
    "ctf/trefoil_A": np.array([[-900.0, 400.0]] * 3),
    "ctf/tetra_A": np.array([[3e4, -2e4, 5e4, -8e4]] * 3),
    "ctf/anisomag": np.array([[0.01, 0.002, -0.003, -0.01]] * 3),
}


class TestAberrations:
    @pytest.mark.parametrize("name", ABERRATIONS)
    def test_refused_unless_zero(self, tmp_path: Path, name: str) -> None:
        zeros = np.zeros_like(ABERRATIONS[name])
        assert read_cs(cs(tmp_path / "a.cs", columns() | {name: zeros}))[1] == ()
        file = cs(tmp_path / "b.cs", columns() | {name: ABERRATIONS[name]})
        with pytest.raises(InputError, match=f"{name}.*--cs-aberrations model .*--cs-aberrations ignore"):
            read_cs(file)

    def test_ignored(self, tmp_path: Path) -> None:
        table, (note,) = read_cs(cs(tmp_path / "a.cs", columns() | ABERRATIONS), aberrations="ignore")
        assert all((g.odd_zernike, g.even_zernike, g.magnification) == ((), (), (1, 0, 0, 1)) for g in table.optics)
        assert note.startswith("Left out as asked: ctf/shift_A, ctf/tilt_A")
        assert table.shifts_a[0].tolist() == [6.0, -8.0]

    def test_modelled_by_the_convention(self, tmp_path: Path) -> None:
        """Phases at some k, from the formulas of docs/conventions.md and the polynomials of RELION."""
        table, (note,) = read_cs(cs(tmp_path / "a.cs", columns() | ABERRATIONS), aberrations="model")
        assert note.startswith("Modelled as asked, by a convention that cryoSPARC does not document")
        np.testing.assert_allclose(table.shifts_a[0], [5.5, -7.75])
        group = table.optics[0]
        np.testing.assert_allclose(group.magnification, [1.01, 0.002, -0.003, 0.99], rtol=1e-6)
        wavelength = 12.2643247 / math.sqrt(300e3 * (1 + 0.978466e-6 * 300e3))
        for k, t in ((0.1, 0.0), (0.2, 1.1), (0.25, -2.5)):
            odd = [k * math.sin(t), k * math.cos(t), k**3 * math.sin(3 * t), (3 * k**3 - 2 * k) * math.sin(t),
                   (3 * k**3 - 2 * k) * math.cos(t), k**3 * math.cos(3 * t)]  # fmt: skip
            wanted = -2 * math.pi * wavelength**2 * k**3 * (1500 * math.cos(t) - 700 * math.sin(t))
            wanted -= 2 * math.pi / 3 * wavelength**2 * k**3 * (-900 * math.cos(3 * t) + 400 * math.sin(3 * t))
            assert np.dot(group.odd_zernike, odd) == pytest.approx(wanted, rel=1e-6)
            r42 = 4 * k**4 - 3 * k**2
            even = [
                1,
                k**2 * math.sin(2 * t),
                2 * k**2 - 1,
                k**2 * math.cos(2 * t),
                k**4 * math.sin(4 * t),
                r42 * math.sin(2 * t),
                6 * k**4 - 6 * k**2 + 1,
                r42 * math.cos(2 * t),
                k**4 * math.cos(4 * t),
            ]
            wanted = 2 * math.pi * (3e4 * math.cos(2 * t) - 2e4 * math.sin(2 * t))
            wanted += math.pi / 2 * (5e4 * math.cos(4 * t) - 8e4 * math.sin(4 * t))
            assert np.dot(group.even_zernike, even) == pytest.approx(wanted * wavelength**3 * k**4, rel=1e-6)

    def test_tilt_is_that_of_relion(self, tmp_path: Path) -> None:
        """A beam tilt of tau mrad is tilt_A = Cs tau, as pyem converts it."""
        tilt = np.array([[2.7e7 * 0.4e-3, 0.0]] * 3)
        table, _ = read_cs(cs(tmp_path / "a.cs", columns() | {"ctf/tilt_A": tilt}), aberrations="model")
        np.testing.assert_allclose(table.optics[0].odd_zernike, odd_from_beam_tilt(0.4, 0.0, 2.7, 300.0), rtol=1e-6)

    def test_without_a_ctf(self, tmp_path: Path) -> None:
        table, (note,) = read_cs(cs(tmp_path / "a.cs", columns() | ABERRATIONS), no_ctf=True)
        assert table.optics[0].odd_zernike == ()
        assert "Left out" in note
