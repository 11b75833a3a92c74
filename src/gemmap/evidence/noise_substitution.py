"""Noise substitution on the particles (Chen et al. 2013, Ultramicroscopy 135, 24): what of the FSC is not signal?

Phases of all particle images are made random beyond a resolution, so that nothing there can be signal, and both halves
are reconstructed anew with everything that the reconstruction does. What their FSC still shows there, FSC_n, was made
by overfitting and by the mask; FSC_true = (FSC_t - FSC_n) / (1 - FSC_n) is what is left of FSC_t.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gemmap._types import Curve, Volume
from gemmap.evidence.case import Case, Labelled
from gemmap.fit.half_maps import fit_half_maps
from gemmap.fit.progress import Progress
from gemmap.particles.altered import PhaseRandomisedStack
from gemmap.validate.fsc import masked_transform, relion_fsc_of_transforms
from gemmap.validate.phase_randomise import RANDOMISE_BELOW_FSC, corrected_fsc, first_shell_below
from gemmap.validate.resolution import HALF_MAP_THRESHOLD, Resolution, resolution_at


@dataclass(frozen=True, eq=False)
class NoiseSubstitution:
    """Curves over shells 0 .. N//2, by name: ``half_maps_masked``, ``half_maps_unmasked``, ``backprojection_masked``,
    ``backprojection_unmasked``.

    Attributes
    ----------
    from_shell
        First shell whose phases were random in all images.
    given
        FSC_t of the run.
    substituted
        FSC_n after the reconstruction of the changed particles.
    true
        FSC_true from two shells later on, FSC_t before.
    resolutions
        Where each ``true`` falls below 0.143.
    """

    from_shell: int
    given: Mapping[str, Curve]
    substituted: Mapping[str, Curve]
    true: Mapping[str, Curve]
    resolutions: Mapping[str, Resolution]

    @property
    def largest(self) -> float:
        """Largest masked FSC of the half-maps where nothing but noise was in the particles."""
        return _largest(self.substituted["half_maps_masked"], self.from_shell)

    def line(self) -> str:
        """The finding in a sentence."""
        return (
            f"beyond shell {self.from_shell} random phases leave a masked FSC of at most {self.largest:.2f} "
            f"(back-projection {_largest(self.substituted['backprojection_masked'], self.from_shell):.2f}); true "
            f"half-map resolution {self.resolutions['half_maps_masked'].value_text}"
        )


def substitute_noise(case: Case, progress: Progress, from_shell: int | None = None) -> NoiseSubstitution | None:
    """Repeat both halves with random phases beyond a shell.

    Parameters
    ----------
    case
        The run.
    progress
        Told what happens.
    from_shell
        First shell with random phases; None takes the first where the FSC of the back-projections in the mask falls
        below 0.8. That of the half-maps may hold what is to be found out, and without a mask the noise of the whole box
        ends the back-projections' so early that nothing is left to fit.

    Returns
    -------
    NoiseSubstitution or None
        None if no shell of the FSC is below that: there is nothing beyond.
    """
    given = _curves(case.half_maps, case.backprojections, case)
    if from_shell is None:
        from_shell = first_shell_below(given["backprojection_masked"], RANDOMISE_BELOW_FSC)
    if from_shell is None or from_shell >= case.box_px // 2:
        return None
    # A pixel of the Fourier transform is 1 / (side of the image) for images of any pixel size.
    pixel_sizes_a = np.array([group.pixel_size_a for group in case.table.optics])[case.table.optics_group]
    limit = from_shell * pixel_sizes_a / case.pixel_size_a
    stack = PhaseRandomisedStack(case.stack, limit, case.table.original_image, case.seed)
    fits = fit_half_maps(case.table, stack, case.config, Labelled(progress, "noise substitution"), case.region)
    substituted = _curves((fits[0].map, fits[1].map), (fits[0].backprojection, fits[1].backprojection), case)
    true = {name: corrected_fsc(given[name], substituted[name], from_shell) for name in given}
    resolutions = {
        name: resolution_at(
            np.nan_to_num(curve),
            HALF_MAP_THRESHOLD,
            case.box_px,
            case.pixel_size_a,
            "half-map FSC after noise substitution",
            case.mask_name if name.endswith("_masked") else "no mask",
        )
        for name, curve in true.items()
    }
    return NoiseSubstitution(from_shell, given, substituted, true, resolutions)


def _curves(half_maps: tuple[Volume, Volume], backprojections: tuple[Volume, Volume], case: Case) -> dict[str, Curve]:
    curves = {}
    for name, pair in (("half_maps", half_maps), ("backprojection", backprojections)):
        for kind, mask in (("unmasked", None), ("masked", case.mask)):
            transforms = (masked_transform(volume, mask, case.workers) for volume in pair)
            curves[f"{name}_{kind}"] = relion_fsc_of_transforms(*transforms)
    return curves


def _largest(curve: Curve, from_shell: int) -> float:
    """Largest value, from two shells on: the mask smears the limit over its neighbours."""
    beyond = curve[from_shell + 2 :]
    return float(beyond.max()) if len(beyond) else 0.0
