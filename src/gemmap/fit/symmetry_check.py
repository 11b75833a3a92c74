"""Does the particle have the symmetry that is imposed? Half-maps cannot tell: both have it then.

Particles can, if nothing is imposed on them. What the symmetric map of a set leaves unexplained in the set's own
asymmetric sums is noise if the particle has the symmetry, and noise of another set has nothing to do with it. Otherwise
the two sets leave the same things unexplained.
"""

from dataclasses import dataclass

import numpy as np

from gemmap._types import Complex, Curve, Int
from gemmap.fit.aggregate import Aggregate
from gemmap.fit.backprojection import DAMPING
from gemmap.fit.diameter import small_aggregates, two_sets
from gemmap.fit.progress import Progress
from gemmap.fit.residual import grid_shells
from gemmap.geometry.symmetry import NO_SYMMETRY, PointGroup
from gemmap.particles.dead_images import DeadImages
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable

#: The group is doubted if this part of what two sets have in common is against it, and if it is so many standard
#: deviations of the noise. Neighbours on the grid share noise, so these look about twice as many as they are.
LARGEST_PART, LEAST_DEVIATIONS = 0.15, 6.0
#: The innermost shells are left out: next to nothing there depends on the direction.
FIRST_SHELL = 2


@dataclass(frozen=True)
class Asymmetry:
    """Part of what two sets have in common that a group does not explain, and its size in deviations of the noise."""

    part: float
    deviations: float

    @property
    def is_doubtful(self) -> bool:
        """Whether the particle seems not to have the symmetry."""
        return self.part > LARGEST_PART and self.deviations > LEAST_DEVIATIONS


def check_symmetry(
    table: ParticleTable,
    stack: ImageStack,
    rows: Int[np.ndarray, " n"],
    half: int,
    dead: DeadImages,
    symmetry: PointGroup,
    progress: Progress,
) -> Asymmetry | None:
    """Tell the user if up to 2,000 particles of a half, at low resolution, speak against the symmetry.

    None without a symmetry, or with fewer than two images.
    """
    sets = two_sets(table, rows)
    if symmetry.is_trivial or not all(len(part) for part in sets):
        return None
    first, second = (small_aggregates(table, stack, part, dead, NO_SYMMETRY, symmetry) for part in sets)
    if not (first[0].n_particles and second[0].n_particles):
        return None
    found = asymmetry((first[0], second[0]), (first[1], second[1]))
    if found.is_doubtful:
        progress.note(
            f"half {half}: images speak against {symmetry.name}: {100 * found.part:.0f} % of what two sets of them "
            f"have in common at low resolution ({found.deviations:.0f} deviations of the noise) does not have this "
            "symmetry; check the group and where its axes lie, and compare a run without --sym"
        )
    return found


def asymmetry(plain: tuple[Aggregate, Aggregate], symmetric: tuple[Aggregate, Aggregate]) -> Asymmetry:
    """Compare what two sets of particles say, each inserted without and with the group."""
    shell = grid_shells(plain[0])
    # Half of the plane stands for all of it.
    whole = [_damped(a.numerator, a) for a in plain]
    left = [_damped(a.numerator - a.weight * _damped(s.numerator, s), a) for a, s in zip(plain, symmetric, strict=True)]

    def total(values: np.ndarray) -> Curve:
        return np.asarray(np.bincount(shell, values.ravel())[FIRST_SHELL : plain[0].box_px // 2])

    power = np.sqrt(total(np.abs(whole[0]) ** 2) * total(np.abs(whole[1]) ** 2))
    common, against = (
        np.divide(total((a * b.conj()).real), power, out=np.zeros_like(power), where=power > 0)
        for a, b in (whole, left)
    )
    variance = 0.5 * total(np.abs(left[0] * left[1]) ** 2)
    noise = float(np.sqrt(np.sum(np.divide(variance, power**2, out=np.zeros_like(power), where=power > 0))))
    return Asymmetry(float(against.sum() / max(common.sum(), 1e-30)), float(against.sum() / max(noise, 1e-30)))


def _damped(numerator: Complex[np.ndarray, "m m h"], aggregate: Aggregate) -> Complex[np.ndarray, "m m h"]:
    """Numerator over weight, faded out where there is little weight."""
    positive = aggregate.weight[aggregate.weight > 0]
    damping = np.float32(DAMPING * positive.mean(dtype=np.float64)) if positive.size else np.float32(1.0)
    return np.asarray(numerator / (aggregate.weight + damping))
