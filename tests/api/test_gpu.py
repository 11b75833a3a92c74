"""A limit on the memory of a GPU, in the plan; there is no GPU here, so PyTorch's part is a stand-in."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gemmap.api import gpu
from gemmap.api.options import ReconstructionOptions
from gemmap.api.plan import plan_reconstruction
from gemmap.errors import BackendError, InputError
from gemmap.fit.memory import FIT_BYTES
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.stack import ArrayStack
from gemmap.particles.table import ParticleTable

N, BOX = 20, 32
#: Of a grid of 48: bytes without which a fit does not go.
LEAST = FIT_BYTES * 48 * 48 * 25


@pytest.fixture
def arrays() -> tuple[ParticleTable, ArrayStack]:
    images = np.random.default_rng(0).normal(size=(N, BOX, BOX)).astype(np.float32)
    zeros = np.zeros(N, int)
    table = ParticleTable(
        rotations=Rotation.random(N, rng=0).as_matrix(), shifts_a=np.zeros((N, 2)), ctf=None, scale=np.ones(N),
        optics_group=zeros, optics=(OpticsGroup("a", 4.0),), half=1 + np.arange(N) % 2, stack_of=zeros,
        index_in_stack=np.arange(N), stacks=("a.mrcs",), image_sign=np.ones(N),
    )  # fmt: skip
    return table, ArrayStack(images)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What PyTorch was held to, on a machine that seems to have a GPU."""
    held: list[tuple[str, int]] = []
    monkeypatch.setattr("gemmap.api.plan.resolve_device", lambda *_: "cuda")
    monkeypatch.setattr(gpu, "hold_to", lambda *given: held.append(given))
    return held


def options(gpu_memory: str, **others: object) -> ReconstructionOptions:
    return ReconstructionOptions(None, gpu_memory=gpu_memory, threads=1, local_resolution=False, **others)


def test_the_plan_says_it_and_the_pass_is_told(arrays, held) -> None:
    plan = plan_reconstruction(options("1GB"), arrays)
    assert held == [("cuda", 10**9)]
    assert plan.gpu_memory is not None
    assert plan.config.device_images == plan.gpu_memory.batch_images == (10**9 - LEAST // 2) // (7 * 4 * BOX**2)
    assert any(line.startswith("GPU memory") and "1.0 GB allowed: images are inserted" in line for line in plan.lines())


def test_too_little_is_refused_and_nothing_is_held(arrays, held) -> None:
    with pytest.raises(
        InputError, match=r"needs at least 0\.00553 GB of the GPU's memory and --gpu-memory allows 0\.00553 GB"
    ):
        plan_reconstruction(options(f"{LEAST // 1000 - 1}KB"), arrays)
    assert held == []


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_without_a_gpu_it_is_refused(arrays, device, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="--gpu-memory is a limit for a GPU, and this computes on the CPU; leave it"):
        plan_reconstruction(options("1GB", device=device), arrays)
    with pytest.raises(BackendError, match="The device cuda was asked for, but PyTorch sees no GPU"):
        plan_reconstruction(options("1GB", device="cuda"), arrays)


def test_an_amount_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="The memory is 'much'; expected an amount such as 8GB"):
        options("much")
