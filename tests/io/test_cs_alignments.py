"""Poses of several classes, in the layouts of versions to 4.4 and from 4.5 on."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cs_sample import columns, cs

from gemmap.io.cs import read_cs


def class_fields(numbers: tuple[int, ...] = (0, 1, 2)) -> dict[str, Any]:
    """Poses about z by 10, 20 and 30 degrees for the three classes of each particle; the best are 2, 0, 0."""
    posterior = np.array([[0.1, 0.2, 0.7], [0.9, 0.1, 0.0], [0.5, 0.3, 0.2]], "f4")
    fields: dict[str, Any] = {}
    for place, number in enumerate(numbers):
        pose = np.zeros((3, 3), "f4")
        pose[:, 2] = math.radians(10 * (place + 1))
        fields |= {
            f"alignments_class_{number}/pose": pose,
            f"alignments_class_{number}/shift": np.full((3, 2), place, "f4"),
            f"alignments_class_{number}/psize_A": np.full(3, 2.0, "f4"),
            f"alignments_class_{number}/split": np.array([0, 1, 0], "u4"),
            f"alignments_class_{number}/alpha": np.full(3, 1.0 + place, "f4"),
            f"alignments_class_{number}/class_posterior": posterior[:, place],
        }
    return fields


def multi_fields() -> dict[str, Any]:
    """The same as two-dimensional arrays, with one half-set for all classes."""
    old = class_fields()
    stacked = {
        f"alignments3D_multi/{name}": np.stack([old[f"alignments_class_{k}/{name}"] for k in range(3)], axis=1)
        for name in ("pose", "shift", "psize_A", "alpha", "class_posterior")
    }
    return stacked | {
        "alignments3D_multi/split": np.array([0, 1, 0], "u4"),
        "alignments3D_multi/class": np.tile(np.arange(3, dtype="u4"), (3, 1)),
    }


def without_alignments() -> dict[str, Any]:
    return {name: value for name, value in columns().items() if not name.startswith("alignments3D")}


class TestClasses:
    @pytest.mark.parametrize("fields", [class_fields(), multi_fields()], ids=["4.4", "4.5"])
    def test_class_of_highest_posterior(self, tmp_path: Path, fields: dict[str, Any]) -> None:
        table, (note,) = read_cs(cs(tmp_path / "a.cs", without_alignments() | fields))
        assert note.startswith(
            "Each particle's pose is that of its class of highest posterior, of 3 classes (mean posterior 0.70)"
        )
        assert table.class_of is not None
        assert table.class_of.tolist() == [2, 0, 0]
        turn = np.degrees(np.arctan2(table.rotations[:, 0, 1], table.rotations[:, 0, 0]))
        np.testing.assert_allclose(turn, [30, 10, 10], atol=1e-4)
        assert table.shifts_a[:, 0].tolist() == [4.0, 0.0, 0.0]
        assert (table.half.tolist(), table.scale.tolist()) == ([1, 2, 1], [3, 1, 1])

    def test_numbers_of_the_classes_are_those_of_the_file(self, tmp_path: Path) -> None:
        table, _ = read_cs(cs(tmp_path / "a.cs", without_alignments() | class_fields((1, 4, 7))))
        assert table.class_of is not None
        assert table.class_of.tolist() == [7, 1, 1]

    def test_own_classes_come_before_the_alignment_of_an_earlier_job(self, tmp_path: Path) -> None:
        main = cs(tmp_path / "main.cs", without_alignments() | class_fields())
        earlier = cs(tmp_path / "pass.cs", columns())
        assert read_cs(main, passthrough=[earlier])[0].shifts_a[:, 0].tolist() == [4.0, 0.0, 0.0]

    def test_own_alignment_comes_before_the_classes(self, tmp_path: Path) -> None:
        fields = columns() | multi_fields() | {"alignments3D/class": np.array([2, 0, 0], "u4")}
        table, notes = read_cs(cs(tmp_path / "a.cs", fields))
        assert (table.shifts_a[0].tolist(), notes) == ([6.0, -8.0], ())
        assert table.class_of is not None
        assert table.class_of.tolist() == [2, 0, 0]
