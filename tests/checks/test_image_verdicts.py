"""What is wrong with images and their parameters is named where it is, and nothing is named where nothing is wrong."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from gemmap.checks.contrast import SignScores
from gemmap.checks.image_verdicts import dead_images, judge_contrast, noise
from gemmap.checks.sample import measure, take_sample
from gemmap.checks.verdict import CheckReport, Verdict
from gemmap.particles.stack import ArrayStack
from gemmap.particles.table import ParticleTable

Particles = tuple[ParticleTable, np.ndarray]
PIXEL_A = 5.0
IMAGE_CHECKS = ("dead images", "noise", "CTF values", "CTF applied", "poses fit", "shifts", "contrast")


def ctf_images(table: ParticleTable, box_px: int) -> np.ndarray:
    """CTFs on the half-plane, from the formula."""
    c = table.ctf
    assert c is not None
    ky, kx = np.fft.fftfreq(box_px, PIXEL_A)[:, None], np.fft.rfftfreq(box_px, PIXEL_A)[None]
    k2 = kx**2 + ky**2
    volts = 1e3 * c.voltage_kv[:, None, None]
    wavelength = 12.2643247 / np.sqrt(volts * (1 + 0.978466e-6 * volts))
    u, v, angle = (x[:, None, None] for x in (c.defocus_u_a, c.defocus_v_a, c.defocus_angle_rad))
    mean = 0.5 * (u + v) + 0.5 * (u - v) * np.cos(2 * (np.arctan2(ky, kx) - angle))
    cs_a = 1e7 * c.cs_mm[:, None, None]
    gamma = np.pi * wavelength * mean * k2 - np.pi / 2 * cs_a * wavelength**3 * k2**2
    return np.sin(gamma + np.arcsin(c.amplitude_contrast)[:, None, None])


def filtered(particles: Particles, factor: Callable[[np.ndarray], np.ndarray]) -> Particles:
    table, images = particles
    box = images.shape[-1]
    transforms = np.fft.rfft2(images) * factor(ctf_images(table, box))
    return table, np.fft.irfft2(transforms, s=(box, box)).astype(np.float32)


def with_defocus(particles: Particles, factor: float) -> Particles:
    table, images = particles
    ctf = table.ctf
    assert ctf is not None
    ctf = replace(ctf, defocus_u_a=factor * ctf.defocus_u_a, defocus_v_a=factor * ctf.defocus_v_a)
    return replace(table, ctf=ctf), images


def with_shifts(particles: Particles, factor: float) -> Particles:
    return replace(particles[0], shifts_a=factor * particles[0].shifts_a), particles[1]


WRONG: dict[str, tuple[Callable[[Particles], Particles], str, str]] = {
    "dark": (lambda p: (p[0], -p[1]), "contrast", "add --invert"),
    "shifts of the other sign": (lambda p: with_shifts(p, -1.0), "shifts", "opposite sign"),
    "shifts in pixels": (lambda p: with_shifts(p, 1 / PIXEL_A), "shifts", "seem to be in pixels"),
    "shifts in Å twice": (lambda p: with_shifts(p, PIXEL_A), "shifts", "divided by the pixel size"),
    "defocus in micrometres": (lambda p: with_defocus(p, 1e-4), "CTF values", "in micrometres"),
    "defocus in nanometres": (lambda p: with_defocus(p, 0.1), "CTF values", "in nanometres"),
    "phase-flipped": (lambda p: filtered(p, np.sign), "CTF applied", "phase-flipped, but the file says as recorded"),
    "multiplied": (lambda p: filtered(p, lambda c: c), "CTF applied", "multiplied by their CTF"),
    "corrected": (lambda p: filtered(p, lambda c: c / (c**2 + 0.1)), "CTF applied", "CTF-corrected"),
    "inverse poses": (
        lambda p: (replace(p[0], rotations=np.swapaxes(p[0].rotations, 1, 2).copy()), p[1]),
        "poses fit",
        "inverse rotations",
    ),
}


def test_nothing_is_wrong_with_what_is_right(right_report: CheckReport) -> None:
    assert {name: right_report[name].level for name in IMAGE_CHECKS} == dict.fromkeys(IMAGE_CHECKS, "ok")
    assert right_report.of("error") + right_report.of("warning") == ()


def test_handedness_is_never_known(right_report: CheckReport) -> None:
    assert right_report["handedness"].level == "unknown"


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(name: str, right: Particles, report_on: Callable[..., CheckReport]) -> None:
    make, check, words = WRONG[name]
    verdict = report_on(*make(right))[check]
    assert verdict.level == "error"
    assert words in verdict.text


def test_shifts_of_images_that_are_centred_already(right: Particles, report_on: Callable[..., CheckReport]) -> None:
    table, images = right
    box = images.shape[-1]
    ky, kx = np.fft.fftfreq(box, PIXEL_A)[:, None], np.fft.rfftfreq(box, PIXEL_A)[None]
    turns = table.shifts_a[:, 0, None, None] * kx + table.shifts_a[:, 1, None, None] * ky
    centred = np.fft.irfft2(np.fft.rfft2(images) * np.exp(-2j * np.pi * turns), s=(box, box)).astype(np.float32)
    verdict = report_on(table, centred)["shifts"]
    assert verdict.level == "error"
    assert "set them to 0" in verdict.text


def test_poses_of_other_images(right: Particles, report_on: Callable[..., CheckReport]) -> None:
    table, images = right
    report = report_on(replace(table, rotations=np.roll(table.rotations, 7, axis=0)), images)
    assert report["poses fit"].level == "unknown"
    assert "compare the order of the rows" in report["poses fit"].text
    assert report["contrast"].level == "unknown"


def test_noise_alone_says_nothing(right: Particles, report_on: Callable[..., CheckReport]) -> None:
    noise = np.random.default_rng(5).standard_normal(right[1].shape, dtype=np.float32)
    report = report_on(right[0], noise)
    for name in ("CTF values", "CTF applied", "poses fit", "shifts", "contrast"):
        assert report[name].level == "unknown", report[name].text


def test_declared_forms_are_right(right: Particles, report_on: Callable[..., CheckReport]) -> None:
    table, images = filtered(right, lambda c: c)
    optics = tuple(replace(group, ctf_applied="multiplied") for group in table.optics)
    report = report_on(replace(table, optics=optics), images)
    assert report["CTF applied"].level == "ok"
    assert report["shifts"].level == "ok"


def test_weights_that_are_off_are_no_correction(right: Particles, report_on: Callable[..., CheckReport]) -> None:
    """Close to focus the CTF has no signs at low resolution; a wrong envelope must not look like a corrected CTF."""
    table, images = right
    assert table.ctf is not None
    flat = np.full(400, 2_000.0)
    near = replace(table.ctf, defocus_u_a=flat, defocus_v_a=flat, bfactor_a2=np.full(400, -3_000.0))
    report = report_on(replace(table, ctf=near), images)
    assert report["CTF applied"].level == "unknown"


def test_images_masked_to_nothing_around(right: Particles, report_on: Callable[..., CheckReport]) -> None:
    table, images = right
    y = np.arange(48) - 24
    inside = np.hypot(y[:, None], y) < 20
    report = report_on(table, images * inside)
    assert report["noise"].level == "warning"
    assert "masked" in report["noise"].text
    assert report["contrast"].level == "ok"


def test_images_without_ctf(right: Particles, report_on: Callable[..., CheckReport]) -> None:
    report = report_on(replace(right[0], ctf=None), right[1])
    assert report["CTF values"].level == "unknown"
    assert report.facts["ctf"] is None


def test_dead_images_are_counted_and_listed(right: Particles) -> None:
    images = right[1].copy()
    images[6], images[11, 3, 4], images[12, 0, 0] = 2.0, np.nan, np.inf
    verdict = dead_images(measure(ArrayStack(images), np.arange(400)), all_images=False)
    assert verdict.level == "warning"
    assert "particles 7, 12, 13" in verdict.text
    assert (verdict.measured["n_constant"], verdict.measured["n_not_finite"]) == (1, 2)


def test_a_sample_leaves_dead_images_out(right: Particles) -> None:
    images = right[1].copy()
    images[6], images[11, 3, 4] = 0.0, np.nan
    sample = take_sample(right[0], ArrayStack(images), np.arange(20))
    assert sample.rows.tolist() == [row for row in range(20) if row not in (6, 11)]
    assert np.isfinite(sample.transforms).all()


def test_many_dead_images_are_an_error(right: Particles, report_on: Callable[..., CheckReport]) -> None:
    images = right[1].copy()
    images[:8] = 0.0
    assert dead_images(measure(ArrayStack(images), np.arange(400)), all_images=True).level == "error"
    assert report_on(right[0], np.zeros_like(images))["dead images"].measured["n_constant"] == 400


def test_all_images_finds_what_the_sample_misses(right: Particles, report_on: Callable[..., CheckReport]) -> None:
    images = right[1].copy()
    images[17] = np.nan
    sampled = report_on(right[0], images, n_sample=5, seed=1)["dead images"]
    assert sampled.level == "ok"
    verdict = report_on(right[0], images, n_sample=5, seed=1, all_images=True)["dead images"]
    assert verdict.measured["particles"] == [18]


def test_few_images_say_nothing(right: Particles, report_on: Callable[..., CheckReport]) -> None:
    report = report_on(right[0], right[1], n_sample=20)
    assert report["contrast"].text == "Cannot be known from 20 images; at least 48 are needed."


def noise_of(images: np.ndarray, table: ParticleTable) -> Verdict:
    return noise(take_sample(table, ArrayStack(images), np.arange(len(table))))


def test_grey_levels_do_not_matter(right: Particles, report_on: Callable[..., CheckReport]) -> None:
    raw = report_on(right[0], 7.0 * right[1] + 100.0)
    assert raw["noise"].level == "ok"
    assert "(not normalised), white" in raw["noise"].text
    assert raw["noise"].measured["background_mean"] == pytest.approx(100.0, abs=1.0)
    assert raw["noise"].measured["background_sd"] == pytest.approx(7.0, abs=0.2)
    assert raw["contrast"].level == "ok"


def test_uneven_grey_levels_are_named(right: Particles) -> None:
    factors = np.random.default_rng(0).uniform(0.5, 2.0, 400)[:, None, None].astype(np.float32)
    verdict = noise_of(right[1] * factors, right[0])
    assert verdict.level == "warning"
    assert "normalise them" in verdict.text


def test_an_outlier_is_named(right: Particles) -> None:
    images = right[1].copy()
    images[9] *= 10.0
    verdict = noise_of(images, right[0])
    assert (verdict.level, verdict.measured["outliers"]) == ("warning", [10])


def test_coloured_noise_is_named(right: Particles) -> None:
    k = np.hypot(np.fft.fftfreq(48)[:, None], np.fft.rfftfreq(48)[None])
    white = np.random.default_rng(1).standard_normal(right[1].shape)
    coloured = np.fft.irfft2(np.fft.rfft2(white) / np.sqrt(0.01 + k**2), s=(48, 48))
    assert "coloured" in noise_of(right[1] + coloured.astype(np.float32), right[0]).text
    assert "white" in noise_of(right[1], right[0]).text


@pytest.mark.parametrize(
    ("scores", "level"),
    [
        (SignScores(0.5, 0.2, 0.03), "ok"),
        (SignScores(0.2, 0.5, 0.03), "error"),
        (SignScores(0.2, 0.21, 0.001), "unknown"),
        (SignScores(0.5, 0.2, 0.2), "unknown"),
    ],
)
def test_contrast_needs_margin_and_significance(scores: SignScores, level: str) -> None:
    assert judge_contrast(scores).level == level
