"""``import gemmap`` costs nothing, and what it offers is frozen."""

import importlib
import subprocess
import sys

import pytest

import gemmap

PUBLIC = {
    "Aggregate", "ArrayStack", "BackendError", "CheckReport", "CompareOptions", "FitConfig", "FormatError",
    "Gaussians", "GemError", "ImageStack", "InputError", "NumericsError", "OutputError", "ParticleTable", "Progress",
    "ReadingOptions", "ReconstructionResult", "Resolution", "SimulationConfig", "Verdict", "__version__", "check",
    "compare_maps", "convert", "embedded_structure", "export_run", "fsc", "gather_evidence", "load_aggregate",
    "load_gaussians", "make_mask", "read_map", "read_particles", "read_structure", "reconstruct", "resolution_at",
    "resume", "sample_gaussians", "save_aggregate", "save_gaussians", "simulate_particles", "soft_mask_from_map",
    "validate_half_maps", "validate_run", "write_map", "write_simulation",
}  # fmt: skip
HEAVY = ("numba", "triton", "matplotlib", "mrcfile", "torch", "scipy", "numpy", "gemmi")


def modules_after(statement: str) -> set[str]:
    """Names of the heavy modules that a fresh interpreter has loaded after a statement."""
    script = f"import sys\n{statement}\nprint(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=120)
    return set(done.stdout.split())


@pytest.mark.parametrize("statement", ["import gemmap", "import gemmap.cli.main", "import gemmap; gemmap.InputError"])
def test_import_loads_no_numerical_library(statement: str) -> None:
    assert modules_after(statement) == set()


def test_help_and_version_load_none_either() -> None:
    for word in ("--help", "--version"):
        call = f"from gemmap.cli.main import app\ntry: app(['{word}'])\nexcept SystemExit as e: assert not e.code"
        assert modules_after(f"import io; sys.stdout = io.StringIO()\n{call}\nsys.stdout = sys.__stdout__") == set()


def test_using_a_name_loads_what_it_needs() -> None:
    assert "torch" in modules_after("import gemmap; gemmap.Gaussians")


def test_the_public_surface_is_frozen() -> None:
    assert set(gemmap.__all__) == PUBLIC
    assert len(gemmap.__all__) == len(PUBLIC)
    assert set(dir(gemmap)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_is_there(name: str) -> None:
    value = getattr(gemmap, name)
    assert value is getattr(gemmap, name)
    if name != "__version__":
        assert value.__doc__
        assert getattr(importlib.import_module(value.__module__), value.__name__) is value


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'gemmap' has no attribute 'reconstruction'"):
        gemmap.reconstruction  # noqa: B018


def test_python_m_gemmap() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gemmap", "--version"], check=True, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == f"gemmap {gemmap.__version__}\n"
