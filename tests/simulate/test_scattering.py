import numpy as np
import pytest

from gemmap.simulate.scattering import atom_points
from gemmap.simulate.structure import Atoms, embedded_structure

#: International Tables for Crystallography, vol. C, table 4.3.2.2, typed in from the printed table.
CARBON = ([0.0893, 0.2563, 0.7570, 1.0487, 0.3575], [0.2465, 1.7100, 6.4094, 18.6113, 50.2523])
OXYGEN = ([0.0974, 0.2921, 0.6910, 0.6990, 0.2039], [0.2067, 1.3815, 4.6943, 12.7105, 32.4726])


def factor(table: tuple[list[float], list[float]], bfactor: float, k: np.ndarray) -> np.ndarray:
    return sum(a * np.exp(-(b + bfactor) * k**2 / 4) for a, b in zip(*table, strict=True))


@pytest.mark.parametrize("blur", [0.0, 30.0])
def test_two_atoms_have_the_printed_form_factors(blur: float) -> None:
    atoms = Atoms(np.zeros((2, 3)), np.array([6, 8]), np.array([12.0, 40.0]), np.array([1.0, 0.5]))
    k = np.linspace(0.0, 0.4, 7)
    points = atom_points(atoms, 1.0, blur)
    found = points.weights @ points.form_factors(k**2)
    np.testing.assert_allclose(found[0], factor(CARBON, 12.0 + blur, k), rtol=2e-3)
    np.testing.assert_allclose(found[1], 0.5 * factor(OXYGEN, 40.0 + blur, k), rtol=2e-3)
    assert points.mass == pytest.approx(2.5088 + 0.5 * 1.9834, rel=1e-3)


@pytest.mark.parametrize(("pixel", "most"), [(0.7, 9), (2.0, 5)])
def test_few_functions_serve_all_atoms(pixel: float, most: int) -> None:
    atoms = embedded_structure()
    points = atom_points(atoms, pixel)
    assert points.weights.shape[1] <= most
    some = np.arange(0, len(atoms), 501)
    k = np.linspace(0.0, np.sqrt(3) / 2 / pixel, 50)
    found = (points.weights[some] @ points.form_factors(k**2)) / atoms.occupancy[some][:, None]
    alone = [atom_points(Atoms(*(getattr(atoms, f)[[i]] for f in vars(atoms))), pixel) for i in some]
    exact = np.concatenate([p.weights @ p.form_factors(k**2) for p in alone])
    assert (np.abs(found - exact).max(axis=0) / exact.max(axis=0)).max() < 6e-4


def test_positions_are_kept(cluster: Atoms) -> None:
    np.testing.assert_array_equal(atom_points(cluster, 1.5).positions_a, cluster.positions_a)
