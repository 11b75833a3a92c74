"""Poses in cryoSPARC's fields: one refinement, or one of several classes for each particle.

Heterogeneous jobs write ``alignments_class_0/*``, ``alignments_class_1/*`` ... up to version 4.4 and two-dimensional
arrays ``alignments3D_multi/*`` (particles, classes) from 4.5 on. A particle's class is the one of highest posterior.
"""

import re
from collections.abc import Mapping

import numpy as np

from gemmap._types import Int
from gemmap.errors import FormatError, InputError
from gemmap.io.cs_fields import CsFields

_MULTI = "alignments3D_multi"
_CLASS = re.compile(r"alignments_class_(\d+)/(.+)")
_POSE_WIDTHS = {"pose": (3,), "shift": (2,)}


def single_alignment(fields: CsFields, notes: list[str]) -> tuple[CsFields, Int[np.ndarray, " n"] | None]:
    """Return fields with one ``alignments3D`` for every particle, and the class of each if there are classes.

    ``alignments3D`` of the file itself is taken if it is there; poses of classes come before those of a passthrough
    file, which belong to an earlier job.

    Raises
    ------
    InputError
        If there are no poses, or poses of classes without posteriors.
    FormatError
        If the fields of the classes do not fit together.
    """
    classes = _classes(fields)
    own = "alignments3D/pose" in fields and "alignments3D/pose" not in fields.from_passthrough
    if classes is None or own:
        if "alignments3D/pose" not in fields:
            raise InputError(
                f"{fields.source} has no poses: field alignments3D/pose is missing; give the particles of a "
                "refinement, and its passthrough file with --passthrough if it has one."
            )
        if fields.columns["alignments3D/pose"].shape[1:] != (3,):
            raise FormatError(f"{fields.source}: alignments3D/pose is not a rotation vector for every particle.")
        return fields, fields.ints("alignments3D/class") if "alignments3D/class" in fields else None
    numbers, columns = classes
    if "class_posterior" not in columns or "pose" not in columns:
        raise InputError(
            f"{fields.source} holds the poses of several classes without their class_posterior; export the particles "
            "of one class, or refine them."
        )
    posterior = np.asarray(columns["class_posterior"], np.float64)
    if not np.isfinite(posterior).all():
        raise FormatError(f"{fields.source}: class_posterior is not a number for every particle.")
    best = posterior.argmax(axis=1)
    rows = np.arange(fields.n)
    chosen = {f"alignments3D/{name}": values[rows, best] for name, values in columns.items()}
    notes.append(
        f"Each particle's pose is that of its class of highest posterior, of {posterior.shape[1]} classes "
        f"(mean posterior {posterior[rows, best].mean():.2f})."
    )
    rest = {name: values for name, values in fields.columns.items() if not name.startswith("alignments3D/")}
    # One half-set and one pixel size may stand for all classes.
    shared = {f"alignments3D/{name}": fields.columns[f"{_MULTI}/{name}"] for name in ("split", "psize_A")
              if f"{_MULTI}/{name}" in fields and fields.columns[f"{_MULTI}/{name}"].ndim == 1}  # fmt: skip
    return CsFields(fields.source, rest | shared | chosen, fields.n), numbers[rows, best]


def _classes(fields: CsFields) -> tuple[Int[np.ndarray, "n k"], Mapping[str, np.ndarray]] | None:
    """Class numbers (n, k) and the fields of the classes (n, k, ...); None if there are none."""
    if f"{_MULTI}/pose" in fields:
        return _from_arrays(fields)
    found: dict[str, dict[int, np.ndarray]] = {}
    for name, values in fields.columns.items():
        if match := _CLASS.fullmatch(name):
            found.setdefault(match[2], {})[int(match[1])] = values
    if "pose" not in found:
        return None
    numbers = sorted(found["pose"])
    columns = {
        name: np.stack([by_class[number] for number in numbers], axis=1)
        for name, by_class in found.items()
        if sorted(by_class) == numbers and len({values.shape for values in by_class.values()}) == 1
    }
    return np.tile(numbers, (fields.n, 1)), columns


def _from_arrays(fields: CsFields) -> tuple[Int[np.ndarray, "n k"], Mapping[str, np.ndarray]]:
    prefix = f"{_MULTI}/"
    arrays = {name.removeprefix(prefix): fields.columns[name] for name in fields.columns if name.startswith(prefix)}
    posterior = arrays.get("class_posterior")
    if posterior is None or posterior.ndim != 2:
        raise InputError(
            f"{fields.source} holds the poses of several classes without their class_posterior; export the particles "
            "of one class, or refine them."
        )
    k = posterior.shape[1]
    columns = {}
    for name, values in arrays.items():
        width = _POSE_WIDTHS.get(name, ())
        if values.size == fields.n * k * int(np.prod(width)) and (values.ndim > 1 or k == 1):
            columns[name] = values.reshape(fields.n, k, *width)
    if "pose" not in columns:
        raise FormatError(
            f"{fields.source}: {_MULTI}/pose has shape {arrays['pose'].shape}; expected 3 numbers for each of {k} "
            "classes."
        )
    numbers = np.asarray(columns["class"], np.int64) if "class" in columns else np.tile(np.arange(k), (fields.n, 1))
    return numbers, columns
