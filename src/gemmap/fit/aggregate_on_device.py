"""The one pass on a GPU: images go there as they are read, and all that is done to them is done there.

Transforms are torch's, weighing and insertion :mod:`gemmap.kernels.slices_on_device`'s, and the sums stay on the device
until they are asked for.
"""

from collections.abc import Callable

import numpy as np
import torch

from gemmap._types import Float, Int
from gemmap.errors import InputError
from gemmap.fit.aggregate import Accumulator, Aggregate, grid_size
from gemmap.fit.uploads import Uploads
from gemmap.geometry.symmetry import NO_SYMMETRY, PointGroup, related_views
from gemmap.kernels import slices_on_device as slices
from gemmap.particles.optics import image_model
from gemmap.particles.table import ParticleTable


class DeviceAccumulator(Accumulator):
    """An :class:`Accumulator` whose sums lie on a device.

    Where the memory of the device is too short for the images of a call, they are taken in smaller batches from there
    on, which is said once for each size.

    Parameters
    ----------
    most
        Images taken at a time at first; None for all of a call.
    say
        Is told of smaller batches.
    backend
        Of the kernels; for tests.

    Raises
    ------
    InputError
        If the sums, or one image beside them, do not fit into the memory of the device.
    """

    def __init__(
        self,
        box_px: int,
        pixel_size_a: float,
        symmetry: PointGroup = NO_SYMMETRY,
        *,
        device: torch.device,
        most: int | None = None,
        say: Callable[[str], None] = lambda _: None,
        backend: str = "auto",
    ) -> None:
        self.box_px, self.pixel_size_a, self.n_particles = box_px, pixel_size_a, 0
        self._symmetry, self._say, self._backend = symmetry, say, backend
        m = grid_size(box_px)
        try:
            self._sums = torch.zeros((m, m, m // 2 + 1, 3), device=device)
        except torch.cuda.OutOfMemoryError:
            raise InputError(_too_little(device, f"the Fourier grid of {m}^3 points", box_px)) from None
        self._uploads = Uploads(device)
        self._most = most

    def add(
        self,
        images: Float[np.ndarray, "b d d"],
        table: ParticleTable,
        inverse_noise: Float[np.ndarray, "g s"],
        group: Int[np.ndarray, " b"],
    ) -> None:
        """Add images with poses and optics of ``table``'s rows, whitened by ``inverse_noise[group]`` (1/sigma^2)."""
        done = 0
        while done < len(table):
            here = slice(done, min(len(table), done + (self._most or len(table))))
            if self._fits(images[here], table.select(np.arange(here.start, here.stop)), inverse_noise, group[here]):
                done = here.stop
        self.n_particles += len(table)

    def _fits(
        self,
        images: Float[np.ndarray, "b d d"],
        table: ParticleTable,
        inverse_noise: Float[np.ndarray, "g s"],
        group: Int[np.ndarray, " b"],
    ) -> bool:
        """Add a batch; or, if the memory is too short for it, nothing, and make the next ones smaller."""
        model = image_model(table, self.box_px * self.pixel_size_a)
        try:
            prepared = slices.prepare(self._uploads.send(images), model, group, inverse_noise, self._backend)
        except torch.cuda.OutOfMemoryError:
            if len(table) == 1:
                raise InputError(_too_little(self._sums.device, "one image", self.box_px)) from None
            self._most = len(table) // 2
            self._say(f"the memory of {self._sums.device} is short: images are inserted {self._most} at a time")
            return False
        # Beyond this point next to nothing is allocated: a batch is inserted whole or not at all.
        for operator in self._symmetry.representatives:
            slices.insert(prepared, related_views(model.views, operator), self._sums, self._backend)
        return True

    @property
    def sums(self) -> Float[np.ndarray, "m m h 3"]:
        """A copy of the sums so far, of half the image plane and before rotations of the grid."""
        return self._sums.cpu().numpy()

    @sums.setter
    def sums(self, values: Float[np.ndarray, "m m h 3"]) -> None:
        self._sums.copy_(torch.from_numpy(values))

    def finish(self) -> Aggregate:
        """Return the aggregate; the accumulator must not be used afterwards."""
        slices.complete_plane(self._sums, self._backend)
        if len(self._symmetry.on_grid) > 1:
            self._sums = slices.symmetrised(self._sums, self._symmetry.on_grid, self._backend)
        numerator = torch.view_as_complex(self._sums[..., :2].contiguous()).cpu().numpy()
        weight = self._sums[..., 2].contiguous().cpu().numpy()
        del self._sums
        return Aggregate(numerator, weight, self.box_px, self.pixel_size_a, self.n_particles, self._symmetry.name)


def _too_little(device: torch.device, what: str, box_px: int) -> str:
    return (
        f"The memory of {device} is too small for {what} of a box of {box_px} px; give --device cpu, free the GPU of "
        "other work, or downsample the particles."
    )
