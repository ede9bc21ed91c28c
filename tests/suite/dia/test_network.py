"""The network's size is the paper's, and its two short cuts are the same function."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from suite.dia import network
from suite.dia.network import MapNorm, ResNet18, SmallMapConv


def rand(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def test_parameters_and_macs_are_those_of_the_paper():
    net = network.build("imagenet", 64, 4, 0)
    body = sum(p.numel() for n, p in net.named_parameters() if not n.startswith(("projection", "shift")))
    assert body == pytest.approx(11.18e6, rel=1e-3)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(rand(1, 3, 224, 224))
    assert counter.get_total_flops() / 2 == pytest.approx(1.814e9, rel=2e-3)


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
@pytest.mark.parametrize("width", [8, 16])
def test_shapes_of_both_stems(stem, width):
    net = network.build(stem, width, 4, 0)
    z, logits = net(rand(2, 3, 32, 32))
    assert z.shape == (2, network.PROJECTION)
    assert logits.shape == (2, 4)
    assert net.features == 8 * width


def test_a_gray_image_is_three_equal_channels():
    net = network.build("imagenet", 8, 4, 0).eval()
    gray = rand(4, 1, 28, 28)
    for one, three in zip(net(gray), net(gray.expand(-1, 3, -1, -1)), strict=True):
        torch.testing.assert_close(one, three, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [1, 2, 3, 4, 5])
def test_convolution_without_the_padding_is_the_same_function(side, stride, kernel):
    x = rand(3, 5, side, side).double().contiguous(memory_format=torch.channels_last).requires_grad_()
    small = SmallMapConv(5, 6, kernel, stride).double()
    plain = F.conv2d(x, small.weight, stride=stride, padding=kernel // 2)
    assert_same_function(small(x), plain, (x, small.weight))


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
def test_computing_large_maps_twice_changes_nothing(monkeypatch, stem):
    """Neither gradients nor the norms' statistics, to the bit, over two steps; in evaluation nothing is done twice."""
    x, found = rand(6, 1, 32, 32), []
    for large in (1, 10**9):
        monkeypatch.setattr(network, "LARGE", large)
        net = network.build(stem, 8, 4, 0)
        optimiser = torch.optim.SGD(net.parameters(), 0.1)
        for _ in range(2):
            optimiser.zero_grad()
            z, logits = net(x)
            (z.square().sum() + logits.logsumexp(1).sum()).backward()
            optimiser.step()
        with torch.no_grad():
            net.eval()(x)
        found.append(net.state_dict())
    assert found[0]["bn1.num_batches_tracked"] == 2
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name


@pytest.mark.parametrize("width", [8, 24])
def test_a_narrow_network_trains_on_large_images(width):
    """torch's own strided 1x1 convolution ends the process here."""
    net = network.build("imagenet", width, 4, 0)
    net(rand(4, 1, 224, 224))[0].sum().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


@pytest.mark.parametrize("side", [1, 2])
def test_a_norm_of_small_maps_is_torchs(side):
    """Its answers, gradients and statistics, in training and evaluation."""
    x, upstream = rand(6, 8, side, side).double() - 0.3, rand(6, 8, side, side).double()
    found = []
    for norm in (MapNorm(8).double(), nn.BatchNorm2d(8).double()):
        nn.init.uniform_(norm.weight, generator=torch.Generator().manual_seed(1))
        nn.init.uniform_(norm.bias, generator=torch.Generator().manual_seed(2))
        seen = []
        for training in (True, True, False):
            norm.train(training)
            leaf = x.clone().requires_grad_()
            y = norm(leaf)
            seen += [y, *torch.autograd.grad(y, [leaf, *norm.parameters()], upstream)]
        found.append([*seen, *norm.buffers()])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
