"""Which backends can run which kernel, and the choice between them."""

import importlib
import importlib.util
import os
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import torch

from gemmap.errors import BackendError
from gemmap.kernels import threads

Kernel: TypeAlias = Callable[..., Any]

#: Held during every call of a numba kernel: its thread pool must not be entered by two Python threads at once.
LOCK = threading.Lock()


def _modules(reference: str, numba: str, triton: str) -> dict[str, str]:
    names = {"reference": reference, "numba": numba, "triton": triton}
    return {backend: f"gemmap.kernels.{name}" for backend, name in names.items()}


#: Kernel -> backend -> module, imported on first use. The function bears the kernel's name. Completing a plane is
#: so little beside the rest that on a GPU torch does it.
KERNELS: dict[str, dict[str, str]] = {
    "voxelize": _modules("reference", "cpu_voxelize", "gpu_voxelize"),
    "voxelize_gather": _modules("reference", "cpu_voxelize", "gpu_voxelize"),
    "project": _modules("reference_project", "cpu_project", "gpu_project"),
    "project_gather": _modules("reference_project", "cpu_project", "gpu_project"),
    "weigh_residuals": _modules("reference_residuals", "cpu_residuals", "gpu_residuals"),
    "prepare_slices": _modules("reference_insert", "cpu_insert", "gpu_insert"),
    "insert_slices": _modules("reference_insert", "cpu_insert", "gpu_insert"),
    "complete_plane": _modules("reference_insert", "cpu_insert", "reference_insert"),
    "symmetrise": _modules("reference_symmetrise", "cpu_symmetrise", "gpu_symmetrise"),
}


def usable(device: torch.device, dtype: torch.dtype) -> tuple[str, ...]:
    """Names of the backends that can run the kernels on tensors of this device and dtype, the fastest first.

    numba runs on the CPU, triton on NVIDIA GPUs; under ``TRITON_INTERPRET=1`` triton's kernels run on the CPU too, step
    by step in Python, for tests. Devices of other makers are left to the reference, untested.
    """
    names = ["reference"]
    if dtype == torch.float32 and device.type == "cpu":
        names = ["numba", *names] if _is_installed("numba") else names
        names = [*names, "triton"] if is_interpreted() and _is_installed("triton") else names
    # PyTorch for AMD GPUs calls them cuda as well.
    elif dtype == torch.float32 and device.type == "cuda" and torch.version.hip is None and _is_installed("triton"):
        names = ["triton", *names]
    return tuple(names)


def is_interpreted() -> bool:
    """Whether triton's kernels run in Python, as its environment variable asks for."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def choose(kernel: str, device: torch.device, dtype: torch.dtype, backend: str = "auto") -> str:
    """Name of the backend to use: the one asked for, or with ``auto`` the fastest.

    Raises
    ------
    BackendError
        If the one asked for cannot run this kernel on tensors of this device and dtype.
    """
    names = usable(device, dtype)
    if backend == "auto":
        return names[0]
    if backend not in names:
        raise BackendError(
            f"backend '{backend}' cannot run {kernel} on {dtype} tensors on {device.type}; "
            f"choose auto or one of: {', '.join(names)}."
        )
    return backend


def load(kernel: str, backend: str) -> Kernel:
    """Return the function of a kernel; numba's run one at a time, on numpy arrays, the others on tensors."""
    if backend == "numba":
        threads.select_layer()
    if backend == "triton":
        # Said, as triton warns that its default will change: products are added in one step.
        os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")
    function: Kernel = getattr(importlib.import_module(KERNELS[kernel][backend]), kernel)

    def locked(*arguments: Any) -> Any:
        with LOCK:
            return function(*arguments)

    def on_its_device(*arguments: Any) -> Any:
        # Triton launches on the current GPU, whichever the tensors are on.
        with torch.cuda.device_of(arguments[0]):  # type: ignore[no-untyped-call]
            return function(*arguments)

    return {"numba": locked, "triton": on_its_device}.get(backend, function)
