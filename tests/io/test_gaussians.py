from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from gemmap.errors import FormatError
from gemmap.gaussians.model import Gaussians
from gemmap.io.gaussians import load_gaussians, save_gaussians
from gemmap.io.tensors import load_tensors, save_tensors


def some(n: int) -> Gaussians:
    generator = torch.Generator().manual_seed(0)
    quaternions = torch.randn(n, 4, generator=generator)
    return Gaussians(
        centres_a=torch.randn(n, 3, generator=generator) * 50,
        scales_a=torch.rand(n, 3, generator=generator) + 0.5,
        quaternions=quaternions / quaternions.norm(dim=-1, keepdim=True),
        masses=torch.randn(n, generator=generator),
    )


@pytest.mark.parametrize("n", [0, 1, 7])
def test_round_trip_is_lossless(tmp_path: Path, n: int) -> None:
    wanted = some(n)
    save_gaussians(tmp_path / "g.safetensors", wanted, 64, 1.31)
    got = load_gaussians(tmp_path / "g.safetensors")
    assert (got.box_px, got.pixel_size_a) == (64, 1.31)
    for name in ("centres_a", "scales_a", "quaternions", "masses"):
        assert torch.equal(getattr(got.gaussians, name), getattr(wanted, name))


def test_description_says_units_and_amplitude(tmp_path: Path) -> None:
    save_gaussians(tmp_path / "g.safetensors", some(2), 64, 1.31)
    with safe_open(tmp_path / "g.safetensors", framework="pt") as handle:
        text = handle.metadata()["gemmap"]
    for part in (
        '"schema": "gemmap-gaussians"',
        '"version": 1',
        '"length_unit": "angstrom"',
        "mass: integral over space",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("tensors", "description", "message"),
    [
        ({}, {"version": 2}, "gemmap-gaussians version 2; expected gemmap-gaussians version 1"),
        ({}, {"schema": "aggregate"}, "holds aggregate version 1"),
        ({}, {"box_px": None}, "does not state the box_px"),
        ({"extra": torch.zeros(2)}, {}, "holds the tensors"),
        ({"masses": torch.zeros(4)}, {}, r"masses is torch\.float32 of shape \(4,\); expected float32 of shape \(3,\)"),
        ({"masses": torch.zeros(3, dtype=torch.float64)}, {}, r"masses is torch\.float64"),
        ({"scales_a": torch.zeros(3, 3)}, {}, "scales_a has values that are not positive"),
        ({"quaternions": torch.ones(3, 4)}, {}, "not of unit length"),
        ({"centres_a": torch.full((3, 3), torch.inf)}, {}, "centres_a has values that are not finite"),
    ],
)
def test_impossible_content_is_refused(
    tmp_path: Path, tensors: dict[str, torch.Tensor], description: dict[str, Any], message: str
) -> None:
    file = tmp_path / "g.safetensors"
    save_gaussians(file, some(3), 64, 1.31)
    good_tensors, good_description = load_tensors(file)
    save_tensors(file, good_tensors | tensors, good_description | description)
    with pytest.raises(FormatError, match=message):
        load_gaussians(file)


def test_truncated_file(tmp_path: Path) -> None:
    file = tmp_path / "g.safetensors"
    save_gaussians(file, some(3), 64, 1.31)
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(FormatError, match="is damaged"):
        load_gaussians(file)


def test_the_symmetry_of_the_map_is_kept(tmp_path: Path) -> None:
    save_gaussians(tmp_path / "g.safetensors", some(6), 64, 1.31, "C3")
    assert load_gaussians(tmp_path / "g.safetensors").symmetry == "C3"
    tensors, description = load_tensors(tmp_path / "g.safetensors")
    assert description["symmetry"] == "C3"
    del description["symmetry"]
    save_tensors(tmp_path / "older.safetensors", tensors, description)
    assert load_gaussians(tmp_path / "older.safetensors").symmetry == "C1"
