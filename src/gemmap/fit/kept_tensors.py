"""Kept sums as named tensors and a description, and back; which file they are kept in is not decided here.

Schema ``gemmap-sums``, version 1. Tensors: ``half1_set0_numerator`` (M, M, M//2 + 1, 2) and ``half1_set0_weight``
(M, M, M//2 + 1), float32, for halves 1 and 2 and sets 0 (seen), 1 and 2 (held out); ``ids``, ``half``, ``place``,
``part`` and ``group`` of the particles; ``part0_noise`` (2, g, s) float64 for every part. The description holds box,
pixel size, symmetry, treatment and the parts, and ``checksums``: the BLAKE2b digest of every tensor's bytes.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gemmap._types import Int
from gemmap.errors import FormatError, GemError
from gemmap.fit.aggregate import Aggregate
from gemmap.fit.aggregate_tensors import aggregate_from_tensors, aggregate_to_tensors
from gemmap.fit.extent import Extent
from gemmap.fit.kept_sums import KeptSums, Members, Part
from gemmap.fit.split import N_SETS, Split

_SCHEMA, _VERSION = "gemmap-sums", 1
_COLUMNS = {"ids": np.int64, "half": np.int8, "place": np.int8, "part": np.int32, "group": np.int32}
_SETS = [(half, place) for half in (1, 2) for place in range(N_SETS)]


def sums_to_tensors(sums: KeptSums) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the arrays as tensors, large ones not copied, and the description."""
    tensors: dict[str, Tensor] = {}
    counts = {}
    for half, place in _SETS:
        aggregate = sums.splits[half].sets()[place]
        arrays, described = aggregate_to_tensors(aggregate)
        tensors |= {f"half{half}_set{place}_{name}": tensor for name, tensor in arrays.items()}
        counts[f"half{half}_set{place}"] = described
    for name, kind in _COLUMNS.items():
        tensors[name] = torch.from_numpy(np.ascontiguousarray(getattr(sums.members, name), kind))
    for number, part in enumerate(sums.parts):
        tensors[f"part{number}_noise"] = torch.from_numpy(np.ascontiguousarray(part.noise, np.float64))
    description = {
        "schema": _SCHEMA,
        "version": _VERSION,
        "sets": counts,
        "treatment": dict(sums.treatment),
        "parts": [_described(part) for part in sums.parts],
        "checksums": {name: _digest(tensor) for name, tensor in tensors.items()},
    }
    return tensors, description


def sums_from_tensors(tensors: Mapping[str, Tensor], description: Mapping[str, Any], source: str) -> KeptSums:
    """Return the sums that `sums_to_tensors` took apart; ``source`` names them in messages.

    Raises
    ------
    FormatError
        If they are of another schema or version, incomplete, or not what was written.
    """
    found = description.get("schema"), description.get("version")
    if found != (_SCHEMA, _VERSION):
        raise FormatError(
            f"{source} holds {found[0]} version {found[1]}; expected {_SCHEMA} version {_VERSION}: give a file that "
            "gemmap aggregate wrote."
        )
    try:
        checksums = dict(description["checksums"])
        wrong = [name for name in sorted(checksums) if name not in tensors or checksums[name] != _digest(tensors[name])]
        if wrong or set(tensors) != set(checksums):
            raise FormatError(
                f"{source} is damaged: {(wrong or ['a tensor'])[0]} is not what was written; make it again."
            )
        aggregates = {
            (half, place): aggregate_from_tensors(
                {name: tensors[f"half{half}_set{place}_{name}"] for name in ("numerator", "weight")},
                description["sets"][f"half{half}_set{place}"],
                source,
            )
            for half, place in _SETS
        }
        parts = tuple(
            _part(described, tensors[f"part{number}_noise"]) for number, described in enumerate(description["parts"])
        )
        members = Members(*(_column(tensors[name]) for name in _COLUMNS))
        if len(members) and int(members.part.max()) >= len(parts):
            raise FormatError(f"{source} lists particles of a part that it does not describe; make it again.")
        return KeptSums(
            {half: Split.of([aggregates[half, place] for place in range(N_SETS)]) for half in (1, 2)},
            members,
            parts,
            {str(name): bool(done) for name, done in description["treatment"].items()},
        )
    except FormatError:
        raise
    except GemError as error:
        raise FormatError(f"{source}: {error}") from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise FormatError(f"{source} does not describe its sums as gemmap aggregate does; make it again.") from None


def empty_aggregate(like: Aggregate) -> Aggregate:
    """Return the sums of no particles, on the grid of others."""
    return Aggregate(
        np.zeros_like(like.numerator), np.zeros_like(like.weight), like.box_px, like.pixel_size_a, 0, like.symmetry
    )


def _digest(tensor: Tensor) -> str:
    array = tensor.detach().cpu().contiguous().numpy()
    return hashlib.blake2b(array.view(np.uint8).reshape(-1).data, digest_size=16).hexdigest() if array.size else "empty"


def _column(tensor: Tensor) -> Int[np.ndarray, " n"]:
    return tensor.numpy().astype(np.int64)


def _described(part: Part) -> dict[str, Any]:
    return {
        "source": part.source,
        "created": part.created,
        "gemmap": part.version,
        "groups": list(part.groups),
        "extents": {str(half): [extent.radius_px, extent.edge_px] for half, extent in part.extents.items()},
    }


def _part(described: Mapping[str, Any], noise: Tensor) -> Part:
    groups = tuple(str(name) for name in described["groups"])
    if noise.ndim != 3 or tuple(noise.shape[:2]) != (2, len(groups)):
        raise ValueError(noise.shape)
    return Part(
        source=str(described["source"]),
        created=str(described["created"]),
        version=str(described["gemmap"]),
        groups=groups,
        noise=noise.numpy(),
        extents={half: Extent(*(float(value) for value in described["extents"][str(half)])) for half in (1, 2)},
    )
