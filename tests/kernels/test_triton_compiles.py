"""The kernels compile for a GPU that is not here: the interpreter lets pass what the compiler does not."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gemmap import kernels

HERE = Path(__file__).parent


def kernels_in_the_package() -> set[str]:
    """Names of the functions that are launched: decorated, and called with a grid."""
    found = set()
    for path in Path(kernels.__file__).parent.glob("gpu_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Subscript):
                found.add(ast.unparse(node.func.value))
    return found


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_every_kernel_compiles_for_hopper_and_spills_nothing(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(tmp_path), "TRITON_DEFAULT_FP_FUSION": "1"}
    command = [sys.executable, HERE / "compile_for_gpu.py"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert {line.split(":")[0].split(".")[1] for line in lines} == kernels_in_the_package()
    assert [line for line in lines if " 0 bytes spilt" not in line and "not known" not in line] == []
