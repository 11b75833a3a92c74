"""The library without a command line: arrays in, values out."""

import inspect
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np
import pytest

import gemmap
from gemmap.api.options import ReconstructionOptions
from gemmap.api.plan import plan_reconstruction, resolve_device
from gemmap.fit.aggregate import grid_size
from gemmap.simulate.particles import Simulation

FAST = {"max_steps": 2, "n_gaussians": 100, "threads": 1}


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    config = gemmap.SimulationConfig(box_px=40, pixel_size_a=6.0, n_particles=120, snr=0.5, seed=2)
    return gemmap.simulate_particles(gemmap.embedded_structure(), config)


@pytest.fixture(scope="module")
def result(simulation: Simulation) -> gemmap.ReconstructionResult:
    return gemmap.reconstruct((simulation.table, simulation.stack), **FAST)


def test_signature_and_options_agree() -> None:
    parameters = inspect.signature(gemmap.reconstruct).parameters
    about_the_call = {"output", "overwrite", "progress"}
    assert set(parameters) - about_the_call == {f.name for f in fields(ReconstructionOptions)}
    for f in fields(ReconstructionOptions):
        if f.default is not MISSING:
            assert parameters[f.name].default == f.default, f.name


def test_arrays_in_values_out(result: gemmap.ReconstructionResult, simulation: Simulation) -> None:
    assert result.folder is None
    assert result.map.shape == (40, 40, 40)
    assert [half.shape for half in result.half_maps] == [(40, 40, 40)] * 2
    assert result.pixel_size_a == 6.0
    assert 0 < len(result.gaussians) <= 100
    assert result.resolution is result.resolutions["map"]
    assert result.resolution.estimator == "cross-FSC"
    assert set(result.curves) >= {"cross_fsc_map", "half_maps_unmasked", "backprojection_corrected"}
    assert all(curve.shape == (21,) for curve in result.curves.values())
    assert result.seconds["total"] > 0
    assert gemmap.fsc(result.map, simulation.truth, simulation.mask)[1:8].min() > 0.7


def test_same_seed_same_result(result: gemmap.ReconstructionResult, simulation: Simulation) -> None:
    again = gemmap.reconstruct((simulation.table, simulation.stack), **FAST)
    np.testing.assert_array_equal(again.map, result.map)
    np.testing.assert_array_equal(again.half_maps[0], result.half_maps[0])
    assert again.resolutions == result.resolutions


def test_half_maps_share_nothing(result: gemmap.ReconstructionResult, simulation: Simulation) -> None:
    images = simulation.stack.read(np.arange(simulation.stack.n))
    other = simulation.table.half == 2
    images[other] = np.random.default_rng(1).standard_normal(images[other].shape)
    changed = gemmap.reconstruct((simulation.table, gemmap.ArrayStack(images)), **FAST)
    for name in ("map", "backprojection", "voxels"):
        ours, theirs = (getattr(r.reconstruction.half1, name) for r in (result, changed))
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
    assert not np.array_equal(changed.half_maps[1], result.half_maps[1])


def test_progress_is_told(simulation: Simulation) -> None:
    told = []

    class Listener:
        def __getattr__(self, name: str):
            return lambda *arguments, **_: told.append((name, *arguments[:1]))

    gemmap.reconstruct((simulation.table, simulation.stack), progress=Listener(), **FAST)
    assert [first for kind, first in [t for t in told if len(t) == 2] if kind == "result"] == ["half1", "half2", "full"]
    starts, ends = ([t for t in told if t[0] == kind] for kind in ("start", "finish"))
    assert len(starts) == len(ends) > 0


def test_particles_in_memory_can_be_written_too(simulation: Simulation, tmp_path: Path) -> None:
    done = gemmap.reconstruct((simulation.table, simulation.stack), output=tmp_path / "run", **FAST)
    r = done.reconstruction
    written = {
        "run_class001": r.full.map, "run_half1_class001_unfil": r.half1.map, "run_half2_class001_unfil": r.half2.map,
        "backprojection": r.full.backprojection, "backprojection_half1": r.half1.backprojection,
        "backprojection_half2": r.half2.backprojection, "voxels_half1": r.half1.voxels,
        "voxels_half2": r.half2.voxels, "voxels": r.full.voxels, "mask": done.mask,
    }  # fmt: skip
    for name, wanted in written.items():
        volume, pixel_size_a = gemmap.read_map(tmp_path / "run" / f"{name}.mrc")
        np.testing.assert_array_equal(volume, wanted, err_msg=name)
        assert pixel_size_a == pytest.approx(6.0)
    for name, fit in (("gaussians", r.full), ("gaussians_half1", r.half1), ("gaussians_half2", r.half2)):
        stored = gemmap.load_gaussians(tmp_path / "run" / f"{name}.safetensors").gaussians
        np.testing.assert_array_equal(stored.centres_a, fit.gaussians.centres_a.float().cpu(), err_msg=name)
    assert done.folder == tmp_path / "run"
    with pytest.raises(gemmap.OutputError, match="exists; choose another folder"):
        gemmap.reconstruct((simulation.table, simulation.stack), output=str(tmp_path / "run"))


