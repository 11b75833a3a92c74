"""An asymmetric object under a group: what comes out depends on every axis, and on which side the group stands."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fit_cases import PIXEL_SIZE_A, particles, phantom, shell_correlation

from gemmap.fit.aggregate import Accumulator
from gemmap.fit.backprojection import back_projection
from gemmap.geometry.symmetry import point_group
from gemmap.io.mrc import read_map, write_stack
from gemmap.io.relion_write import write_star31
from gemmap.physics.ctf import CtfParameters
from gemmap.validate.masks import spherical_mask

BOX, N = 32, 400


@pytest.mark.peer
@pytest.mark.parametrize("name", ["C3", "D3", "D2", "T", "O", "I1", "I2", "I3"])
def test_relion_reconstruct_makes_the_same_map(tmp_path: Path, name: str) -> None:
    program = shutil.which("relion_reconstruct")
    if program is None:
        pytest.skip("relion_reconstruct is not installed")
    table, images = particles(phantom(8.0, 12), N, BOX, noise=0.5)
    constant = [np.full(N, value) for value in (1e4, 1e4, 0.0, 300.0, 2.7, 0.1, 0.0, 0.0, 1.0)]
    write_stack(tmp_path / "particles.mrcs", images, PIXEL_SIZE_A)
    # RELION wants CTF columns, even when it does not use them.
    write_star31(tmp_path / "particles.star", replace(table, ctf=CtfParameters(*constant)))
    command = [program, "--i", "particles.star", "--o", "out.mrc", "--sym", name, "--pad", "2"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    theirs, _ = read_map(tmp_path / "out.mrc")

    def ours(sym: str) -> np.ndarray:
        accumulator = Accumulator(BOX, PIXEL_SIZE_A, point_group(sym))
        accumulator.add(images, table, np.full((1, BOX), 1.0 / BOX**2), table.optics_group)
        return back_projection(accumulator.finish())

    def agreement(sym: str) -> float:
        mask = spherical_mask(BOX, 10.0, 3.0)
        return float(shell_correlation(ours(sym) * mask, theirs * mask)[2:13].mean())

    assert agreement(name) > 0.99
    others = {"C3": "C4", "D3": "D3y", "D2": "C2", "T": "C3", "O": "D4", "I1": "I2", "I2": "I1", "I3": "I4"}
    assert agreement(others[name]) < 0.9
