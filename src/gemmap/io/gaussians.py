"""Gaussians on disk, lossless: one safetensors file.

Schema ``gemmap-gaussians``, version 1. Tensors, float32, n Gaussians:

=============  =======  ============================================================================================
centres_a      (n, 3)   xyz in Å from the map's origin, voxel N//2; in a map whose voxel 0 lies at 0 Å, as viewers
                        place it, add ``(box_px // 2) * pixel_size_a``
scales_a       (n, 3)   standard deviations along the three own axes, Å, > 0
quaternions    (n, 4)   wxyz, unit length; R(q) takes own axes to map axes
masses         (n,)     integral of the Gaussian over space in grey values: the voxels of its map sum to it
=============  =======  ============================================================================================

Description (JSON under the metadata key ``gemmap``): ``schema``, ``version``, ``length_unit`` ("angstrom"),
``amplitude`` ("mass: integral over space, not peak height"), ``box_px`` and ``pixel_size_a`` of the map they were
fitted to, and ``symmetry``, the point group of that map (C1 if it is not said). All Gaussians of the map are in the
file: of a group of g rotations the first n/g are an asymmetric unit, and the rest its copies in blocks of n/g.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from gemmap.errors import FormatError
from gemmap.gaussians.model import Gaussians
from gemmap.io.tensors import load_tensors, save_tensors

_SCHEMA, _VERSION = "gemmap-gaussians", 1
_WIDTHS = {"centres_a": 3, "scales_a": 3, "quaternions": 4, "masses": None}


@dataclass(frozen=True, eq=False)
class StoredGaussians:
    """Gaussians and the map frame they belong to."""

    gaussians: Gaussians
    box_px: int
    pixel_size_a: float
    symmetry: str = "C1"


def save_gaussians(path: Path, gaussians: Gaussians, box_px: int, pixel_size_a: float, symmetry: str = "C1") -> None:
    """Write Gaussians as float32 with the box, pixel size and point group of their map.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    description = {
        "schema": _SCHEMA,
        "version": _VERSION,
        "length_unit": "angstrom",
        "amplitude": "mass: integral over space, not peak height",
        "box_px": int(box_px),
        "pixel_size_a": float(pixel_size_a),
        "symmetry": symmetry,
    }
    save_tensors(path, {name: getattr(gaussians, name).to(torch.float32) for name in _WIDTHS}, description)


def load_gaussians(path: Path) -> StoredGaussians:
    """Read Gaussians written by `save_gaussians`.

    Raises
    ------
    InputError
        If the file cannot be read.
    FormatError
        If it is damaged, of another schema or version, or its values are impossible (shape, not finite, a scale that is
        not positive, a quaternion that is not of unit length).
    """
    tensors, description = load_tensors(path)
    found = description.get("schema"), description.get("version")
    if found != (_SCHEMA, _VERSION):
        raise FormatError(
            f"{path} holds {found[0]} version {found[1]}; expected {_SCHEMA} version {_VERSION}: use the GEM version "
            "that wrote it."
        )
    if set(tensors) != set(_WIDTHS):
        raise FormatError(f"{path} holds the tensors {sorted(tensors)}; expected {sorted(_WIDTHS)}.")
    n = len(tensors["centres_a"]) if tensors["centres_a"].ndim else 0
    for name, width in _WIDTHS.items():
        expected = (n,) if width is None else (n, width)
        if tuple(tensors[name].shape) != expected or tensors[name].dtype != torch.float32:
            raise FormatError(
                f"{path}: {name} is {tensors[name].dtype} of shape {tuple(tensors[name].shape)}; expected float32 of "
                f"shape {expected}."
            )
        if not torch.isfinite(tensors[name]).all():
            raise FormatError(f"{path}: {name} has values that are not finite numbers.")
    if (tensors["scales_a"] <= 0).any():
        raise FormatError(f"{path}: scales_a has values that are not positive.")
    if ((torch.linalg.vector_norm(tensors["quaternions"], dim=-1) - 1).abs() > 1e-3).any():
        raise FormatError(f"{path}: quaternions has rows that are not of unit length.")
    try:
        box_px, pixel_size_a = int(description["box_px"]), float(description["pixel_size_a"])
    except (KeyError, TypeError, ValueError):
        raise FormatError(f"{path} does not state the box_px and pixel_size_a of its map.") from None
    return StoredGaussians(Gaussians(**tensors), box_px, pixel_size_a, str(description.get("symmetry", "C1")))
