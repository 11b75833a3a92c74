import dataclasses
import re
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from gemmap.errors import InputError
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.stack import ImageStack
from gemmap.simulate.config import SimulationConfig
from gemmap.simulate.draws import draw_particles
from gemmap.simulate.particles import SimulatedStack, Simulation, simulate
from gemmap.simulate.recorder import Recorder
from gemmap.simulate.scattering import GaussianPoints
from gemmap.simulate.structure import Atoms, embedded_structure

BASE = {"box_px": 24, "pixel_size_a": 2.5, "n_particles": 40, "snr": 0.2, "max_shift_a": 3.0, "blur_a2": 60.0}


def run(atoms: Atoms, **options: object) -> Simulation:
    return simulate(atoms, SimulationConfig(**(BASE | options)), workers=2)


def everything(s: Simulation) -> dict[str, np.ndarray]:
    """All that a user sees of a simulation."""
    tables = {
        f"{name}.{f.name}": getattr(table, f.name)
        for name, table in (("table", s.table), ("true", s.true_table))
        for f in dataclasses.fields(table)
        if isinstance(getattr(table, f.name), np.ndarray)
    }
    images = s.stack.read(np.arange(s.stack.n))
    return tables | {"truth": s.truth, "mask": s.mask, "images": images, "signal": s.stack.signal(np.arange(s.stack.n))}


def relion_ctf(s: Simulation, i: int) -> np.ndarray:
    """-sin(gamma) exp(-B k^2 / 4), written out from the definition."""
    c, n, pixel = s.true_table.ctf, s.config.box_px, s.config.pixel_size_a
    assert c is not None
    ky, kx = np.meshgrid(np.fft.fftfreq(n, pixel), np.fft.rfftfreq(n, pixel), indexing="ij")
    angle, k2 = c.defocus_angle_rad[i], kx**2 + ky**2
    along, across = kx * np.cos(angle) + ky * np.sin(angle), -kx * np.sin(angle) + ky * np.cos(angle)
    volts = c.voltage_kv[i] * 1e3
    wavelength = 12.2643247 / np.sqrt(volts * (1 + 0.978466e-6 * volts))
    gamma = -np.pi * wavelength * (c.defocus_u_a[i] * along**2 + c.defocus_v_a[i] * across**2)
    gamma += np.pi / 2 * c.cs_mm[i] * 1e7 * wavelength**3 * k2**2
    q = c.amplitude_contrast[i]
    gamma -= c.phase_shift_rad[i] + np.arctan(q / np.sqrt(1 - q**2))
    return -np.sin(gamma) * np.exp(-c.bfactor_a2[i] * k2 / 4)


