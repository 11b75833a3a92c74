"""Gaussians on a grid of one's own, against the formula."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gemmap.api.density import sample_gaussians, write_sampled
from gemmap.errors import FormatError, InputError
from gemmap.gaussians.model import Gaussians
from gemmap.io.gaussians import save_gaussians

BOX, PIXEL = 16, 2.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    n = 6
    quaternions = rng.normal(size=(n, 4))
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    values = rng.normal(0.0, 4.0, (n, 3)), rng.uniform(2.0, 4.0, (n, 3)), quaternions, rng.uniform(1.0, 2.0, n)
    gaussians = Gaussians(*(torch.tensor(value, dtype=torch.float32) for value in values))
    save_gaussians(tmp_path / "g.safetensors", gaussians, BOX, PIXEL)
    return tmp_path / "g.safetensors"


def density(file: Path, points_a: np.ndarray) -> np.ndarray:
    """Grey value at points (x, y, z) in Å from the first voxel of the data's map."""
    from safetensors.torch import load_file

    t = {name: tensor.double().numpy() for name, tensor in load_file(file).items()}
    total = np.zeros(len(points_a))
    rows = zip(*(t[name] for name in ("centres_a", "scales_a", "quaternions", "masses")), strict=True)
    for centre, scale, (w, x, y, z), mass in rows:
        own = (points_a - (BOX // 2) * PIXEL - centre) @ Rotation.from_quat([x, y, z, w]).as_matrix() / scale
        total += mass * np.exp(-0.5 * (own**2).sum(1)) / ((2 * np.pi) ** 1.5 * scale.prod())
    return total * PIXEL**3


def grid(sampled) -> np.ndarray:
    n = len(sampled.map)
    z, y, x = np.meshgrid(*(np.arange(n),) * 3, indexing="ij")
    return np.stack([x, y, z], -1).reshape(-1, 3) * sampled.pixel_size_a + np.array(sampled.origin_a)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pixel_size_a": 1.0},
        {"pixel_size_a": 0.7, "box_px": 11},
        {"centre_a": (14.0, 20.0, 17.0), "box_px": 7},
        {"centre_a": (14.0, 20.0, 17.0)},
        {"box_px": 1},
    ],
)
def test_the_map_is_the_model_at_its_voxels(file, options):
    sampled = sample_gaussians(file, **options, n_threads=1)
    expected = density(file, grid(sampled)).reshape(sampled.map.shape)
    assert np.abs(sampled.map - expected).max() < 6e-3 * density(file, grid(sample_gaussians(file))).max()
    covered = BOX if "centre_a" in options else round(BOX * PIXEL / sampled.pixel_size_a)
    assert len(sampled.map) == options.get("box_px", covered)


def test_the_region_lies_where_it_was_asked_for(file):
    sampled = sample_gaussians(file, box_px=10, pixel_size_a=0.5, centre_a=(10.0, 12.0, 14.0))
    np.testing.assert_allclose(np.array(sampled.origin_a) + 5 * 0.5, (10.0, 12.0, 14.0))


def test_the_origin_is_in_the_header(file, tmp_path):
    import mrcfile

    write_sampled(tmp_path / "m.mrc", sample_gaussians(file, box_px=4, centre_a=(10.0, 12.0, 14.0)))
    with mrcfile.open(tmp_path / "m.mrc") as m:
        assert (float(m.header.origin.x), float(m.header.origin.y), float(m.header.origin.z)) == (6.0, 8.0, 10.0)
        assert float(m.voxel_size.x) == 2.0


def test_narrow_gaussians_are_counted(file):
    assert sample_gaussians(file).n_narrow == 0
    assert sample_gaussians(file, pixel_size_a=8.0).n_narrow == 6


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"pixel_size_a": 0.0}, "The pixel size is 0 Å; expected more than 0"),
        ({"box_px": 0}, "A map of 0 voxels a side was asked for; expected 1 to 1024"),
        ({"pixel_size_a": 0.001}, "A map of 32000 voxels"),
    ],
)
def test_impossible_grids_are_a_sentence(file, options, sentence):
    with pytest.raises(InputError, match=sentence):
        sample_gaussians(file, **options)


def test_another_file_is_a_sentence(tmp_path):
    (tmp_path / "x.safetensors").write_text("x")
    with pytest.raises(FormatError, match="damaged"):
        sample_gaussians(tmp_path / "x.safetensors")
