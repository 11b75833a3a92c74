"""A report of a check as text."""

from dataclasses import replace

import numpy as np

from gemmap.checks.facts import describe
from gemmap.checks.verdict import CheckReport, Verdict
from gemmap.report.check_text import check_lines, fact_rows, verdict_lines
from gemmap.simulate.config import SimulationConfig
from gemmap.simulate.draws import draw_particles

TABLE = draw_particles(SimulationConfig(n_particles=2000, max_shift_a=0.0))
VERDICTS = (Verdict("poses", "ok", "Fine."), Verdict("contrast", "error", "Dark."), Verdict("noise", "unknown", "No."))


def report(**changes: object) -> CheckReport:
    facts = {**describe(TABLE, 128), **changes}
    return CheckReport("a.star (RELION)", facts, VERDICTS, ("A note.",), 2.5)


def test_lines_are_a_table_notes_verdicts_and_counts() -> None:
    lines = check_lines(report())
    assert lines[0] == "Particles          2,000, from a.star (RELION)"
    assert "Note: A note." in lines
    assert lines[-5:] == [
        "OK       poses     Fine.",
        "ERROR    contrast  Dark.",
        "unknown  noise     No.",
        "",
        "1 error, 0 warnings, 1 OK, 1 cannot be known; 2.5 s",
    ]


def test_facts_in_words() -> None:
    rows = dict(fact_rows(report()))
    assert rows["Images"] == "128 px, 2 Å per pixel, in 1 stack"
    assert rows["Half-sets"] == "1,000 + 1,000, without 0"
    assert rows["Optics"].startswith("opticsGroup1: 2,000 particles, 2 Å, 128 px, 300 kV, Cs 2.7 mm, Q0 0.1")
    assert rows["Phase shift"] == "0 degrees"
    assert rows["Shifts"] == "0.00 Å rms, up to 0.0 Å"
    assert rows["Orientations"].startswith("SCF* ")
    assert rows["Micrographs"] == "not named"


def test_facts_that_are_missing() -> None:
    few = describe(TABLE.select(np.arange(5)), None)
    rows = dict(fact_rows(report(**few)))
    assert rows["Images"].startswith("unknown box")
    assert rows["Orientations"] == "1% of 512 views seen; too few for their evenness"
    assert dict(fact_rows(report(ctf=None)))["CTF"] == "none"
    named = describe(replace(TABLE, micrograph_of=np.arange(2000) % 7, micrographs=tuple("abcdefg")), 128)
    assert dict(fact_rows(report(**named)))["Micrographs"] == "7"


def test_no_verdicts_are_no_lines() -> None:
    assert verdict_lines([]) == []
