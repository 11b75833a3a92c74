"""Real-space correlation along the chains of a model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gemmap._types import Float
from gemmap.report.canvas import new_figure, save_png

_COLOURS = ("#0072B2", "#D55E00")
#: More chains than this leave no room for their names.
_MOST_NAMES = 24


def write_residue_figure(path: Path, chains: Sequence[str], values: Float[np.ndarray, " r"], cc_mask: float) -> None:
    """Draw one point for each residue, chains side by side in two colours by turns, as PNG.

    Parameters
    ----------
    chains
        Name of the chain of each residue, in order.
    values
        (residues,) correlations; NaN leaves a gap.
    cc_mask
        Correlation in the whole mask, a dashed line.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    figure = new_figure(9.0, 3.6)
    axes = figure.add_subplot()
    places = np.arange(len(values))
    names = np.array(chains, dtype=object)
    ticks, labels = [], []
    for i, name in enumerate(dict.fromkeys(chains)):
        chosen = (names == name) & np.isfinite(values)
        if not chosen.any():
            continue
        axes.plot(places[chosen], values[chosen], ".", markersize=2.5, color=_COLOURS[i % 2])
        ticks.append(float(np.median(places[chosen])))
        labels.append(name)
    axes.axhline(cc_mask, color="#707070", linewidth=0.8, linestyle=(0, (5, 2)), zorder=1)
    axes.axhline(0.0, color="#707070", linewidth=0.6, zorder=1)
    lowest = float(np.nanmin(values)) if np.isfinite(values).any() else 0.0
    axes.set(ylim=(max(-1.0, min(0.0, lowest) - 0.04), 1.02), xlim=(-0.01 * len(values), 1.01 * len(values)))
    axes.set_xticks(ticks if len(ticks) <= _MOST_NAMES else [], labels if len(ticks) <= _MOST_NAMES else [])
    axes.set_xlabel("Chain, residues in the order of the file")
    axes.set_ylabel("Real-space correlation")
    axes.spines[["top", "right"]].set_visible(False)
    save_png(figure, path)