@pytest.mark.parametrize("n", [32, 33])
def test_signal_is_the_image_model_applied_to_the_truth(cluster: Atoms, n: int) -> None:
    options = {"box_px": n, "n_particles": 4, "scale_spread": 0.3, "bfactor_a2": 40.0, "phase_shift_deg": 20.0}
    s = run(cluster, **options, max_shift_a=6.0, astigmatism_a=4000.0, blur_a2=150.0)
    x = (np.arange(n) - n // 2) * s.config.pixel_size_a
    ky, kx = np.meshgrid(np.fft.fftfreq(n), np.fft.rfftfreq(n), indexing="ij")
    k = np.stack([kx, ky, 0 * kx], axis=-1) / s.config.pixel_size_a
    inside = np.hypot(kx, ky) < 0.45
    found = np.fft.rfft2(np.fft.ifftshift(s.stack.signal(np.arange(4)), axes=(1, 2)))
    for i, image in enumerate(found):
        wave = [np.exp(-2j * np.pi * np.outer((k[inside] @ s.true_table.rotations[i])[:, a], x)) for a in range(3)]
        slice_ = np.einsum("zyx,kz,ky,kx->k", s.truth.astype(float), wave[2], wave[1], wave[0], optimize=True)
        shift = np.exp(2j * np.pi * (k[inside][:, :2] @ s.true_table.shifts_a[i]))
        expected = s.true_table.scale[i] * relion_ctf(s, i)[inside] * slice_ * shift
        assert np.linalg.norm(image[inside] - expected) < 5e-3 * np.linalg.norm(expected)


def test_content_is_moved_by_plus_the_shift_to_be_centred(cluster: Atoms) -> None:
    moved, centred = (run(cluster, max_shift_a=d).stack.signal(np.arange(10)) for d in (7.0, 0.0))
    true = run(cluster, max_shift_a=7.0).true_table
    for i in range(10):
        correlation = np.fft.ifft2(np.fft.fft2(moved[i]) * np.fft.fft2(centred[i]).conj()).real
        y, x = (np.array(np.unravel_index(correlation.argmax(), correlation.shape)) + 12) % 24 - 12
        np.testing.assert_allclose([x, y], -true.shifts_a[i] / 2.5, atol=0.75)


@pytest.mark.parametrize("noise", ["white", "coloured"])
@pytest.mark.parametrize("snr", [0.02, 2.0])
def test_signal_to_noise_ratio_is_the_one_asked_for(cluster: Atoms, noise: str, snr: float) -> None:
    s = run(cluster, n_particles=1500, noise=noise, snr=snr, scale_spread=0.2)
    rows = np.arange(1500)
    signal = s.stack.signal(rows)
    y, x = np.mgrid[:24, :24] - 12
    circle = np.hypot(x, y) * 2.5 <= s.particle_diameter_a / 2
    noise_variance = (s.stack.read(rows) - signal).var()
    assert noise_variance == pytest.approx(1.0, rel=0.01)
    assert signal[:, circle].var(axis=1).mean() / noise_variance == pytest.approx(snr, rel=0.03)


def test_background_is_normalised(cluster: Atoms) -> None:
    s = run(cluster, box_px=48, snr=0.02, n_particles=200)
    y, x = np.mgrid[:48, :48] - 24
    background = s.stack.read(np.arange(200))[:, np.hypot(x, y) * 2.5 > s.particle_diameter_a / 2]
    assert background.mean() == pytest.approx(0.0, abs=0.01)
    assert background.std(axis=1).mean() == pytest.approx(1.0, rel=0.02)


SECOND: dict[str, dict[str, object]] = {
    "box_px": {"box_px": 26},
    "pixel_size_a": {"pixel_size_a": 2.7},
    "n_particles": {"n_particles": 41},
    "snr": {"snr": 0.3},
    "solvent_contrast": {"solvent_contrast": 0.2},
    "micelle_contrast": {"micelle_contrast": 0.3},
    "noise": {"noise": "coloured"},
    "defocus_min_a": {"defocus_min_a": 9_000.0},
    "defocus_max_a": {"defocus_max_a": 21_000.0},
    "astigmatism_a": {"astigmatism_a": 900.0},
    "max_shift_a": {"max_shift_a": 2.0},
    "orientation": {"orientation": "preferred", "preferred_concentration": 5.0},
    "preferred_concentration": {"orientation": "preferred", "preferred_concentration": 9.0},
    "pose_error_deg": {"pose_error_deg": 1.0},
    "shift_error_a": {"shift_error_a": 1.0},
    "scale_spread": {"scale_spread": 0.1},
    "voltage_kv": {"voltage_kv": 200.0},
    "cs_mm": {"cs_mm": 0.01},
    "amplitude_contrast": {"amplitude_contrast": 0.2},
    "phase_shift_deg": {"phase_shift_deg": 90.0},
    "bfactor_a2": {"bfactor_a2": 100.0},
    "blur_a2": {"blur_a2": 90.0},
    "seed": {"seed": 1},
    "optics": {"optics": (OpticsGroup("tilted", 2.5, odd_zernike=(0.0, 0.0, 0.0, 0.0, 900.0)),)},
}
#: What must not change: the table alone holds pose errors, and images alone noise.
KEPT = {
    "pose_error_deg": ["images", "truth", "true.rotations", "true.shifts_a", "table.shifts_a"],
    "shift_error_a": ["images", "truth", "true.rotations", "true.shifts_a", "table.rotations"],
    "noise": ["signal", "truth", "table.rotations"],
    "bfactor_a2": ["mask", "table.rotations", "table.shifts_a"],
    "snr": ["mask", "table.rotations", "table.half"],
}


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(SimulationConfig)])
def test_every_option_has_an_effect(cluster: Atoms, name: str) -> None:
    base = {"box_px": 42} if name == "micelle_contrast" else {}
    if name == "preferred_concentration":
        base = {"orientation": "preferred", "preferred_concentration": 5.0}
    before, after = everything(run(cluster, **base)), everything(run(cluster, **(base | SECOND[name])))
    changed = {
        key
        for key in before
        if before[key].shape != after[key].shape or not np.allclose(before[key], after[key], rtol=1e-4, atol=1e-6)
    }
    assert changed
    if name not in {"pose_error_deg", "shift_error_a"}:
        assert "images" in changed
    assert not changed & set(KEPT.get(name, []))


def test_images_do_not_depend_on_how_they_are_read(cluster: Atoms) -> None:
    s = run(cluster, n_particles=70, noise="coloured")
    whole = s.stack.read(np.arange(70))
    np.testing.assert_array_equal(np.concatenate(list(s.stack.chunks(9))), whole)
    np.testing.assert_array_equal(s.stack.read(np.array([66, 3])), whole[[66, 3]])
    np.testing.assert_array_equal(simulate(cluster, s.config, workers=1).stack.read(np.arange(70)), whole)
    assert s.stack.read(np.arange(0)).shape == (0, 24, 24)