def test_what_arrays_cannot_be_asked(simulation: Simulation) -> None:
    arrays = (simulation.table, simulation.stack)
    with pytest.raises(gemmap.InputError, match="invert is for particles read from a file"):
        gemmap.reconstruct(arrays, invert=True)
    with pytest.raises(gemmap.InputError, match="120 particles and the stack 3 images"):
        gemmap.reconstruct((simulation.table, gemmap.ArrayStack(np.zeros((3, 40, 40)))))
    with pytest.raises(gemmap.InputError, match="15 px wide; expected a box of at least 16 px"):
        gemmap.reconstruct((simulation.table, gemmap.ArrayStack(np.zeros((120, 15, 15)))))
    with pytest.raises(gemmap.InputError, match="There are no particles"):
        plan_reconstruction(ReconstructionOptions(None))


def test_paths_may_be_text_and_are_kept_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ReconstructionOptions(Path("a.star"), passthrough=(Path("p.cs"),), mask=Path("/m.mrc"))
    assert options.particles == tmp_path / "a.star"
    assert options.input_files == (tmp_path / "a.star", tmp_path / "p.cs", Path("/m.mrc"))
    with pytest.raises(gemmap.InputError, match=r"a\.star cannot be read"):
        gemmap.reconstruct("a.star")


@pytest.mark.parametrize(
    ("n_gpus", "name", "device"),
    [(0, "auto", "cpu"), (2, "auto", "cuda"), (2, "cuda:1", "cuda:1"), (1, "cuda", "cuda"), (1, "cpu", "cpu")],
)
def test_devices(monkeypatch: pytest.MonkeyPatch, n_gpus: int, name: str, device: str) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: n_gpus > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: n_gpus)
    assert resolve_device(name) == device


@pytest.mark.parametrize(("n_gpus", "name"), [(0, "cuda"), (2, "cuda:2")])
def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch, n_gpus: int, name: str) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: n_gpus > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: n_gpus)
    with pytest.raises(gemmap.BackendError, match=f"device {name} was asked for, but PyTorch sees"):
        resolve_device(name)


def aggregate(seed: int, box_px: int = 16, pixel_size_a: float = 1.5) -> gemmap.Aggregate:
    m = grid_size(box_px)
    rng = np.random.default_rng(seed)
    numerator = rng.standard_normal((m, m, m // 2 + 1, 2)).astype(np.float32).view(np.complex64)[..., 0]
    return gemmap.Aggregate(numerator, rng.random((m, m, m // 2 + 1), np.float32), box_px, pixel_size_a, 10 + seed)


def test_aggregates_are_kept_without_loss_and_add(tmp_path: Path) -> None:
    a, b = aggregate(1), aggregate(2)
    for name, kept in (("a", a), ("b", b)):
        gemmap.save_aggregate(tmp_path / f"{name}.safetensors", kept)
    total = gemmap.load_aggregate(tmp_path / "a.safetensors") + gemmap.load_aggregate(str(tmp_path / "b.safetensors"))
    np.testing.assert_array_equal(total.numerator, a.numerator + b.numerator)
    np.testing.assert_array_equal(total.weight, a.weight + b.weight)
    assert (total.n_particles, total.box_px, total.pixel_size_a) == (23, 16, 1.5)
    with pytest.raises(gemmap.InputError, match="cannot be added"):
        total + aggregate(3, box_px=20)


def test_a_file_that_is_no_aggregate(tmp_path: Path, result: gemmap.ReconstructionResult) -> None:
    gemmap.save_gaussians(tmp_path / "g.safetensors", result.gaussians, 40, 6.0)
    with pytest.raises(gemmap.FormatError, match=r"g\.safetensors holds gemmap-gaussians version 1; expected"):
        gemmap.load_aggregate(tmp_path / "g.safetensors")
    wrong = aggregate(1)
    short = gemmap.Aggregate(wrong.numerator[:-1], wrong.weight, 16, 1.5, 1)
    gemmap.save_aggregate(tmp_path / "short.safetensors", short)
    with pytest.raises(gemmap.FormatError, match="write it again with this version"):
        gemmap.load_aggregate(tmp_path / "short.safetensors")
