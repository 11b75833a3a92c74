"""The limit on a GPU's memory that the user gives: checked against the device, planned, and held to."""

from gemmap.api.options import ReconstructionOptions
from gemmap.errors import InputError
from gemmap.fit.gpu_memory import GpuMemoryPlan, hold_to, plan_gpu_memory
from gemmap.units import memory_text


def plan_gpu(options: ReconstructionOptions, device: str, box_px: int, batch_size: int) -> GpuMemoryPlan | None:
    """Work out what fits on the GPU, and hold this process to it; None where the user gives no limit.

    Raises
    ------
    InputError
        If there is a limit and no GPU is used, or it is too small.
    """
    limit_bytes = options.gpu_memory_bytes
    if limit_bytes is None:
        return None
    if device == "cpu":
        raise InputError(
            "--gpu-memory is a limit for a GPU, and this computes on the CPU; leave it out, or give --device cuda."
        )
    plan = plan_gpu_memory(box_px, limit_bytes, batch_size)
    hold_to(device, limit_bytes)
    return plan


def gpu_text(plan: GpuMemoryPlan) -> str:
    """Return the plan in words."""
    return (
        f"{memory_text(plan.least_bytes)} needed at least, {memory_text(plan.limit_bytes)} allowed: images are "
        f"inserted {plan.batch_images:,} at a time at most"
    )
