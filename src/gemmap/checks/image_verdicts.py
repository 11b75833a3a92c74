"""Verdicts that need pixels: dead images, noise, and what the images say about CTFs, poses, shifts and contrast.

An assumption other than the file's is called right only where it leads by ``verdict.CERTAIN`` standard errors; where
the file's own does not lead the others either, the answer is that it cannot be known.
"""

import math
from dataclasses import replace

import numpy as np

from gemmap._types import PerParticle
from gemmap.checks.agreement import Assumption, SmallImages, significance
from gemmap.checks.contrast import SignScores, compare_signs
from gemmap.checks.sample import ImageStatistics, Sample
from gemmap.checks.verdict import CERTAIN, Verdict, counted

#: Fewest images to judge from.
FEWEST = 48
#: Share of dead images that cannot be an accident.
MANY_DEAD = 0.01
#: Negative density must predict held-out images this many times better than positive to call particles dark, and the
#: other way round.
SIGN_RATIO = 1.1
#: Normalised backgrounds have a mean below the first and a standard deviation within the second of 1.
MEAN_TOLERANCE, SD_TOLERANCE = 0.1, 0.1
#: Spread of the background's standard deviation within an optics group (quartiles over median) that one spectrum of the
#: noise does not describe; factor from the median that makes an outlier.
SD_SPREAD, OUTLIER_FACTOR = 0.3, 3.0
#: Noise at low frequency over that at high frequency (or the other way round) from which it is called coloured.
COLOURED = 1.5
#: Pixel sizes this close to 1 Å (in their logarithm) make pixels and Å the same.
SAME_UNIT = 0.05
_LISTED = 10


def dead_images(statistics: ImageStatistics, all_images: bool) -> Verdict:
    """Whether images are constant or hold pixels that are not finite numbers."""
    dead = statistics.rows[statistics.dead]
    of = counted(len(dead), len(statistics.rows), "images" if all_images else "sampled images")
    measured = {
        "n_images": len(statistics.rows),
        "n_not_finite": int(statistics.not_finite.sum()),
        "n_constant": int(statistics.constant.sum()),
        "particles": [int(row) + 1 for row in dead[:1000]],
    }
    if not len(dead):
        more = "" if all_images else "; --all-images looks at every one"
        return Verdict("dead images", "ok", f"None in {len(statistics.rows):,} images{more}.", measured)
    named = ", ".join(str(row + 1) for row in dead[:_LISTED]) + (", ..." if len(dead) > _LISTED else "")
    return Verdict(
        "dead images",
        "error" if len(dead) > MANY_DEAD * len(statistics.rows) else "warning",
        f"{of} are constant ({measured['n_constant']}) or hold values that are not finite "
        f"({measured['n_not_finite']}): particles {named}; extract them again or remove them.",
        measured,
    )