def test_gradients_lie_as_their_weights_do(stem, channels):
    """torch's fused optimisers take a weight's memory and its gradient's for the same order, whatever it is."""
    net = network.build(stem, 8, 4, 0)
    z, logits = net(rand(4, channels, 28, 28))
    (z.sum() + logits.sum()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.stride() == parameter.stride(), name
    assert net.conv1.weight.stride()[1] == 1


@pytest.mark.parametrize("channels", [1, 3])
def test_the_first_convolution_leaves_the_channels_last(channels):
    first = network.build("imagenet", 8, 4, 0)._first(rand(2, channels, 28, 28))
    assert first.is_contiguous(memory_format=torch.channels_last)


def test_what_small_maps_are_multiplied_with_is_laid_out_once_for_evaluation(monkeypatch):
    laid_out, real = [], network._windows
    monkeypatch.setattr(network, "_windows", lambda *given: (laid_out.append(given[2:]), real(*given))[1])
    net = network.build("imagenet", 8, 4, 0).eval()
    folded, x = net.folded(), rand(3, 1, 28, 28)
    with torch.inference_mode():
        first = folded(x)
        once = len(laid_out)
        assert once > 0
        for one, two in zip(folded(x), first, strict=True):
            assert torch.equal(one, two)
        assert len(laid_out) == once
        folded(rand(3, 1, 64, 64))
        assert len(laid_out) > once, "maps of another size"
    kept = len(laid_out)
    before = net(x)[0].detach()
    with torch.no_grad():
        net.layers[3][1].conv2.weight.mul_(2)
    assert len(laid_out) > kept, "a network that learns lays out anew"
    assert not torch.equal(net(x)[0], before)


def assert_same_function(mine, plain, inputs):
    torch.testing.assert_close(mine, plain)
    upstream = rand(*plain.shape).double()
    gradients = (torch.autograd.grad(y, inputs, upstream) for y in (mine, plain))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
@pytest.mark.parametrize("channels", [1, 3])
def test_folded_batch_norms_are_the_same_function(stem, channels):
    net = network.build(stem, 8, 4, 0).double()
    for _ in range(3):  # means, variances and a step away from what a new one has
        z, logits = net(rand(16, channels, 28, 28).double())
        (z.square().mean() + logits.square().mean()).backward()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter -= 0.1 * parameter.grad
    before = {name: value.clone() for name, value in net.state_dict().items()}
    folded = net.folded()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    x = rand(5, channels, 28, 28).double()
    with torch.inference_mode():
        torch.testing.assert_close(folded(x), net.eval()(x))
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_that_needs_its_gradient_gets_it(stem, channels):
    net = network.build(stem, 8, 4, 0).double().eval()
    x = rand(2, channels, 12, 12).double().requires_grad_()
    z, logits = net(x)
    torch.testing.assert_close((z, logits), net(x.detach()))
    (gradient,) = torch.autograd.grad(z.sum(), x)
    step = torch.zeros_like(x)
    step[0, 0, 5, 5] = 1e-6
    moved = net(x.detach() + step)[0].sum() - net(x.detach() - step)[0].sum()
    assert moved.item() / 2e-6 == pytest.approx(gradient[0, 0, 5, 5].item(), rel=1e-4)


def test_the_body_equals_torchvisions_resnet18():
    from torchvision.models import resnet18

    reference = resnet18(weights=None)
    reference.fc = nn.Identity()
    net = ResNet18("imagenet", 64, 4)
    weights = list(reference.state_dict().values())
    mine = {n: v for n, v in net.state_dict().items() if not n.startswith(("projection", "shift"))}
    assert [v.shape for v in mine.values()] == [v.shape for v in weights]
    net.load_state_dict(dict(zip(mine, weights, strict=True)), strict=False)
    x = rand(2, 3, 64, 64)
    features = reference.eval()(x * 2 - 1)
    z, logits = net.eval()(x)
    torch.testing.assert_close(z, net.projection(features), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(logits, net.shift(features), atol=1e-5, rtol=1e-4)


def test_the_seed_decides_and_the_global_generator_is_left_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, again, other = (network.build("imagenet", 8, 4, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.conv1.weight, again.conv1.weight)
    assert not torch.equal(first.conv1.weight, other.conv1.weight)
    assert not torch.equal(first.projection[0].weight, other.projection[0].weight)
