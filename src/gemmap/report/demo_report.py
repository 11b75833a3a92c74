"""The demonstration's report: the resolution that was claimed beside the one that is true."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gemmap._types import Curve
from gemmap.simulate.config import SimulationConfig
from gemmap.validate.resolution import Resolution


@dataclass(frozen=True, eq=False)
class TruthComparison:
    """FSC with the truth, within the truth's mask.

    Attributes
    ----------
    claimed
        The resolution that the reconstruction states without knowing the truth.
    resolutions, curves
        Of ``map`` and ``backprojection`` with the truth.
    """

    claimed: Resolution
    resolutions: Mapping[str, Resolution]
    curves: Mapping[str, Curve]

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
    shells = min(len(curve) for curve in comparison.curves.values())
    means = {name: float(curve[1:shells].mean()) for name, curve in comparison.curves.items()}
    run = "\n".join(summary)
    return f"""# Demonstration: simulated particles with a known truth

{config.n_particles:,} particles of the spike trimer (PDB 6VXX) were simulated at {config.box_px} px and
{config.pixel_size_a:g} Å per pixel with CTF, shifts, solvent of {config.solvent_contrast:g} times the protein's density
and a signal-to-noise ratio of {config.snr:g}, and reconstructed from the file `particles/particles.star` like any other
particles.

| | resolution |
| --- | --- |
{rows}

*Claimed* is what the run prints without knowing the truth. *True* compares with the density that was simulated, within
its mask. Mean correlation with the truth over all shells: map {means["map"]:.3f}, back-projection
{means["backprojection"]:.3f}.

![Fourier shell correlations](fsc.png)

![Central slices](slices.png)

The run in `run/`:

```
{run}
```
"""
