"""The backends that the kernel tests run over."""

import importlib.util

import pytest
import torch

from gemmap.kernels import registry

#: Triton's kernels, step by step in Python on the CPU: slow, for small cases. On a GPU see test_triton.
_MARKS = [
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed"),
    pytest.mark.skipif(not registry.is_interpreted(), reason="triton runs on the GPU here"),
]
INTERPRETED = pytest.param("triton", marks=_MARKS)
#: The same for cases of many programs.
INTERPRETED_SLOWLY = pytest.param("triton", marks=[*_MARKS, pytest.mark.slow])
#: Where triton's kernels run: in Python, or for real.
DEVICES = (
    pytest.param("cpu", marks=_MARKS),
    pytest.param(
        "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
    ),
)
