"""The particles of one fit in batches, as the images engine visits them."""

from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gemmap._types import Int
from gemmap.fit.image_loss import ImageBatch
from gemmap.fit.schedule import Schedule
from gemmap.fit.team import Alone, Team, share_begin
from gemmap.fit.uploads import Uploads
from gemmap.particles.batches import read_ahead
from gemmap.particles.optics import image_model
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable


@dataclass(frozen=True, eq=False)
class Particles:
    """The particles of one fit: rows of a table, their images, and the noise by which they are weighed.

    ``inverse_noise`` is 1/sigma^2 of several spectra at every shell, (g, s); ``noise_of`` says for every row of the
    table which one is its own. ``crew`` are the processes that share each batch.
    """

    table: ParticleTable
    stack: ImageStack
    rows: Int[np.ndarray, " n"]
    inverse_noise: Float[np.ndarray, "g s"]
    noise_of: Int[np.ndarray, " t"]
    crew: Team = field(default_factory=Alone)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class PosedBatch:
    """A batch with its rows in the table, views (b, 3, 3) and in-plane shifts (b, 2) in pixels."""

    rows: Int[np.ndarray, " b"]
    images: ImageBatch
    views: Float[Tensor, "b 3 3"]
    shifts_px: Float[Tensor, "b 2"]


@dataclass(frozen=True, eq=False)
class BatchShare:
    """What one process computes of a batch: images ``begin`` and following of ``size``; none if there are too few."""

    size: int
    begin: int
    batch: PosedBatch | None


def image_batches(
    particles: Particles, schedule: Schedule, seed: int, done: int, device: torch.device
) -> Generator[BatchShare, None, None]:
    """Every particle once an epoch, in an order of the seed and the epoch; the first ``done`` batches are left out.

    The last batch of an epoch may be smaller. Each process of the crew reads and yields its share of every batch.
    """
    noise = torch.from_numpy(particles.inverse_noise).to(device, torch.float32)
    if schedule.loss == "mse":
        # Shells without data stay so.
        noise = torch.where(noise > 0, noise[noise > 0].mean(), 0.0)
    uploads = Uploads(device)
    first, left_out = divmod(done, schedule.batches(len(particles)))
    for epoch in range(first, schedule.all_epochs):
        order = np.random.default_rng([seed, epoch]).permutation(particles.rows)
        rest = order[left_out * schedule.batch_size :] if epoch == first else order
        yield from _batches_of(rest, particles, schedule.batch_size, noise, uploads, device)


def _batches_of(
    order: Int[np.ndarray, " n"],
    particles: Particles,
    batch_size: int,
    noise: Float[Tensor, "g s"],
    uploads: Uploads,
    device: torch.device,
) -> Generator[BatchShare, None, None]:
    """Share the particles of an epoch, in their order."""
    table, box_px = particles.table, particles.stack.box_px
    noise_of = torch.from_numpy(particles.noise_of)
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    shares = [np.array_split(rows, particles.crew.size)[particles.crew.rank] for rows in batches]
    # Whole batches have shares of one size, and the last one's is not larger: chunks of it are the shares.
    reader = read_ahead(particles.stack, np.concatenate(shares), max(1, len(shares[0])))
    try:
        for whole, mine in zip(batches, shares, strict=True):
            begin = share_begin(len(whole), particles.crew)
            if not len(mine):
                yield BatchShare(len(whole), begin, None)
                continue
            rows, images = next(reader)
            model = image_model(table.select(rows), box_px * table.pixel_size_a)
            batch = PosedBatch(
                rows,
                ImageBatch(
                    uploads.send(images),
                    torch.from_numpy(model.coefficients).to(device),
                    torch.from_numpy(model.scales).to(device, torch.float32),
                    noise[noise_of[rows]],
                ),
                torch.from_numpy(model.views).to(device, torch.float32),
                torch.from_numpy(model.shifts * box_px).to(device, torch.float32),
            )
            yield BatchShare(len(whole), begin, batch)
    finally:
        reader.close()
