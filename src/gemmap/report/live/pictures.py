"""Central slices of a fit that goes on, as pictures for a page."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gemmap.fit.moments import Planes
from gemmap.report.html.markup import image_source
from gemmap.report.html.slices import CONTRAST, PLANES, grey_bytes, round_length
from gemmap.report.html.volumes import LARGEST_SLICE


@dataclass(frozen=True, eq=False)
class Picture:
    """Slices of one fit at a moment: its title, what is shown, and the side of the slices in Å."""

    title: str
    text: str
    planes: Planes
    side_a: float

    def plain(self) -> dict[str, Any]:
        """Return it for JSON, with PNG images as addresses that hold them; all three have one grey scale."""
        every = -(-len(self.planes[0]) // LARGEST_SLICE)
        planes = [plane[::every, ::every] for plane in self.planes]
        low, high = (float(end) for end in np.percentile(np.stack(planes), CONTRAST))
        bar_a = round_length(0.3 * self.side_a)
        return {
            "title": self.title,
            "text": self.text,
            "images": [
                [name, image_source(grey_bytes(plane, low, high))] for name, plane in zip(PLANES, planes, strict=True)
            ],
            "bar": f"{bar_a:g} Å",
            "barPercent": round(100.0 * bar_a / self.side_a, 1),
        }
