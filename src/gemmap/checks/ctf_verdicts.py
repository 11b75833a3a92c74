"""Verdicts on the CTF: are its values right, and was it applied to the images already?

Power spectra know the values, and whether the *noise* has gone through the CTF; maps made of the images
(:mod:`gemmap.checks.agreement`) know the signs, and see values that are far off better than spectra do.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from gemmap._types import PerParticle
from gemmap.checks.agreement import Assumption, SmallImages, significance
from gemmap.checks.sample import Sample
from gemmap.checks.spectrum import Gain, Spectra, in_other_units, turned
from gemmap.checks.verdict import CERTAIN, Verdict
from gemmap.particles.optics_group import CtfApplied
from gemmap.physics.ctf import CtfParameters

#: Part of the power at high frequency that follows CTF^2: above the first the noise was multiplied by the CTF, below
#: the second (negative) the images were divided by it.
MULTIPLIED, DIVIDED = 0.6, -0.15
#: Background over whole images at high frequency, below which images have no noise that could tell.
NOISY = 0.5
#: Significance from which power spectra are said to follow the CTF.
SEEN = 4.0

WORDS: Mapping[CtfApplied, str] = {
    "none": "as recorded",
    "phase-flip": "phase-flipped",
    "multiplied": "multiplied by their CTF",
    "corrected": "CTF-corrected",
}
#: What a RELION file says then.
_ADVICE: Mapping[CtfApplied, str] = {
    "none": "correct the file",
    "phase-flip": "set rlnCtfDataArePhaseFlipped to 1",
    "multiplied": "set rlnCtfDataAreCtfPremultiplied to 1",
    "corrected": "set rlnCtfDataAreCtfCorrected to 1",
}


@dataclass(frozen=True, eq=False)
class CtfFindings:
    """Verdicts, the assumption that fits the images best, and its scores."""

    verdicts: tuple[Verdict, Verdict]
    best: Assumption
    scores: PerParticle


def judge_ctf(sample: Sample, images: SmallImages, declared: CtfApplied) -> CtfFindings:
    """Judge values and form of the CTFs of a sample; ``declared`` is what the file says was done to the images."""
    given = images.assumption(declared)
    if sample.table.ctf is None or given.ctf is None:
        text = "Images are said to carry no CTF, so there is nothing to compare them with."
        verdicts = Verdict("CTF values", "unknown", text), Verdict("CTF applied", "unknown", text)
        return CtfFindings(verdicts, given, images.scores(given))
    units = {name: replace(given, ctf=ctf) for name, ctf in in_other_units(given.ctf).items()}
    forms = {form: replace(given, ctf_applied=form) for form in WORDS}
    found: dict[str, PerParticle] = images.all_scores({str(name): a for name, a in (*forms.items(), *units.items())})
    scores = {form: found[form] for form in forms}
    spectra = Spectra(sample)
    gain = spectra.gain(sample.table.ctf)
    # Another unit must fit better than this one in any form: signs multiplied in look like a smaller defocus.
    best_form = max(scores, key=lambda form: float(scores[form].mean()))
    leads = {name: significance(found[name] - scores[best_form]) for name in units}
    unit = max(leads, key=lambda name: leads[name], default=None)
    if unit is not None and leads[unit] > CERTAIN and significance(found[unit]) > CERTAIN:
        values = _wrong_values(f"the defocus seems to be {unit}", leads[unit], gain, leads)
        applied = Verdict("CTF applied", "unknown", "Cannot be known before the defocus is right.")
        return CtfFindings((values, applied), units[unit], found[unit])
    applied, form = _form(scores, gain, _noisy(sample), declared)
    best = forms[form]
    astigmatism = _better_astigmatism(spectra, gain, sample.table.ctf, images, best, scores[form])
    return CtfFindings((_values(gain, leads, astigmatism), applied), best, scores[form])


def _better_astigmatism(
    spectra: Spectra, gain: Gain, ctf: CtfParameters, images: SmallImages, best: Assumption, scores: PerParticle
) -> dict[str, float]:
    """Standard errors by which astigmatism in other directions leads; powers and phases are independent witnesses."""
    assert best.ctf is not None
    if np.array_equal(ctf.defocus_u_a, ctf.defocus_v_a):
        return {}
    found = images.all_scores({name: replace(best, ctf=other) for name, other in turned(best.ctf).items()})
    leads = {}
    for name, other in turned(ctf).items():
        by_power = significance(spectra.gain(other).per_image - gain.per_image)
        leads[name] = (by_power + significance(found[name] - scores)) / math.sqrt(2.0)
    return leads


def _values(gain: Gain, units: Mapping[str, float], astigmatism: Mapping[str, float]) -> Verdict:
    worst = max(astigmatism, key=lambda name: astigmatism[name], default=None)
    leads = {**units, **astigmatism}
    if worst is not None and astigmatism[worst] > CERTAIN:
        return _wrong_values(f"the astigmatism seems to have {worst}", astigmatism[worst], gain, leads)
    measured = _measured(gain, leads)
    seen = significance(gain.per_image)
    if seen > SEEN:
        text = f"Power spectra of the images follow the CTFs given ({seen:.0f} standard errors)."
        return Verdict("CTF values", "ok", text, measured)
    behind = -max(units.values(), default=0.0)
    if behind > CERTAIN:
        text = (
            f"The defoci fit the images better than in another unit ({behind:.0f} standard errors); power spectra are "
            "too noisy to see more."
        )
        return Verdict("CTF values", "ok", text, measured)
    text = (
        "Cannot be known: the images are too few or too noisy, or all have the same CTF; look at the CTF fits of the "
        "micrographs."
    )
    return Verdict("CTF values", "unknown", text, measured)


def _wrong_values(what: str, lead: float, gain: Gain, leads: Mapping[str, float]) -> Verdict:
    text = f"Images fit other CTFs better: {what} ({lead:.0f} standard errors); correct the columns."
    return Verdict("CTF values", "error", text, _measured(gain, leads))


def _measured(gain: Gain, leads: Mapping[str, float]) -> dict[str, object]:
    return {
        "correlation": gain.correlation,
        "significance": significance(gain.per_image),
        "leads_of_others": dict(leads),
    }


def _form(
    scores: Mapping[CtfApplied, PerParticle], gain: Gain, noisy: bool, declared: CtfApplied
) -> tuple[Verdict, CtfApplied]:
    """What was done to the images, by the noise where it tells and by the signs of the images otherwise."""
    slope = float(np.median(gain.slope[len(gain.slope) // 2 :]))
    leads = {form: significance(scores[form] - scores[declared]) for form in scores if form != declared}
    measured = {"slope": slope, "leads_over_declared": leads}
    found = _by_noise(slope, significance(gain.per_image)) if noisy else None
    if found is None:
        found = _by_signs(scores, declared)
    if found is None:
        text = "Cannot be known: the images fit their CTFs with and without signs alike."
        return Verdict("CTF applied", "unknown", text, measured), declared
    if found == declared:
        return Verdict("CTF applied", "ok", f"Images are {WORDS[found]}, as the file says.", measured), found
    text = (
        f"Images seem to be {WORDS[found]}, but the file says {WORDS[declared]}: {_ADVICE[found]}, or extract the "
        "particles again."
    )
    return Verdict("CTF applied", "error", text, measured), found


def _by_noise(slope: float, seen: float) -> CtfApplied | None:
    if seen > CERTAIN and slope > MULTIPLIED:
        return "multiplied"
    return "corrected" if seen > CERTAIN and slope < DIVIDED else None


def _by_signs(scores: Mapping[CtfApplied, PerParticle], declared: CtfApplied) -> CtfApplied | None:
    """As recorded, or without the CTF's signs, where it has any at low resolution.

    Amplitudes decide nothing about signs: envelopes and B-factors that are off change them as well.
    """
    signed = significance(scores["none"] - scores["phase-flip"])
    if signed > CERTAIN:
        return "none"
    if signed > -CERTAIN:
        return None
    unsigned = [form for form in scores if form != "none"]
    best = max(unsigned, key=lambda form: float(scores[form].mean()))
    clear = declared == "none" or significance(scores[best] - scores[declared]) > CERTAIN
    return best if clear else declared


def _noisy(sample: Sample) -> bool:
    high = len(sample.noise) // 3
    return bool(sample.noise[high:].mean() > NOISY * sample.whole[high:].mean())
