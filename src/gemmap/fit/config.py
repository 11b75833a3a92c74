"""Options of a reconstruction: values, checked once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gemmap.errors import InputError
from gemmap.fit.schedule import Schedule

if TYPE_CHECKING:
    from gemmap.geometry.symmetry import PointGroup

#: What of a Gaussian may change beside centre and mass. ``free``: everything. ``axis-aligned``: no rotation. ``round``:
#: one standard deviation for all axes. ``fixed``: nothing.
Shape = Literal["free", "axis-aligned", "round", "fixed"]


@dataclass(frozen=True)
class FitConfig:
    """What the user may choose; None means: from the data.

    Attributes
    ----------
    particle_diameter_a
        Diameter in Å of the sphere that holds the particle; outside it the map is zero and the images are noise.
    n_gaussians
        Gaussians per fit; by default from the particle's volume and the box.
    max_steps
        Upper bound on Adam steps; the stopping rule usually ends earlier.
    seed
        Of everything drawn at random; the two halves derive different seeds from it.
    device
        ``cpu``, ``cuda``, ``cuda:1``, ...: where images are inserted, and maps and Gaussians fitted.
    shape
        What of a Gaussian may change beside centre and mass.
    chunk_bytes
        Images read at a time; None for the usual amount.
    device_images
        Images inserted at a time on a device that is not the CPU; None for all that are read at a time.
    normalise
        Bring every image to a background of mean 0, no ramp and standard deviation 1.
    window
        Set the background of every image to its mean, once the noise was measured there.
    schedule
        Of the images engine; None fits with the aggregate engine.
    symmetry
        Point group of the particle (:func:`gemmap.geometry.symmetry.point_group`).
    refuse_dark
        Stop if the particles seem to be dark: what a control of pure noise must not do.
    """

    particle_diameter_a: float | None = None
    n_gaussians: int | None = None
    max_steps: int = 24
    seed: int = 0
    device: str = "cpu"
    shape: Shape = "free"
    chunk_bytes: int | None = None
    device_images: int | None = None
    normalise: bool = False
    window: bool = False
    schedule: Schedule | None = None
    symmetry: str = "C1"
    refuse_dark: bool = True

    def __post_init__(self) -> None:
        if self.particle_diameter_a is not None and not self.particle_diameter_a > 0:
            raise InputError(f"Particle diameter is {self.particle_diameter_a:g} Å; expected more than 0.")
        if self.n_gaussians is not None and self.n_gaussians < 1:
            raise InputError(f"Number of Gaussians is {self.n_gaussians}; expected at least 1.")
        if self.max_steps < 1:
            raise InputError(f"Maximum number of steps is {self.max_steps}; expected at least 1.")

    @property
    def group(self) -> "PointGroup":
        """The rotations of ``symmetry``.

        Raises
        ------
        InputError
            If there is no such group.
        """
        # Imported here: options are read, and help is printed, without numpy.
        from gemmap.geometry.symmetry import point_group

        return point_group(self.symmetry)
