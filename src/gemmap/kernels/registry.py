"""Which backends can run which kernel, and the choice between them."""

import importlib
import importlib.util
import threading
from collections.abc import Callable
from typing import Any

import torch

from gemmap.errors import BackendError
from gemmap.kernels import threads

#: Held during every call of a numba kernel: its thread pool must not be entered by two Python threads at once.
LOCK = threading.Lock()

#: Kernel -> backend -> module, imported on first use. The function bears the kernel's name.
KERNELS: dict[str, dict[str, str]] = {
    "voxelize": {"reference": "gemmap.kernels.reference", "numba": "gemmap.kernels.cpu_voxelize"},
    "voxelize_gather": {"reference": "gemmap.kernels.reference", "numba": "gemmap.kernels.cpu_voxelize"},
    "project": {"reference": "gemmap.kernels.reference_project", "numba": "gemmap.kernels.cpu_project"},
    "project_gather": {"reference": "gemmap.kernels.reference_project", "numba": "gemmap.kernels.cpu_project"},
    "weigh_residuals": {
        "reference": "gemmap.kernels.reference_residuals",
        "numba": "gemmap.kernels.cpu_residuals",
    },
    "prepare_slices": {"reference": "gemmap.kernels.reference_insert", "numba": "gemmap.kernels.cpu_insert"},
    "insert_slices": {"reference": "gemmap.kernels.reference_insert", "numba": "gemmap.kernels.cpu_insert"},
    "complete_plane": {"reference": "gemmap.kernels.reference_insert", "numba": "gemmap.kernels.cpu_insert"},
    "symmetrise": {"reference": "gemmap.kernels.reference_symmetrise", "numba": "gemmap.kernels.cpu_symmetrise"},
}


def usable(kernel: str, device: torch.device, dtype: torch.dtype) -> tuple[str, ...]:
    """Names of the backends that can run a kernel on tensors of this device and dtype, the fastest first."""
    fast = device.type == "cpu" and dtype == torch.float32 and importlib.util.find_spec("numba") is not None
    return tuple(b for b in (("numba", "reference") if fast else ("reference",)) if b in KERNELS[kernel])


def choose(kernel: str, device: torch.device, dtype: torch.dtype, backend: str = "auto") -> str:
    """Name of the backend to use: the one asked for, or with ``auto`` the fastest.

    Raises
    ------
    BackendError
        If the one asked for cannot run this kernel on tensors of this device and dtype.
    """
    names = usable(kernel, device, dtype)
    if backend == "auto":
        return names[0]
    if backend not in names:
        raise BackendError(
            f"backend '{backend}' cannot run {kernel} on {dtype} tensors on {device.type}; "
            f"choose auto or one of: {', '.join(names)}."
        )
    return backend


def load(kernel: str, backend: str) -> Callable[..., Any]:
    """Return the function of a kernel; numba's run one at a time, on numpy arrays."""
    if backend != "numba":
        function: Callable[..., Any] = getattr(importlib.import_module(KERNELS[kernel][backend]), kernel)
        return function
    threads.select_layer()
    compiled = getattr(importlib.import_module(KERNELS[kernel][backend]), kernel)

    def locked(*arguments: Any) -> Any:
        with LOCK:
            return compiled(*arguments)

    return locked
