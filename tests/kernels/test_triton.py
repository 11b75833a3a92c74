"""Triton's kernels against the reference in float64: in Python where there is no GPU, else on it."""

import oracles
import pytest
import torch
from backends import DEVICES
from test_project import poses
from test_project_gradients import magnified
from test_slices import Case
from test_voxelize import random_set

from gemmap.geometry.symmetry import point_group
from gemmap.kernels import gpu_bins, ops, reference_insert, reference_symmetrise, registry
from gemmap.kernels.residuals import weigh_residuals
from gemmap.physics.ctf import CtfParameters
from gemmap.physics.image_model import MODE, Mode, image_coefficients

pytestmark = pytest.mark.parametrize("device", DEVICES)


def assert_agree(got, expected, tolerance):
    for a, e in zip(got, expected, strict=True):
        assert a.dtype in (torch.float32, torch.complex64)
        assert a.shape == e.shape
        a, e = (torch.view_as_real(t) if t.is_complex() else t for t in (a.cpu(), e.cpu()))
        distance, angle, bias = oracles.disagreement(a, e)
        assert distance < tolerance
        assert abs(angle) < tolerance
        assert abs(bias) < tolerance


def transforms(images):
    """Of no images too, which torch refuses."""
    return torch.fft.rfft2(images) if images.numel() else torch.zeros(0, 8, 5, dtype=torch.complex128)


def on(device, tensors, dtype=torch.float32):
    return [t.to(device, dtype) for t in tensors]


@pytest.mark.parametrize(("size", "n", "cut"), [(1, 3, 3.5), (7, 5, 2.0), (17, 9, 6.0), (16, 1, 3.5), (9, 0, 3.5)])
def test_voxelize_and_its_gather(size, n, cut, device):
    gaussians = random_set(n, size, seed=size)
    grad = torch.randn(size, size, size, generator=torch.Generator().manual_seed(1))
    volume = ops.voxelize(*on(device, gaussians), size, cut, "triton")
    assert volume.device.type == device
    assert_agree([volume], [ops.voxelize(*on("cpu", gaussians, torch.float64), size, cut)], 1e-6)
    got = ops.voxelize_gather(grad.to(device), *on(device, gaussians), cut, "triton")
    assert_agree(got, ops.voxelize_gather(grad.double(), *on("cpu", gaussians, torch.float64), cut), 2e-6)
    assert torch.equal(volume, ops.voxelize(*on(device, gaussians), size, cut, "triton")), "the same bits twice"


@pytest.mark.parametrize(
    ("size", "n", "b", "cut"),
    [
        (1, 3, 2, 3.5),
        (7, 5, 2, 2.0),
        (33, 9, 1, 6.0),
        (16, 1, 3, 3.5),
        (9, 0, 2, 3.5),
        (9, 4, 0, 3.5),
        (8, 130, 2, 2.0),
        (5, 2, 9, 3.5),
    ],
)
def test_project_and_its_gather(size, n, b, cut, device):
    *gaussians, rotations, shifts = [*random_set(n, size, seed=size), *poses(b, seed=size)]
    inputs = [*gaussians, magnified(rotations) if b % 2 else rotations, shifts]
    doubles = on("cpu", inputs, torch.float64)
    grad = torch.randn(b, size, size, generator=torch.Generator().manual_seed(1))
    images = ops.project(*on(device, inputs), size, cut, "triton")
    assert images.device.type == device
    assert_agree([images], [ops.project(*doubles, size, cut)], 1e-6)
    got = ops.project_gather(grad.to(device), *on(device, inputs), cut, "triton")
    assert_agree(got, ops.project_gather(grad.double(), *doubles, cut), 1e-6)
    assert torch.equal(images, ops.project(*on(device, inputs), size, cut, "triton")), "the same bits twice"


def test_images_in_groups(device, monkeypatch):
    """What does not fit is done in parts: the same images and derivatives, to the bit or to rounding."""
    inputs = on(device, [*random_set(5, 9), *poses(5)])
    grad = torch.randn(5, 9, 9, generator=torch.Generator().manual_seed(1)).to(device)
    module = registry.importlib.import_module("gemmap.kernels.gpu_project")
    whole = ops.project(*inputs, 9, 3.5, "triton"), ops.project_gather(grad, *inputs, 3.5, "triton")
    monkeypatch.setattr(module, "_GROUP_BYTES", 2 * 5 * module._BYTES)
    assert torch.equal(ops.project(*inputs, 9, 3.5, "triton"), whole[0])
    assert_agree(ops.project_gather(grad, *inputs, 3.5, "triton"), whole[1], 1e-6)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(("b", "d"), [(1, 1), (2, 7), (1, 16), (0, 8)])
