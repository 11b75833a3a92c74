"""What to simulate: one frozen record, checked when it is made."""

from dataclasses import dataclass, fields
from typing import Literal, get_args

from gemmap.errors import InputError
from gemmap.particles.optics_group import OpticsGroup

Noise = Literal["white", "coloured"]
Orientation = Literal["uniform", "preferred"]

#: Range of every number: lowest, highest, and whether the lowest itself is excluded.
_RANGES: dict[str, tuple[float, float, bool]] = {
    "box_px": (8, 4096, False),
    "pixel_size_a": (0.0, 100.0, True),
    "n_particles": (1, 100_000_000, False),
    "snr": (0.0, 1e9, True),
    "solvent_contrast": (0.0, 1.0, False),
    "micelle_contrast": (-1.0, 1.0, False),
    "defocus_min_a": (-100_000.0, 100_000.0, False),
    "defocus_max_a": (-100_000.0, 100_000.0, False),
    "astigmatism_a": (0.0, 20_000.0, False),
    "max_shift_a": (0.0, 1_000.0, False),
    "preferred_concentration": (0.0, 1e4, True),
    "pose_error_deg": (0.0, 180.0, False),
    "shift_error_a": (0.0, 1_000.0, False),
    "scale_spread": (0.0, 1.0, False),
    "voltage_kv": (10.0, 3000.0, False),
    "cs_mm": (0.0, 100.0, False),
    "amplitude_contrast": (0.0, 1.0, False),
    "phase_shift_deg": (-360.0, 360.0, False),
    "bfactor_a2": (0.0, 10_000.0, False),
    "blur_a2": (0.0, 10_000.0, False),
    "seed": (0, 2**63 - 1, False),
}


@dataclass(frozen=True)
class SimulationConfig:
    """Options of a simulation.

    Attributes
    ----------
    box_px, pixel_size_a
        Side of map and images in pixels and of a pixel in Å.
    n_particles
        Number of particles.
    snr
        Variance of the noise-free images (CTF, shift and scale included) inside the particle circle, averaged over
        particles, over the variance of the noise, which is 1. Real particles have 0.005 to 0.1; 1e6 is practically
        free of noise.
    solvent_contrast
        Mean density of the solvent over that of the molecule, 0 (vacuum) to 1 (invisible); about 0.6 for protein in
        ice.
    micelle_contrast
        Density of a detergent belt above the solvent's, over the molecule's mean density; 0 is no belt.
    noise
        ``white``, or ``coloured`` with power 1 + 9 / (1 + (50 Å k)^2): ten times stronger at low frequency. Both have
        variance 1.
    defocus_min_a, defocus_max_a
        Mean defocus is uniform between them; positive is underfocus.
    astigmatism_a
        Largest difference dU - dV; uniform between 0 and this, at a uniform angle.
    max_shift_a
        Particles lie uniformly in a disc of this radius around the centre of their image.
    orientation
        ``uniform``, or ``preferred``: views gather around the structure's z axis (Fisher distribution).
    preferred_concentration
        Fisher's concentration, for ``preferred`` only: 1 is slight, 10 keeps most views within 35 degrees.
    pose_error_deg, shift_error_a
        Root mean square of the angle and of the length by which the poses in the table differ from the true ones.
    scale_spread
        Standard deviation of the logarithm of the particles' scale, whose mean is 1. The table holds the scales.
    voltage_kv, cs_mm, amplitude_contrast, phase_shift_deg
        Microscope; the amplitude contrast is a fraction.
    bfactor_a2
        Envelope exp(-B k^2 / 4) of the images, as the table's CTF parameters say; the truth map is not damped.
    blur_a2
        Added to the B-factor of every atom, in truth and images alike.
    seed
        Same seed, same particles.
    optics
        Optics groups that the particles belong to by turns: aberrations, magnification, pixel size of the images, and
        what was done about their CTF; noise is added before that. Empty for one group without any of it.
    """

    box_px: int = 128
    pixel_size_a: float = 2.0
    n_particles: int = 2000
    snr: float = 0.05
    solvent_contrast: float = 0.6
    micelle_contrast: float = 0.0
    noise: Noise = "white"
    defocus_min_a: float = 8_000.0
    defocus_max_a: float = 20_000.0
    astigmatism_a: float = 300.0
    max_shift_a: float = 5.0
    orientation: Orientation = "uniform"
    preferred_concentration: float | None = None
    pose_error_deg: float = 0.0
    shift_error_a: float = 0.0
    scale_spread: float = 0.0
    voltage_kv: float = 300.0
    cs_mm: float = 2.7
    amplitude_contrast: float = 0.1
    phase_shift_deg: float = 0.0
    bfactor_a2: float = 0.0
    blur_a2: float = 20.0
    seed: int = 0
    optics: "tuple[OpticsGroup, ...]" = ()

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name in _RANGES and value is not None:
                _require_number(f.name, value, whole=f.type is int)
        for name, kind in (("noise", Noise), ("orientation", Orientation)):
            if getattr(self, name) not in get_args(kind):
                raise InputError(
                    f"{name} is {getattr(self, name)!r}; expected {' or '.join(get_args(kind))}: choose one."
                )
        if self.defocus_min_a > self.defocus_max_a:
            raise InputError(
                f"defocus_min_a is {self.defocus_min_a:g} and defocus_max_a {self.defocus_max_a:g}; "
                "expected the smaller first: swap them."
            )
        if (self.orientation == "preferred") != (self.preferred_concentration is not None):
            raise InputError(
                f"orientation is {self.orientation!r} and preferred_concentration {self.preferred_concentration}; "
                "expected a concentration, such as 5, with 'preferred' and none with 'uniform': correct one of them."
            )


def _require_number(name: str, value: object, whole: bool) -> None:
    low, high, open_below = _RANGES[name]
    kind = "a whole number" if whole else "a number"
    kinds: tuple[type[float], ...] = (int,) if whole else (int, float)
    if (
        isinstance(value, bool)
        or not isinstance(value, kinds)
        or not low <= value <= high
        or (open_below and value == low)
    ):
        limits = f"above {low:g} and at most {high:g}" if open_below else f"from {low:g} to {high:g}"
        raise InputError(f"{name} is {value!r}; expected {kind} {limits}: change it.")