def test_seed_changes_the_noise_too(cluster: Atoms) -> None:
    rows = np.arange(3)
    one, two = (s.stack.read(rows) - s.stack.signal(rows) for s in (run(cluster), run(cluster, seed=1)))
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.1


def test_same_seed_same_result(cluster: Atoms) -> None:
    first, second = everything(run(cluster)), everything(run(cluster))
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key], err_msg=key)


def test_one_particle_and_what_it_offers(cluster: Atoms) -> None:
    s = run(cluster, n_particles=1)
    stack: ImageStack = s.stack
    assert (stack.n, stack.box_px, len(s.table)) == (1, 24, 1)
    assert stack.read(np.array([0])).dtype == np.float32
    assert s.truth.shape == s.mask.shape == (24, 24, 24)
    assert s.table.pixel_size_a == 2.5
    assert s.table.optics[0].box_px == 24


def test_truth_is_bright_inside_the_mask(cluster: Atoms) -> None:
    s = run(cluster, solvent_contrast=0.0)
    assert s.truth[s.mask > 0.99].sum() > 0.95 * s.truth.sum() > 0
    assert s.truth[s.mask == 0].std() < 0.05 * s.truth.max()


def test_particle_too_large_for_its_box_and_the_box_that_fits() -> None:
    atoms = embedded_structure()
    options = {"pixel_size_a": 4.0, "solvent_contrast": 0.0, "max_shift_a": 10.0, "n_particles": 1}
    message = (
        "diameter of 194 Å and shifts of up to 10 Å, but the box of 48 px at 4 Å is 192 Å wide: "
        "use a box of at least 56 px"
    )
    with pytest.raises(InputError, match=message):
        simulate(atoms, SimulationConfig(box_px=48, **options))
    assert simulate(atoms, SimulationConfig(box_px=56, **options)).stack.n == 1


def test_no_contrast_at_all_is_refused(cluster: Atoms) -> None:
    with pytest.raises(InputError, match="noise-free images are empty: the contrast transfer function is zero"):
        run(cluster, defocus_min_a=0.0, defocus_max_a=0.0, astigmatism_a=0.0, cs_mm=0.0, amplitude_contrast=0.0)


def test_point_looks_as_relion_projects_it(shared_data: Path) -> None:
    """Rotation, origin, shift and CTF at once, against images written by relion_project from one voxel."""
    folder, pixel, n = shared_data / "relion", 3.54, 64
    text = (folder / "relion_proj_batch_pfac2.star").read_text().split("data_particles")[1]
    labels = re.findall(r"^(_rln\w+)", text, re.MULTILINE)
    rows = [line.split() for line in text.splitlines() if "@" in line]
    column = {label: np.array([row[i] for row in rows]) for i, label in enumerate(labels)}

    def number(label: str) -> np.ndarray:
        return column[f"_rln{label}"].astype(np.float64)

    rot, tilt, psi = (np.radians(number(f"Angle{name}")) for name in ("Rot", "Tilt", "Psi"))
    config = SimulationConfig(
        box_px=n, pixel_size_a=pixel, n_particles=len(rows), voltage_kv=200.0, cs_mm=1.4, amplitude_contrast=0.1
    )
    drawn = draw_particles(config)
    assert drawn.ctf is not None
    table = dataclasses.replace(
        drawn,
        rotations=np.array([_z(p).T @ _y(t).T @ _z(r).T for r, t, p in zip(rot, tilt, psi, strict=True)]),
        shifts_a=np.stack([number("OriginXAngst"), number("OriginYAngst")], axis=1),
        ctf=dataclasses.replace(
            drawn.ctf,
            defocus_u_a=number("DefocusU"),
            defocus_v_a=number("DefocusV"),
            defocus_angle_rad=np.radians(number("DefocusAngle")),
        ),
    )
    # The voxel (z, y, x) = (32, 32, 49): 17 pixels along x.
    point = GaussianPoints(np.array([[17 * pixel, 0.0, 0.0]]), np.ones((1, 1)), np.ones((1, 1)), np.zeros((1, 1)))
    recorder = Recorder([point], drawn.optics[0], n, pixel, "white")
    found = SimulatedStack([recorder], table, config, 1.0, 1).signal(np.arange(len(rows)))
    with mrcfile.open(folder / "relion_proj_batch_pfac2.mrcs") as file:
        expected = file.data.astype(np.float64)
    # RELION's projections end at the circle of radius n / 2, ours at the square.
    circle = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)) < 0.5
    for ours, theirs in zip(np.fft.irfft2(np.fft.rfft2(found) * circle), expected, strict=True):
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.998


def _z(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _y(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
