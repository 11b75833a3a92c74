"""An aggregate as named tensors and a description, and back; which file they are kept in is not decided here.

Schema ``gemmap-aggregate``, version 1: ``numerator`` (M, M, M//2 + 1, 2) float32, real and imaginary part last, and
``weight`` (M, M, M//2 + 1) float32, with ``box_px``, ``pixel_size_a``, ``n_particles`` and ``symmetry`` (C1 if it is
not said).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gemmap.errors import FormatError
from gemmap.fit.aggregate import Aggregate, grid_size
from gemmap.geometry.symmetry import NO_SYMMETRY

_SCHEMA, _VERSION = "gemmap-aggregate", 1


def aggregate_to_tensors(aggregate: Aggregate) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return views of the arrays as tensors, and the description."""
    tensors = {
        "numerator": torch.view_as_real(torch.from_numpy(aggregate.numerator)),
        "weight": torch.from_numpy(aggregate.weight),
    }
    description = {
        "schema": _SCHEMA,
        "version": _VERSION,
        "box_px": int(aggregate.box_px),
        "pixel_size_a": float(aggregate.pixel_size_a),
        "n_particles": int(aggregate.n_particles),
        "symmetry": aggregate.symmetry,
    }
    return tensors, description


def aggregate_from_tensors(
    tensors: Mapping[str, Tensor], description: Mapping[str, Any], source: str = "The file"
) -> Aggregate:
    """Return the aggregate that `aggregate_to_tensors` took apart; ``source`` names it in messages.

    Raises
    ------
    FormatError
        If the schema or version is another one, or the tensors do not have the shapes that the box asks for.
    """
    found = description.get("schema"), description.get("version")
    if found != (_SCHEMA, _VERSION):
        raise FormatError(
            f"{source} holds {found[0]} version {found[1]}; expected {_SCHEMA} version {_VERSION}: give a file that "
            "--save-aggregates wrote."
        )
    box_px = int(description["box_px"])
    m = grid_size(box_px)
    grid = (m, m, m // 2 + 1)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if shapes != {"numerator": (*grid, 2), "weight": grid} or any(t.dtype != torch.float32 for t in tensors.values()):
        raise FormatError(
            f"{source} holds tensors {shapes}; expected float32 numerator {(*grid, 2)} and weight {grid} for its box "
            f"of {box_px} px: write it again with this version of GEM."
        )
    return Aggregate(
        numerator=np.asarray(torch.view_as_complex(tensors["numerator"].contiguous()).numpy()),
        weight=tensors["weight"].numpy(),
        box_px=box_px,
        pixel_size_a=float(description["pixel_size_a"]),
        n_particles=int(description["n_particles"]),
        symmetry=str(description.get("symmetry", NO_SYMMETRY.name)),
    )
