"""Gaussians in other programs' formats, read back by those programs' own rules."""

from pathlib import Path

import gemmi
import numpy as np
import pytest
import torch

from gemmap.errors import InputError
from gemmap.gaussians.model import Gaussians
from gemmap.io.gaussian_exports import WRITERS, positions_a, write_bild, write_mmcif, write_npz, write_ply
from gemmap.io.gaussians import StoredGaussians

BOX, PIXEL = 9, 2.0


def stored(n: int = 5, negative: bool = True) -> StoredGaussians:
    rng = np.random.default_rng(n)
    quaternions = rng.normal(size=(n, 4))
    masses = rng.uniform(0.5, 2.0, n)
    if negative and n > 1:
        masses[1] *= -1.0
    values = (
        rng.normal(0.0, 3.0, (n, 3)),
        rng.uniform(1.0, 3.0, (n, 3)),
        quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True),
        masses,
    )
    return StoredGaussians(Gaussians(*(torch.tensor(value, dtype=torch.float32) for value in values)), BOX, PIXEL)


def covariance(s: StoredGaussians, i: int) -> np.ndarray:
    """By rotating the axes one by one with scipy, which shares nothing with the package."""
    from scipy.spatial.transform import Rotation

    w, x, y, z = s.gaussians.quaternions[i].double().numpy()
    axes = Rotation.from_quat([x, y, z, w]).as_matrix() * s.gaussians.scales_a[i].double().numpy()
    return np.asarray(axes @ axes.T)


def test_positions_lie_on_the_map():
    s = stored()
    np.testing.assert_allclose(positions_a(s), s.gaussians.centres_a.numpy() + 4 * PIXEL, atol=1e-6)


def test_pseudo_atoms_have_the_covariance_as_displacement(tmp_path):
    s = stored()
    assert write_mmcif(tmp_path / "g.cif", s) == 4
    structure = gemmi.read_structure(str(tmp_path / "g.cif"))  # kept: atoms refer to it
    atoms = [site.atom for site in structure[0].all()]
    kept = [0, 2, 3, 4]
    masses = s.gaussians.masses.numpy()
    for atom, i in zip(atoms, kept, strict=True):
        np.testing.assert_allclose(atom.pos.tolist(), positions_a(s)[i], atol=2e-3)
        u = covariance(s, i)
        found = [atom.aniso.u11, atom.aniso.u22, atom.aniso.u33, atom.aniso.u12, atom.aniso.u13, atom.aniso.u23]
        np.testing.assert_allclose(found, [u[0, 0], u[1, 1], u[2, 2], u[0, 1], u[0, 2], u[1, 2]], atol=1e-3)
        assert atom.b_iso == pytest.approx(8 * np.pi**2 * np.trace(u) / 3, rel=1e-3)
        assert atom.occ == pytest.approx(masses[i] / masses.max(), abs=0.006)


def test_more_pseudo_atoms_than_a_chain_holds_go_to_further_chains(tmp_path):
    n = 10_001
    s = stored(n, negative=False)
    assert write_mmcif(tmp_path / "g.cif", s) == n
    structure = gemmi.read_structure(str(tmp_path / "g.cif"))
    assert [(chain.name, len(chain)) for chain in structure[0]] == [("A", 9999), ("B", 2)]


def test_splats_hold_logarithms_and_logits(tmp_path):
    s = stored()
    assert write_ply(tmp_path / "g.ply", s) == 4
    content = (tmp_path / "g.ply").read_bytes()
    head, body = content.split(b"end_header\n", 1)
    lines = head.decode().splitlines()
    assert lines[:3] == ["ply", "format binary_little_endian 1.0", "element vertex 4"]
    names = [line.split()[2] for line in lines if line.startswith("property float")]
    table = dict(zip(names, np.frombuffer(body, "<f4").reshape(4, len(names)).T, strict=True))
    kept = [0, 2, 3, 4]
    np.testing.assert_allclose(np.stack([table[a] for a in "xyz"], 1), positions_a(s)[kept], rtol=1e-6)
    scales = s.gaussians.scales_a.numpy()[kept]
    np.testing.assert_allclose(np.exp(np.stack([table[f"scale_{i}"] for i in range(3)], 1)), scales, rtol=1e-5)
    quaternions = np.stack([table[f"rot_{i}"] for i in range(4)], 1)
    np.testing.assert_allclose(quaternions, s.gaussians.quaternions.numpy()[kept], rtol=1e-6)
    peak = s.gaussians.masses.numpy()[kept] / scales.prod(1)
    opacity = 1 / (1 + np.exp(-table["opacity"].astype(np.float64)))
    np.testing.assert_allclose(opacity, 1 - 0.5 ** (4 * peak / peak.max()), atol=1e-5)


def test_spheres_have_the_volume_of_the_ellipsoids(tmp_path):
    s = stored()
    assert write_bild(tmp_path / "g.bild", s) == 5
    spheres = [
        line.split()[1:] for line in (tmp_path / "g.bild").read_text().splitlines() if line.startswith(".sphere")
    ]
    expected = [0, 2, 3, 4, 1]  # the negative one in its own colour, last
    for values, i in zip(spheres, expected, strict=True):
        x, y, z, r = map(float, values)
        np.testing.assert_allclose((x, y, z), positions_a(s)[i], atol=1e-3)
        assert r**3 == pytest.approx(float(s.gaussians.scales_a[i].prod()), rel=1e-2)


def test_numpy_gets_all_there_is(tmp_path):
    s = stored()
    assert write_npz(tmp_path / "g.npz", s) == 5
    with np.load(tmp_path / "g.npz") as file:
        assert (int(file["box_px"]), float(file["pixel_size_a"])) == (BOX, PIXEL)
        for name in ("centres_a", "scales_a", "quaternions", "masses"):
            np.testing.assert_array_equal(file[name], getattr(s.gaussians, name).numpy())


@pytest.mark.parametrize("name", ["cif", "ply"])
def test_nothing_positive_is_a_sentence(tmp_path, name):
    g = stored(1).gaussians
    negative = StoredGaussians(Gaussians(g.centres_a, g.scales_a, g.quaternions, -g.masses), BOX, PIXEL)
    with pytest.raises(InputError, match="None of the Gaussians has a positive mass"):
        WRITERS[name](Path(tmp_path / f"g.{name}"), negative)
    assert list(tmp_path.iterdir()) == []
