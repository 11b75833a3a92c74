"""What a file format cannot say about a table of particles, in sentences for the user."""

from dataclasses import dataclass

import numpy as np

from gemmap.particles.table import ParticleTable


@dataclass(frozen=True)
class Loss:
    """Something a format cannot say.

    Attributes
    ----------
    sentence
        What is lost, and what to do.
    changes_model
        Whether the file then describes other images: a program that trusts it would compute something else.
    """

    sentence: str
    changes_model: bool


def aberration_losses(table: ParticleTable, format_name: str) -> list[Loss]:
    """Aberrations that a format has no place for."""
    kinds = {
        "antisymmetric aberrations (beam tilt, trefoil)": any(any(g.odd_zernike) for g in table.optics),
        "symmetric aberrations": any(any(g.even_zernike) for g in table.optics),
        "anisotropic magnification": any(g.magnification != (1.0, 0.0, 0.0, 1.0) for g in table.optics),
    }
    return [
        Loss(f"{format_name} has no {kind}; those of the particles are left out.", True)
        for kind in kinds
        if kinds[kind]
    ]


def applied_losses(table: ParticleTable, format_name: str) -> list[Loss]:
    """Images that already went through their CTF, in a format that cannot say so."""
    kinds = {
        "multiplied": "multiplied by their CTF",
        "phase-flip": "phase-flipped",
        "corrected": "CTF-corrected",
    }
    found = {g.ctf_applied for g in table.optics}
    return [
        Loss(f"{format_name} cannot say that images are {words}; a program would apply their CTF once more.", True)
        for kind, words in kinds.items()
        if kind in found
    ]


def sign_losses(table: ParticleTable, format_name: str, remedy: str) -> list[Loss]:
    """Dark particles, in a format that expects bright ones; a mixture cannot be set right by one option."""
    n_dark = int((table.image_sign < 0).sum())
    if not n_dark:
        return []
    return [
        Loss(
            f"{n_dark} of {len(table)} particles are dark on disk, which {format_name} cannot say: {remedy}.",
            n_dark < len(table),
        )
    ]


def has_scales(table: ParticleTable) -> bool:
    """Whether a particle's own scale differs from 1."""
    return bool(np.any(table.scale != 1.0))