def noise(sample: Sample) -> Verdict:
    """Background of the images: normalised or not, alike or not, white or coloured."""
    statistics = sample.statistics
    live = ~statistics.dead
    mean, sd = statistics.mean[live], statistics.sd[live]
    group = _groups_of(sample, statistics.rows[live])
    middle_mean, middle_sd = float(np.median(mean)), float(np.median(sd))
    colour = float(sample.noise[2:6].mean() / sample.noise[2 * len(sample.noise) // 3 :].mean())
    medians = {name: float(np.median(sd[group == name])) for name in np.unique(group)}
    spread = max(
        float(np.subtract(*np.percentile(sd[group == g], [75, 25]))) / max(m, 1e-30) for g, m in medians.items()
    )
    ratio = sd / np.maximum(np.array([medians[g] for g in group]), 1e-30)
    outliers = statistics.rows[live][(ratio > OUTLIER_FACTOR) | (ratio < 1.0 / OUTLIER_FACTOR)]
    measured = {
        "background_mean": middle_mean, "background_sd": middle_sd, "sd_spread": spread, "colour": colour,
        "sd_by_optics_group": {sample.table.optics[g].name: m for g, m in medians.items()},
        "outliers": [int(row) + 1 for row in outliers[:1000]],
    }  # fmt: skip
    if middle_sd == 0.0:
        text = (
            "The background of the images is constant: they are masked, or simulated without noise; give them unmasked."
        )
        return Verdict("noise", "warning", text, measured)
    normalised = abs(middle_mean) < MEAN_TOLERANCE and abs(middle_sd - 1.0) < SD_TOLERANCE
    kind = "white" if 1.0 / COLOURED < colour < COLOURED else "coloured"
    text = (
        f"Background {middle_mean:.3g} ± {middle_sd:.3g} ({'normalised' if normalised else 'not normalised'}), {kind} "
        f"(low over high frequency {colour:.2g})"
    )
    if spread > SD_SPREAD:
        advice = f"its level differs between images of one optics group (quartiles {spread:.0%} apart): normalise them."
        return Verdict("noise", "warning", f"{text}; {advice}", measured)
    if len(outliers):
        of = counted(len(outliers), int(live.sum()), "sampled images")
        advice = f"{of} differ from the others by a factor of {OUTLIER_FACTOR:g} (the first is particle"
        return Verdict("noise", "warning", f"{text}; {advice} {outliers[0] + 1}): look at them.", measured)
    return Verdict("noise", "ok", f"{text}.", measured)


def _groups_of(sample: Sample, rows: np.ndarray) -> np.ndarray:
    place = np.clip(np.searchsorted(sample.rows, rows), 0, len(sample.rows) - 1)
    return sample.table.optics_group[place]


def agreement_verdicts(images: SmallImages, best: Assumption, scores: PerParticle) -> list[Verdict]:
    """What a sample says about poses, shifts and contrast, with the CTFs that fit it best and their scores."""
    shifts, centred = judge_shifts(images, best, scores)
    poses = judge_poses(images, centred, scores if centred is best else images.scores(centred))
    if poses.level != "ok":
        text = "Cannot be known: the images do not show their particle well enough."
        return [poses, shifts, Verdict("contrast", "unknown", text)]
    return [poses, shifts, judge_contrast(compare_signs(images, centred))]


def judge_poses(images: SmallImages, given: Assumption, scores: PerParticle) -> Verdict:
    """Whether the poses belong to the images, or are inverse."""
    inverse = replace(given, rotations=np.ascontiguousarray(np.swapaxes(given.rotations, 1, 2)))
    others = replace(given, rotations=np.roll(given.rotations, 1, axis=0))
    found = images.all_scores({"inverse": inverse, "others": others})
    lead, inverse_lead = significance(scores - found["others"]), significance(found["inverse"] - scores)
    measured = {"lead_over_others": lead, "lead_of_inverse": inverse_lead}
    if inverse_lead > CERTAIN and significance(found["inverse"]) > CERTAIN:
        text = (
            f"The inverse rotations fit the images better ({inverse_lead:.0f} standard errors): they come from a "
            "program that means the inverse; transpose them."
        )
        return Verdict("poses fit", "error", text, measured)
    if lead > CERTAIN:
        text = f"Images fit their own poses better than those of others ({lead:.0f} standard errors)."
        return Verdict("poses fit", "ok", text, measured)
    text = (
        f"{len(images):,} images fit their own poses no better than those of others: they are too few or too noisy, or "
        "the poses belong to other images; compare the order of the rows with the stacks."
    )
    return Verdict("poses fit", "unknown", text, measured)


def judge_shifts(images: SmallImages, given: Assumption, scores: PerParticle) -> tuple[Verdict, Assumption]:
    """Sign and unit of the shifts, and the assumption with those that centre the images best."""
    shifts_a = given.shifts_a
    pixel_size_a = images.table.optics[int(images.table.optics_group[0])].pixel_size_a
    others = {"of the opposite sign": -shifts_a, "zero": 0.0 * shifts_a}
    if abs(math.log(pixel_size_a)) > SAME_UNIT:
        others |= {
            "multiplied by the pixel size": shifts_a * pixel_size_a,
            "divided by the pixel size": shifts_a / pixel_size_a,
        }
    found = images.all_scores({name: replace(given, shifts_a=other) for name, other in others.items()})
    leads = {name: significance(scores - other) for name, other in found.items()}
    measured = {"leads_of_given": leads, "rms_a": float(np.sqrt(np.square(shifts_a).sum(axis=1).mean()))}
    nearest = min(leads, key=lambda name: leads[name])
    if leads[nearest] < -CERTAIN:
        better = replace(given, shifts_a=others[nearest])
        advice = {
            "of the opposite sign": "change the sign of the columns",
            "zero": "the images were extracted at the centres, or the shifts belong to other images: set them to 0",
            "multiplied by the pixel size": "they seem to be in pixels: give them in Å",
            "divided by the pixel size": "they seem to have been multiplied by the pixel size twice: divide them",
        }[nearest]
        text = f"Shifts {nearest} centre the images better ({-leads[nearest]:.0f} standard errors): {advice}."
        return Verdict("shifts", "error", text, measured), better
    of_sign = min(leads["of the opposite sign"], leads["zero"])
    if of_sign > CERTAIN:
        of_unit = min((lead for name, lead in leads.items() if "pixel size" in name), default=0.0)
        what = (
            "sign and unit are right" if of_unit > CERTAIN else "the sign is right (the unit makes no difference here)"
        )
        text = f"As given they centre the images best: {what} ({of_sign:.0f} standard errors)."
        return Verdict("shifts", "ok", text, measured), given
    text = (
        "Sign and unit cannot be known: other shifts centre these images as well; they are small, or the images noisy."
    )
    return Verdict("shifts", "unknown", text, measured), given


def judge_contrast(signs: SignScores) -> Verdict:
    """Judge the scores of positive and negative density."""
    measured = {"bright": signs.bright, "dark": signs.dark, "significance": signs.significance}
    numbers = f"{signs.bright:.2f} against {signs.dark:.2f}"
    if signs.dark > SIGN_RATIO * signs.bright and signs.significance < -3.0:
        return Verdict(
            "contrast", "error",
            f"Particles seem to be dark: negative density predicts images better (score {signs.dark:.2f} against "
            f"{signs.bright:.2f}); add --invert, or leave it out.",
            measured,
        )  # fmt: skip
    if signs.bright > SIGN_RATIO * signs.dark and signs.significance > 3.0:
        return Verdict(
            "contrast", "ok", f"Particles are bright: positive density predicts images better ({numbers}).", measured
        )
    text = f"Cannot be known: positive and negative density predict images alike ({numbers})."
    return Verdict("contrast", "unknown", text, measured)


def handedness() -> Verdict:
    """What no data of this kind tell."""
    return Verdict(
        "handedness", "unknown",
        "Cannot be known: images and poses fit the mirrored map as well; look at a helix at better than 8 Å.",
    )  # fmt: skip
