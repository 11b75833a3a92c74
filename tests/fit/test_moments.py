"""Central slices of a cube: through the origin, in the axes that they are named by, and copies."""

import numpy as np
import pytest
import torch

from gemmap.fit.moments import Moment, central_planes


@pytest.mark.parametrize("size", [1, 4, 5])
def test_planes_go_through_the_origin(size: int) -> None:
    z, y, x = torch.meshgrid(*[torch.arange(size) - size // 2] * 3, indexing="ij")
    cube = (100.0 * z + 10.0 * y + x).float()
    i = np.arange(size) - size // 2
    expected = [10 * i[:, None] + i, 100 * i[:, None] + i, 100 * i[:, None] + 10 * i]
    planes = central_planes(cube)
    for plane, wanted in zip(planes, expected, strict=True):
        np.testing.assert_array_equal(plane, wanted)
    cube.zero_()
    np.testing.assert_array_equal(planes[0], expected[0])


def test_a_map_is_asked_for_when_it_is_looked_at() -> None:
    asked = []
    moment = Moment("fit full", "voxels", 3, lambda: asked.append(1) or torch.ones(2, 2, 2))
    assert asked == []
    assert all((plane == 1).all() for plane in moment.planes())
    assert asked == [1]
