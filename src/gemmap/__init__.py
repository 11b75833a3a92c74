"""GEM: cryo-EM reconstruction with 3D Gaussians, half-maps and an honest resolution.

The names in ``__all__`` are the public surface. Each is imported from its module on first use (PEP 562), so
``import gemmap`` itself loads no numerical library.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gemmap.api.aggregates import load_aggregate, save_aggregate
    from gemmap.api.check import check
    from gemmap.api.comparison import CompareOptions, compare_maps
    from gemmap.api.convert import convert
    from gemmap.api.density import sample_gaussians
    from gemmap.api.evidence import gather_evidence
    from gemmap.api.export import export_run
    from gemmap.api.mask import make_mask
    from gemmap.api.reading import ReadingOptions
    from gemmap.api.reconstruction import reconstruct
    from gemmap.api.result import ReconstructionResult
    from gemmap.api.resume import resume
    from gemmap.api.simulation import write_simulation
    from gemmap.api.validation import validate_half_maps, validate_run
    from gemmap.checks.verdict import CheckReport, Verdict
    from gemmap.errors import BackendError, FormatError, GemError, InputError, NumericsError, OutputError
    from gemmap.fit.aggregate import Aggregate
    from gemmap.fit.config import FitConfig
    from gemmap.fit.progress import Progress
    from gemmap.gaussians.model import Gaussians
    from gemmap.io.formats import read_particles
    from gemmap.io.gaussians import load_gaussians, save_gaussians
    from gemmap.io.mrc import read_map, write_map
    from gemmap.particles.stack import ArrayStack, ImageStack
    from gemmap.particles.table import ParticleTable
    from gemmap.simulate.config import SimulationConfig
    from gemmap.simulate.particles import simulate as simulate_particles
    from gemmap.simulate.structure import embedded_structure, read_structure
    from gemmap.validate.fsc import fsc
    from gemmap.validate.masks import soft_mask_from_map
    from gemmap.validate.resolution import Resolution, resolution_at

    __version__: str

#: Public name -> module that defines it, and its name there.
_HOMES: dict[str, tuple[str, str]] = {
    name: (module, name)
    for module, names in {
        "gemmap.api.aggregates": ("load_aggregate", "save_aggregate"),
        "gemmap.api.check": ("check",),
        "gemmap.api.comparison": ("CompareOptions", "compare_maps"),
        "gemmap.api.convert": ("convert",),
        "gemmap.api.density": ("sample_gaussians",),
        "gemmap.api.evidence": ("gather_evidence",),
        "gemmap.api.export": ("export_run",),
        "gemmap.api.mask": ("make_mask",),
        "gemmap.api.reading": ("ReadingOptions",),
        "gemmap.api.reconstruction": ("reconstruct",),
        "gemmap.api.resume": ("resume",),
        "gemmap.api.result": ("ReconstructionResult",),
        "gemmap.api.simulation": ("write_simulation",),
        "gemmap.api.validation": ("validate_half_maps", "validate_run"),
        "gemmap.checks.verdict": ("CheckReport", "Verdict"),
        "gemmap.errors": (
            "BackendError", "FormatError", "GemError", "InputError", "NumericsError", "OutputError",
        ),
        "gemmap.fit.aggregate": ("Aggregate",),
        "gemmap.fit.config": ("FitConfig",),
        "gemmap.fit.progress": ("Progress",),
        "gemmap.gaussians.model": ("Gaussians",),
        "gemmap.io.formats": ("read_particles",),
        "gemmap.io.gaussians": ("load_gaussians", "save_gaussians"),
        "gemmap.io.mrc": ("read_map", "write_map"),
        "gemmap.particles.stack": ("ArrayStack", "ImageStack"),
        "gemmap.particles.table": ("ParticleTable",),
        "gemmap.simulate.config": ("SimulationConfig",),
        "gemmap.simulate.structure": ("embedded_structure", "read_structure"),
        "gemmap.validate.fsc": ("fsc",),
        "gemmap.validate.masks": ("soft_mask_from_map",),
        "gemmap.validate.resolution": ("Resolution", "resolution_at"),
    }.items()
    for name in names
}  # fmt: skip
# ``gemmap.simulate`` is the package of simulation modules, so its function needs a name of its own here.
_HOMES["simulate_particles"] = ("gemmap.simulate.particles", "simulate")

__all__ = [
    "Aggregate",
    "ArrayStack",
    "BackendError",
    "CheckReport",
    "CompareOptions",
    "FitConfig",
    "FormatError",
    "Gaussians",
    "GemError",
    "ImageStack",
    "InputError",
    "NumericsError",
    "OutputError",
    "ParticleTable",
    "Progress",
    "ReadingOptions",
    "ReconstructionResult",
    "Resolution",
    "SimulationConfig",
    "Verdict",
    "__version__",
    "check",
    "compare_maps",
    "convert",
    "embedded_structure",
    "export_run",
    "fsc",
    "gather_evidence",
    "load_aggregate",
    "load_gaussians",
    "make_mask",
    "read_map",
    "read_particles",
    "read_structure",
    "reconstruct",
    "resolution_at",
    "resume",
    "sample_gaussians",
    "save_aggregate",
    "save_gaussians",
    "simulate_particles",
    "soft_mask_from_map",
    "validate_half_maps",
    "validate_run",
    "write_map",
    "write_simulation",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use; later uses find it in the module itself."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("gemmap")
    elif name in _HOMES:
        module, attribute = _HOMES[name]
        value = getattr(importlib.import_module(module), attribute)
    else:
        raise AttributeError(f"module 'gemmap' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names, also those not imported yet."""
    return sorted({*globals(), *__all__})
