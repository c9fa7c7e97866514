import pytest
import torch
from torch import nn

from edgepipe.training.depthwise import SmallDepthwise


def gradients(layer: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    layer.zero_grad()
    x = x.clone().requires_grad_(True)
    y = layer(x)
    (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
    return [y.detach(), x.grad, *(parameter.grad.clone() for parameter in layer.parameters())]


def taken(layer: nn.Module, x: torch.Tensor) -> bool:
    with SmallDepthwise():
        return "_Convolution" in type(layer(x).grad_fn).__name__


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        ((4, 4), (5, 5), (1, 1), (2, 2)),
        ((4, 4), (5, 5), (2, 2), (2, 2)),
        ((2, 2), (3, 3), (1, 1), (1, 1)),
        ((1, 1), (3, 3), (1, 1), (1, 1)),
        ((3, 9), (5, 3), (2, 3), (2, 0)),
        ((4, 6), (5, 7), (3, 1), (1, 4)),
        ((1, 8), (3, 3), (1, 2), (2, 1)),
    ],
)
def test_the_gradients_are_those_of_torch(size, kernel, stride, padding, bias):
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 6, kernel, stride, padding, groups=6, bias=bias)
    x = torch.randn(3, 6, *size)
    assert taken(layer, x)
    plain = gradients(layer, x)
    with SmallDepthwise():
        found = gradients(layer, x)
    assert torch.equal(plain[0], found[0])
    for wanted, got in zip(plain, found, strict=True):
        torch.testing.assert_close(got, wanted)


def test_all_other_convolutions_stay_with_torch():
    x = torch.randn(2, 6, 4, 4)
    assert not taken(nn.Conv2d(6, 6, 3, padding=1, groups=6), x)  # the map is as large as the kernel
    assert not taken(nn.Conv2d(6, 6, 5, padding=2), x)
    assert not taken(nn.Conv2d(6, 6, 5, padding=2, groups=3), x)
    assert not taken(nn.Conv2d(6, 12, 5, padding=2, groups=6), x)
    assert not taken(nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6), x[:, :, :2])
    assert not taken(nn.Conv2d(6, 6, 5, padding="same", groups=6), x)
    frozen = nn.Conv2d(6, 6, 5, padding=2, groups=6).requires_grad_(False)
    assert not taken(frozen, x.requires_grad_(True))
    small = nn.Conv2d(6, 6, 5, padding=2, groups=6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not taken(small, x)
    with torch.no_grad(), SmallDepthwise():
        assert not small(x).requires_grad


def test_training_takes_it():
    """A network of such layers steps as it does without."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 5, 1, 2, groups=8), nn.Flatten(), nn.Linear(8 * 16, 4)
    ).to(memory_format=torch.channels_last)
    x = torch.randn(5, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    for wanted, got in zip(gradients(network, x), _inside(network, x), strict=True):
        torch.testing.assert_close(got, wanted)


def _inside(network: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    with SmallDepthwise():
        return gradients(network, x)
