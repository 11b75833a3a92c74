"""The demonstration's report: the resolution that was claimed beside the one that is true."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gemmap._types import Curve
from gemmap.simulate.config import SimulationConfig
from gemmap.validate.resolution import Resolution


@dataclass(frozen=True, eq=False)
class TruthComparison:
    """FSC of ``map`` and ``backprojection`` with the truth.

    Attributes
    ----------
    claimed
        The resolution that the reconstruction states without knowing the truth.
    resolutions, curves
        Within the mask of the truth.
    means
        Mean over shells 1 .. N//2 by mask: ``truth``, ``run`` (the run's own) and ``none``.
    """

    claimed: Resolution
    resolutions: Mapping[str, Resolution]
    curves: Mapping[str, Curve]
    means: Mapping[str, Mapping[str, float]]

    def lines(self) -> list[tuple[str, str]]:
        """Return label and text of each resolution."""
        return [
            ("Claimed", str(self.claimed)),
            ("True, map", str(self.resolutions["map"])),
            ("True, back-proj.", str(self.resolutions["backprojection"])),
        ]


def demo_report(config: SimulationConfig, comparison: TruthComparison, summary: Sequence[str]) -> str:
    """Return the report as Markdown; it shows ``fsc.png`` and ``slices.png`` from its own folder."""
    rows = "\n".join(f"| {label} | {text} |" for label, text in comparison.lines())
    means = "\n".join(
        f"| {label} | " + " | ".join(f"{comparison.means[name][mask]:.3f}" for mask in ("truth", "run", "none")) + " |"
        for label, name in (("map", "map"), ("back-projection", "backprojection"))
    )
    run = "\n".join(summary)
    return f"""# Demonstration: simulated particles with a known truth

{config.n_particles:,} particles of the spike trimer (PDB 6VXX) were simulated at {config.box_px} px and
{config.pixel_size_a:g} Å per pixel, with CTF, shifts, solvent of {config.solvent_contrast:g} times the protein's
density and a signal-to-noise ratio of {config.snr:g}, and reconstructed from `particles/particles.star`.

| | resolution |
| --- | --- |
{rows}

*Claimed* is what the run prints without knowing the truth, with its 95 % interval. *True* compares with the density
that was simulated, within its mask. That mask is tighter than any that a run could make for itself, and helps the
noisier map more. Mean correlations with the truth over all shells, in three masks:

| | mask of the truth | mask of the run | no mask |
| --- | --- | --- | --- |
{means}

![Fourier shell correlations](fsc.png)

![Central slices](slices.png)

The run in `run/`:

```
{run}
```
"""
