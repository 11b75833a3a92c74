"""Compile every kernel for a GPU that need not be here: what Python lets pass, the compiler may not.

Prints a line per kernel, with the registers and the bytes that a thread spills where they are known.
"""

import importlib
import re
import subprocess
import tempfile
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

F32, F64, I32, I64 = "*fp32", "*fp64", "*i32", "*i64"
KERNELS = {
    ("gpu_voxelize", "_splat"): ([F32, I32, I32, I64, F32, "i32", "i32", "fp32"], {"TILE": 8, "AT_A_TIME": 4}),
    ("gpu_voxelize", "_take_moments"): ([F32, I32, F32, F32, "i32", "i32", "fp32"], {"GAUSSIANS": 4, "VOXELS": 128}),
    ("gpu_views", "look"): ([F64, F64, F32, I32, "i32", "i32", "fp32"], {"BLOCK": 128}),
    ("gpu_projector", "splat"): ([F32, I32, I64, F32, "i32", "i32", "fp32"], {"TILE": 16, "AT_A_TIME": 8}),
    ("gpu_projector", "take_moments"): ([F32, I32, F32, F32, "i32", "i32", "fp32"], {"GAUSSIANS": 8, "PIXELS": 64}),
    ("gpu_projector", "derive"): ([F64, F64, F32, F64, F64, "i32", "i32"], {"BLOCK": 128, "IMAGES": 8}),
    ("gpu_residuals", "_weigh"): ([F32, F32, F64, F64, F32, F32, F32, "i32", "i32", "i32"], {"BLOCK": 128}),
    ("gpu_insert", "_prepare"): ([F32, F64, F64, F64, F32, I64, F32, F32, "i32", "i32", "i32"], {"BLOCK": 128}),
    ("gpu_insert", "_insert"): ([F32, F64, F32, "i32", "i32", "i32"], {"TILE": 8, "REACH": 1}),
    ("gpu_symmetrise", "_gather"): ([F32, I32, F32, "i32", "i64", "i32"], {"BLOCK": 512}),
}
HOPPER = GPUTarget("cuda", 90, 32)


def compiled(module: str, name: str, types: list[str], constants: dict[str, int], of_ones: bool) -> str:
    """PTX of a kernel; triton makes integers that are 1 constants, so those are a kernel of their own."""
    kernel = getattr(importlib.import_module(f"gemmap.kernels.{module}"), name)
    types = dict(zip(kernel.arg_names, [*types, *["constexpr"] * len(constants)], strict=True))
    if of_ones:
        integers = [argument for argument, kind in types.items() if kind in ("i32", "i64")]
        constants = {**constants, **dict.fromkeys(integers, 1)}
        types.update(dict.fromkeys(integers, "constexpr"))
    where = {(kernel.arg_names.index(argument),): value for argument, value in constants.items()}
    return str(triton.compile(ASTSource(kernel, types, where), target=HOPPER).asm["ptx"])


def resources(ptx: str) -> str:
    """What the assembler that comes with triton says of registers."""
    for assembler in sorted(Path(triton.__file__).parent.glob("backends/nvidia/bin/ptxas*"), reverse=True):
        with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
            file.write(ptx)
            file.flush()
            command = [str(assembler), "-v", "-arch=sm_90a", file.name, "-o", "/dev/null"]
            said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
        registers, spilt = re.search(r"Used (\d+) registers", said), re.search(r"(\d+) bytes spill stores", said)
        if registers and spilt:
            return f"{registers[1]} registers, {spilt[1]} bytes spilt"
    return "registers not known"


if __name__ == "__main__":
    for (module, name), (types, constants) in KERNELS.items():
        compiled(module, name, types, constants, of_ones=True)
        print(f"{module}.{name}:", resources(compiled(module, name, types, constants, of_ones=False)))
