"""The plan for a GPU's memory by hand, and what PyTorch is told; there is no GPU here, so its calls are stand-ins."""

from types import SimpleNamespace

import pytest
import torch

from gemmap.errors import InputError
from gemmap.fit.gpu_memory import hold_to, plan_gpu_memory

# A box of 64 px has a grid of 96: points of its half.
POINTS = 96 * 96 * 49
IMAGE = 7 * 4 * 64 * 64


def test_what_the_grids_leave_is_for_images() -> None:
    # Three sets and a copy, 12 bytes a point each; a fit takes 96 a point, which is more than those and an image.
    plan = plan_gpu_memory(64, 96 * POINTS)
    assert plan.least_bytes == 96 * POINTS
    assert plan.batch_images == 48 * POINTS // IMAGE
    assert plan_gpu_memory(64, 96 * POINTS + 10 * IMAGE).batch_images == plan.batch_images + 10
    batch = 10 * 4 * 64 * 64
    assert plan_gpu_memory(64, 10**9, batch_size=100).least_bytes == 96 * POINTS + 100 * batch


@pytest.mark.parametrize("short", [1, 40 * POINTS])
def test_too_little_for_a_fit_is_one_sentence(short: int) -> None:
    with pytest.raises(
        InputError,
        match=r"A box of 64 px needs at least 0\.0434 GB of the GPU's memory and --gpu-memory allows 0\.0\d+ GB; allow",
    ):
        plan_gpu_memory(64, 96 * POINTS - short)


@pytest.mark.parametrize(("device", "number"), [("cuda", 1), ("cuda:0", 0)])
@pytest.mark.parametrize(("limit", "fraction"), [(4 * 10**9, 0.5), (16 * 10**9, 1.0)])
def test_pytorch_is_held_to_it(
    monkeypatch: pytest.MonkeyPatch, device: str, number: int, limit: int, fraction: float
) -> None:
    told: list[tuple[float, int]] = []
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=8 * 10**9))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *given: told.append(given))
    hold_to(device, limit)
    assert told == [(fraction, number)]
