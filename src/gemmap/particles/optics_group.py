"""What particles recorded alike have in common; without an array, so that options can name it."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

#: What was done to the images about their CTF before they were written: nothing, signs of the CTF multiplied in, the
#: CTF multiplied in, or the CTF taken out (images without one).
CtfApplied: TypeAlias = Literal["none", "phase-flip", "multiplied", "corrected"]


@dataclass(frozen=True)
class OpticsGroup:
    """Particles recorded under the same conditions; each group has its own noise spectrum.

    Attributes
    ----------
    name
        As in the file.
    pixel_size_a
        Å per pixel of the images as they are read.
    box_px
        Side of the images as they are read, if known.
    odd_zernike, even_zernike
        Coefficients (rad) of the antisymmetric and symmetric aberrations in RELION's order, with rho = k in 1/Å, not
        normalised; beam tilt is among the odd ones. Empty for none. The transform of an image is multiplied by
        exp(i odd); even is added to gamma of the CTF.
    magnification
        (m00, m01, m10, m11) of M: F_image(k) = F_projection(M k), CTF and aberrations at M k.
    ctf_applied
        What the images went through before they were written.
    first_empty_shell
        First shell of the images' transforms without data (images that were padded in Fourier space); None if all have
        some.
    """

    name: str
    pixel_size_a: float
    box_px: int | None = None
    odd_zernike: tuple[float, ...] = ()
    even_zernike: tuple[float, ...] = ()
    magnification: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 1.0)
    ctf_applied: CtfApplied = "none"
    first_empty_shell: int | None = None
