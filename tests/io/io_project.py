"""A small table of particles with two stacks and two optics groups, and its images."""

from dataclasses import dataclass
from pathlib import Path

import mrcfile
import numpy as np
from scipy.spatial.transform import Rotation

from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.table import ParticleTable
from gemmap.physics.ctf import CtfParameters

BOX = 16
PIXEL_A = 1.25


def random_table(n: int, *, pixel_size_a: float = PIXEL_A, per_stack: int = 4, seed: int = 1) -> ParticleTable:
    """Particles with nothing left at its default."""
    rng = np.random.default_rng(seed)
    optics = tuple(OpticsGroup(f"group{i}", pixel_size_a, BOX) for i in range(min(n, 2)))
    group = np.arange(n) % max(len(optics), 1)
    defocus = rng.uniform(8e3, 2e4, n)
    ctf = CtfParameters(
        defocus_u_a=defocus,
        defocus_v_a=defocus - rng.uniform(0, 500, n),
        defocus_angle_rad=rng.uniform(-1.5, 1.5, n),
        voltage_kv=np.where(group == 0, 300.0, 200.0),
        cs_mm=np.full(n, 2.7),
        amplitude_contrast=np.full(n, 0.1),
        phase_shift_rad=rng.uniform(0, 1, n),
        bfactor_a2=np.zeros(n),
        scale=np.ones(n),
    )
    return ParticleTable(
        rotations=np.reshape(Rotation.from_quat(rng.normal(size=(n, 4))).as_matrix(), (n, 3, 3)),
        shifts_a=rng.normal(0, 2, (n, 2)),
        ctf=ctf,
        scale=np.ones(n),
        optics_group=group,
        optics=optics,
        half=1 + np.arange(n) // 2 % 2,
        stack_of=np.arange(n) // per_stack,
        index_in_stack=np.arange(n) % per_stack,
        stacks=tuple(f"Extract/stack{i}.mrcs" for i in range(-(-n // per_stack))),
        image_sign=np.ones(n),
    )


@dataclass
class Project:
    folder: Path
    table: ParticleTable
    images: np.ndarray


def write_project(folder: Path) -> Project:
    """Ten particles in three stacks; stacks are written with mrcfile, not with our writer."""
    table = random_table(10)
    images = np.random.default_rng(2).normal(size=(10, BOX, BOX)).astype(np.float32)
    (folder / "Extract").mkdir()
    for number, name in enumerate(table.stacks):
        with mrcfile.new(folder / name) as mrc:
            mrc.set_data(images[table.stack_of == number])
            mrc.set_image_stack()
            mrc.voxel_size = PIXEL_A
    return Project(folder, table, images)


def assert_same_particles(got: ParticleTable, wanted: ParticleTable, rtol: float = 2e-6) -> None:
    """Every number that all four formats can hold."""
    assert len(got) == len(wanted)
    np.testing.assert_allclose(got.rotations, wanted.rotations, atol=1e-6)
    np.testing.assert_allclose(got.shifts_a, wanted.shifts_a, rtol=rtol, atol=1e-5)
    assert got.ctf is not None
    assert wanted.ctf is not None
    for name in CtfParameters.__dataclass_fields__:
        np.testing.assert_allclose(
            getattr(got.ctf, name), getattr(wanted.ctf, name), rtol=rtol, atol=1e-6, err_msg=name
        )
    sizes = [np.array([g.pixel_size_a for g in t.optics])[t.optics_group] for t in (got, wanted)]
    np.testing.assert_allclose(*sizes, rtol=rtol)
    np.testing.assert_array_equal(got.index_in_stack, wanted.index_in_stack)
    assert [got.stacks[i] for i in got.stack_of] == [wanted.stacks[i] for i in wanted.stack_of]