def test_residuals(b, d, mode, device):
    generator = torch.Generator().manual_seed(d)
    one = torch.ones(b).numpy()
    ctf = CtfParameters(1.5e4 * one, 1.4e4 * one, 0.7 * one, 300 * one, 2.7 * one, 0.1 * one, 0 * one, 60 * one, one)
    coefficients = image_coefficients(ctf, b, 1.4 * d, odd_zernike=(0.0, 0.0, 40.0, 300.0, -200.0, 100.0))
    coefficients[:, MODE] = mode
    coefficients = torch.from_numpy(coefficients)
    images = torch.randn(2, b, d, d, generator=generator, dtype=torch.float64)
    scales = torch.rand(b, generator=generator, dtype=torch.float64) + 0.5
    noise = torch.rand(b, d // 2 + 2, generator=generator, dtype=torch.float64) + 0.1
    expected = weigh_residuals(*map(transforms, images), coefficients, scales, noise)
    projected, observed = (transforms(i).to(device, torch.complex64) for i in images)
    real = on(device, (scales, noise))
    got = weigh_residuals(projected, observed, coefficients.to(device), *real, "triton")
    assert_agree(got, expected, 3e-6)


@pytest.mark.parametrize(("n", "d", "m"), [(3, 8, 12), (1, 13, 20), (1, 9, 13), (2, 8, 8), (0, 8, 12)])
def test_the_one_pass(n, d, m, device):
    case = Case(n, d, seed=d, ctf="phase plate, B-factor, scale")
    model = case.model()
    views = torch.from_numpy(case.rotations)
    if n == 3:
        views = magnified(views)
    values = [model.coefficients, model.shifts, model.scales, case.group, case.inverse_noise]
    values = [torch.from_numpy(v) for v in values]
    expected = torch.zeros(n, d, d // 2 + 1, 3, dtype=torch.float64)
    of_images = transforms(torch.from_numpy(case.images).double())
    reference_insert.prepare_slices(of_images, *values, expected)
    slices = torch.zeros(expected.shape, device=device)
    single = of_images.to(device, torch.complex64)
    registry.load("prepare_slices", "triton")(single, *(v.to(device) for v in values), slices)
    assert_agree([slices[..., :2], slices[..., 2]], [expected[..., :2], expected[..., 2]], 1e-6)

    volume, exact = torch.zeros(m, m, m // 2 + 1, 3, device=device), torch.zeros(m, m, m // 2 + 1, 3).double()
    once = torch.zeros_like(volume)
    for into in (volume, once):
        registry.load("insert_slices", "triton")(slices, views.to(device), into)
    assert torch.equal(volume, once), "the same bits twice"
    registry.load("complete_plane", "triton")(volume)
    reference_insert.insert_slices(expected, views, exact)
    reference_insert.complete_plane(exact)
    assert_agree([volume[..., :2], volume[..., 2]], [exact[..., :2], exact[..., 2]], 2e-6)
    if m % 2:
        return
    rotations = torch.from_numpy(point_group("O").on_grid).round().long()[:6]
    turned, sums = torch.empty_like(volume), torch.empty_like(exact)
    registry.load("symmetrise", "triton")(volume, rotations.to(device), turned)
    reference_symmetrise.symmetrise(exact, rotations, sums)
    assert_agree([turned], [sums], 2e-6)


def test_lists_of_tiles(device):
    """Windows of two grids of 3 x 3 tiles, by hand."""
    # Two tiles in a row; nothing; the last corner; all nine.
    windows = torch.tensor([[6, 0, 3, 4], [3, 3, 0, 5], [17, 17, 1, 1], [0, 7, 18, 11]], dtype=torch.int32)
    windows[3, 1], windows[3, 3] = 7, 11
    before = torch.tensor([0, 0, 9, 9])
    members, begins = gpu_bins.bin_windows(windows.to(device), before.to(device), 18, 8, 18)
    lists = [members[begins[i] : begins[i + 1]].tolist() for i in range(18)]
    assert lists == [[0], [0], [], [], [], [], [], [], [], [3], [3], [3], [3], [3], [3], [3], [3], [2, 3]]


def test_a_gradient_that_is_not_finite_stays_in_its_image(device):
    grad = torch.zeros(2, 8, 8)
    grad[1] = torch.nan
    got = ops.project_gather(grad.to(device), *on(device, [*random_set(5, 8), *poses(2)]), 3.5, "triton")
    assert got.masses.isnan().any()
    assert not got.tangents[0].isnan().any()
    assert got.tangents[1].isnan().all()


@pytest.mark.parametrize(("oversampling", "expected"), [(1.0, 2), (1.5, 1)])
def test_no_point_of_a_slice_is_out_of_reach(oversampling, expected, device):
    """Random places of voxels near a plane: the points within a step of them on every axis are looked for."""
    planes_of = registry.importlib.import_module("gemmap.kernels.gpu_insert")._planes
    views = poses(30, seed=2)[0].double()
    planes, reach = planes_of(views.to(device), 100, int(100 * oversampling))
    assert reach == expected
    generator, furthest = torch.Generator().manual_seed(3), 0.0
    k = torch.cartesian_prod(*[torch.arange(-4.0, 5.0).double()] * 2)
    for plane in planes.cpu():
        steps, back = plane[:6].reshape(2, 3), plane[6:12].reshape(2, 3)
        places = 2 * torch.rand(400, 1, 3, generator=generator, dtype=torch.float64) - 1
        reaches = ((k @ steps - places).abs() < 1).all(-1)
        steps_away = (k - (places @ back.mT).round()).abs().amax(-1)
        furthest = max(furthest, float(steps_away[reaches].max()))
    assert furthest == reach
