"""Defocus, microscope, envelope and pixel size, from tables made wrong in one way each."""

from dataclasses import replace

import numpy as np
import pytest

from gemmap.checks.optics_verdicts import defocus, envelope, microscope, optics_verdicts, pixel_sizes
from gemmap.particles.table import ParticleTable
from gemmap.physics.ctf import CtfParameters


@pytest.fixture
def ctf(table: ParticleTable) -> CtfParameters:
    assert table.ctf is not None
    return table.ctf


def scaled(ctf: CtfParameters, factor: float) -> CtfParameters:
    return replace(ctf, defocus_u_a=factor * ctf.defocus_u_a, defocus_v_a=factor * ctf.defocus_v_a)


def test_a_right_table_is_right(table: ParticleTable) -> None:
    assert [verdict.level for verdict in optics_verdicts(table)] == ["ok"] * 4
    assert [verdict.level for verdict in optics_verdicts(replace(table, ctf=None))] == ["unknown"]


@pytest.mark.parametrize(
    ("factor", "level", "words"),
    [(1e-4, "error", "in micrometres"), (0.03, "warning", "unusually small"), (-1.0, "warning", "negative defocus"),
     (0.0, "warning", "unusually small")],
)  # fmt: skip
def test_unit_and_sign_of_the_defocus(ctf: CtfParameters, factor: float, level: str, words: str) -> None:
    verdict = defocus(scaled(ctf, factor))
    assert verdict.level == level
    assert words in verdict.text


def test_a_defocus_far_from_the_others(ctf: CtfParameters) -> None:
    u = ctf.defocus_u_a.copy()
    u[3] = 150_000.0
    verdict = defocus(replace(ctf, defocus_u_a=u))
    assert verdict.level == "warning"
    assert "1 of 60 particles have a defocus far from the others' (the first is particle 4" in verdict.text


def test_large_astigmatism(ctf: CtfParameters) -> None:
    verdict = defocus(replace(ctf, defocus_v_a=0.6 * ctf.defocus_u_a))
    assert verdict.level == "warning"
    assert "60 of 60 particles have an astigmatism above 25%" in verdict.text


@pytest.mark.parametrize(
    ("column", "value", "level", "words"),
    [
        ("cs_mm", 2700.0, "error", "give it in mm"),
        ("cs_mm", -2.7, "error", "give it in mm"),
        ("amplitude_contrast", -0.1, "error", "must be positive"),
        ("amplitude_contrast", 0.0, "warning", "0 is unusual"),
        ("amplitude_contrast", 0.7, "warning", "unusually high"),
        ("voltage_kv", 30.0, "warning", "voltage is unusual"),
        ("cs_mm", 0.001, "ok", "Cs 0.001 mm"),
    ],
)
def test_microscope(ctf: CtfParameters, column: str, value: float, level: str, words: str) -> None:
    verdict = microscope(replace(ctf, **{column: np.full(60, value)}))
    assert verdict.level == level
    assert words in verdict.text


def test_negative_b_factors_are_named(table: ParticleTable, ctf: CtfParameters) -> None:
    verdict = envelope(replace(ctf, bfactor_a2=np.r_[-20.0, np.zeros(59)]), table)
    assert verdict.level == "warning"
    assert "1 of 60 particles have a negative B-factor (the first is particle 1)" in verdict.text
    assert envelope(replace(ctf, scale=np.zeros(60)), table).level == "warning"


def test_aberrations_are_named(table: ParticleTable) -> None:
    group = replace(table.optics[0], odd_zernike=(0.1,), magnification=(1.01, 0.0, 0.0, 1.0))
    verdict = optics_verdicts(replace(table, optics=(group,)))[-1]
    assert "odd (beam tilt, trefoil), anisotropic magnification" in verdict.text


@pytest.mark.parametrize(
    ("headers", "level"),
    [
        ([5.0], "ok"),
        ([0.0], "ok"),
        ([1.0], "ok"),
        ([5.004], "ok"),
        ([5.1], "warning"),
        ([5.0, 4.0], "warning"),
    ],
)
def test_pixel_size_of_the_headers(table: ParticleTable, headers: list[float], level: str) -> None:
    assert pixel_sizes(table, headers).level == level
