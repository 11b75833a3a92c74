"""Fields of a few particles as cryoSPARC writes them."""

import math
from pathlib import Path
from typing import Any

import numpy as np


def columns(n: int = 3) -> dict[str, Any]:
    """Fields of n particles as cryoSPARC names them; the first view turns the object by 90 degrees about z."""
    pose = np.zeros((n, 3), "f4")
    pose[0] = 0, 0, math.pi / 2
    return {
        "uid": np.arange(100, 100 + n, dtype="u8"),
        "blob/path": np.array([f">J1/extract/s{i % 2}.mrc".encode() for i in range(n)]),
        "blob/idx": np.arange(n, dtype="u4"),
        "blob/shape": np.full((n, 2), 64, "u4"),
        "blob/psize_A": np.full(n, 2.0, "f4"),
        "blob/sign": np.full(n, -1.0, "f4"),
        "alignments3D/pose": pose,
        "alignments3D/shift": np.array([[1.5, -2.0]] * n, "f4"),
        "alignments3D/psize_A": np.full(n, 4.0, "f4"),
        "alignments3D/split": np.arange(n, dtype="u4") % 2,
        "alignments3D/alpha": np.linspace(0.5, 1.5, n, dtype="f4"),
        "ctf/exp_group_id": np.array([7, 3, 7][:n], "u4"),
        "ctf/accel_kv": np.full(n, 300.0, "f4"),
        "ctf/cs_mm": np.full(n, 2.7, "f4"),
        "ctf/amp_contrast": np.full(n, 0.1, "f4"),
        "ctf/df1_A": np.full(n, 12000.0, "f4"),
        "ctf/df2_A": np.full(n, 11000.0, "f4"),
        "ctf/df_angle_rad": np.full(n, 4.5, "f4"),
        "ctf/phase_shift_rad": np.full(n, 0.25, "f4"),
        "ctf/scale": np.full(n, 0.9, "f4"),
        "ctf/bfactor": np.full(n, 30.0, "f4"),
    }


def cs(path: Path, fields: dict[str, Any]) -> Path:
    records = np.zeros(len(next(iter(fields.values()))), [(k, v.dtype, v.shape[1:]) for k, v in fields.items()])
    for name, value in fields.items():
        records[name] = value
    with open(path, "wb") as handle:
        np.save(handle, records)
    return path


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in columns().items() if name not in names}
