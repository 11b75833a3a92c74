import pytest
import torch
from scipy.spatial.transform import Rotation

from gemmap.gaussians import covariance


@pytest.fixture(params=[0, 1, 11])
def shapes(request):
    generator = torch.Generator().manual_seed(4)
    n = request.param
    scales = 0.3 + 2 * torch.rand(n, 3, generator=generator, dtype=torch.float64)
    return scales, torch.randn(n, 4, generator=generator, dtype=torch.float64)


def test_rotations_are_those_of_scipy(shapes):
    _, quaternions = shapes
    if not len(quaternions):
        assert covariance.rotation_matrices(quaternions).shape == (0, 3, 3)
        return
    expected = Rotation.from_quat(quaternions.numpy(), scalar_first=True).as_matrix()
    torch.testing.assert_close(covariance.rotation_matrices(quaternions), torch.from_numpy(expected))


def test_a_known_turn_takes_own_x_to_map_y():
    quarter_turn_about_z = torch.tensor([[1.0, 0.0, 0.0, 1.0]])
    axes = covariance.rotation_matrices(quarter_turn_about_z)[0]
    torch.testing.assert_close(axes @ torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0]))
    s = covariance.covariances(torch.tensor([[3.0, 1.0, 2.0]]), quarter_turn_about_z)[0]
    torch.testing.assert_close(s, torch.diag(torch.tensor([1.0, 9.0, 4.0])))


def test_precision_inverts_covariance(shapes):
    scales, quaternions = shapes
    product = covariance.covariances(scales, quaternions) @ covariance.precisions(scales, quaternions)
    torch.testing.assert_close(product, torch.eye(3, dtype=torch.float64).expand(len(scales), 3, 3))


def test_chain_rule_is_that_of_autograd(shapes):
    scales, quaternions = (a.requires_grad_() for a in shapes)
    g = torch.randn(len(scales), 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    g = g + g.mT
    loss = (g * covariance.covariances(scales, quaternions)).sum()
    expected = torch.autograd.grad(loss, (scales, quaternions))
    got = covariance.differentiate(g, scales.detach(), quaternions.detach())
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close((got[1] * quaternions).sum(1), torch.zeros(len(scales), dtype=torch.float64))


def test_a_sphere_has_no_torque():
    g = torch.ones(1, 3, 3, dtype=torch.float64)
    _, g_quaternions = covariance.differentiate(
        g, torch.ones(1, 3).double(), torch.tensor([[0.2, 0.5, -0.1, 0.7]]).double()
    )
    assert not g_quaternions.any()
