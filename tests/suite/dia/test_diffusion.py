"""The diffusion model: the paper's loss, its size, resume to the bit, and the label-free signs."""

import pytest
import torch
from denoising_diffusion_pytorch import Unet
from torch.utils.flop_counter import FlopCounterMode

from suite.detector import Context, Interrupted
from suite.dia import diffusion
from suite.dia.info import Diffusion
from suite.dia.unet import QuickNorm
from suite.tensors import write_torch

CPU = torch.device("cpu")
PAPER_MULTIPLIERS = diffusion.MULTIPLIERS
TINY = Diffusion.parse({"dim": 8, "steps": 6, "batch": 4, "accumulate": 2, "lr": 1e-3})


@pytest.fixture(autouse=True)
def _shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two resolutions instead of four: a step in a tenth of the time."""
    monkeypatch.setattr(diffusion, "MULTIPLIERS", (1, 2))


def rand(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_the_loss_is_the_distance_to_the_noise(loss):
    model = diffusion.build(1, 16, Diffusion(dim=8, loss=loss), 0)
    x, noise, t = rand(2, 1, 16, 16), rand(2, 1, 16, 16) - 0.5, torch.tensor([3, 700])
    found = model(x, times=t, noise=noise)
    alpha_bar = model.alphas_cumprod[t].reshape(-1, 1, 1, 1)
    noisy = alpha_bar.sqrt() * (x * 2 - 1) + (1 - alpha_bar).sqrt() * noise
    error = model.model(noisy, t) - noise
    expected = error.abs().mean() if loss == "l1" else error.square().mean()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_schedule_is_the_cosine_one():
    model = diffusion.build(1, 16, Diffusion(dim=8), 0)
    assert len(model.alphas_cumprod) == 1000
    t = torch.tensor([99, 499])

    def f(share: torch.Tensor) -> torch.Tensor:
        return torch.cos((share + 0.008) / 1.008 * torch.pi / 2) ** 2

    expected = f((t + 1) / 1000) / f(torch.zeros(2))
    torch.testing.assert_close(model.alphas_cumprod[t], expected, atol=2e-4, rtol=0)


def test_parameters_and_macs_of_the_papers_unet():
    unet = Unet(dim=32, dim_mults=PAPER_MULTIPLIERS)
    assert sum(p.numel() for p in unet.parameters()) == pytest.approx(9.20e6, rel=2e-3)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        unet(rand(1, 3, 32, 32), torch.tensor([5]))
    assert counter.get_total_flops() / 2 == pytest.approx(0.504e9, rel=1e-2)


def flat(trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in (*trainer.parameters, *trainer.average)])


def train(seed: int = 0, settings: Diffusion = TINY, **named: object):
    return diffusion.train(rand(10, 1, 16, 16), settings, 16, seed, Context(device=CPU, seed=99, **named))  # type: ignore[arg-type]


def test_one_seed_repeats_to_the_bit_whatever_the_run_is():
    assert torch.equal(flat(train(0)), flat(train(0)))
    assert not torch.equal(flat(train(0)), flat(train(1)))


@pytest.mark.parametrize("after", [0, 2])
def test_an_interrupted_training_goes_on_to_the_bit(tmp_path, after):
    calls = iter(range(100))
    with pytest.raises(Interrupted):
        train(folder=tmp_path, stop=lambda: next(calls) >= after)
    resumed = train(folder=tmp_path)
    undisturbed = train()
    assert torch.equal(flat(resumed), flat(undisturbed))
    assert resumed.curve == undisturbed.curve


def test_the_moving_average_lags_behind_the_weights():
    trainer = train()
    raw = torch.cat([p.detach().flatten() for p in trainer.parameters])
    average = torch.cat([p.flatten() for p in trainer.average])
    start = torch.cat([p.detach().flatten() for p in diffusion.build(1, 16, TINY, 0).model.parameters()])
    assert 0 < (average - start).norm() < (raw - start).norm()


def test_training_learns_and_the_steps_can_be_restricted(monkeypatch):
    trainer = train(
        settings=Diffusion.parse({"dim": 8, "steps": 40, "batch": 8, "accumulate": 1, "lr": 3e-3})
    )
    losses = [loss for _, loss in trainer.curve]
    assert losses[-1] < 0.8 * losses[0]
    restricted = diffusion._Trainer(rand(4, 1, 16, 16), Diffusion(dim=8, batch=64, times=(3, 5)), 16, 0, CPU)
    assert sorted(set(restricted._draw()[1].tolist())) == [3, 4, 5]


def test_variance_of_alike_images_is_zero_and_of_untouched_ones_their_own():
    images = rand(6, 1, 16, 16)
    alphas = torch.ones(1000)
    signs = diffusion.variance_between(images, lambda x, t: torch.zeros_like(x), alphas)
    own = images.var(dim=0).mean().item()
    assert signs["0"] == pytest.approx(own)
    assert signs["950"] == pytest.approx(own, rel=1e-5)
    erased = diffusion.variance_between(images, lambda x, t: x * 3, torch.full((1000,), 0.9))
    # 1 / sqrt(0.9) - 3 sqrt(1 / 0.9 - 1) = 0.0541: nearly nothing of the image is left
    assert erased["100"] < 0.01 * own


def test_a_loss_that_is_not_finite_is_an_error_that_names_the_fix():
    with pytest.raises(FloatingPointError, match=r"diffusion\.lr"):
        train(settings=Diffusion.parse({"dim": 8, "steps": 40, "batch": 4, "lr": 1e30}))


def test_a_plain_unet_learns_and_dissolves_the_same(tmp_path):
    """With the library's own layers, which the file remembers."""
    found = []
    for plain in (False, True):
        settings = Diffusion.parse({**TINY.model_dump(mode="json"), "plain": plain})
        trainer = train(settings=settings)
        kinds = {type(module) for module in trainer.model.model.modules()}
        assert (QuickNorm in kinds) != plain
        found.append(flat(trainer))
    torch.testing.assert_close(found[0], found[1], atol=1e-3, rtol=0)
    assert not torch.equal(found[0], found[1])


@pytest.mark.parametrize("plain", [False, True])
def test_a_model_knows_from_its_file_that_it_is_plain(tmp_path, monkeypatch, plain):
    header = {"channels": 1, "size": 16, "dim": 8, "loss": "l1", **({"plain": True} if plain else {})}
    write_torch(tmp_path / "model.pt", {"ema": diffusion.unet(8, 1).state_dict(), "header": header})
    made: list[bool] = []
    real = diffusion.build_unet
    monkeypatch.setattr(
        diffusion, "build_unet", lambda *a, quick: (made.append(quick), real(*a, quick=quick))[1]
    )
    diffusion.load(tmp_path, CPU, "ema")
    assert made == [not plain]


def test_training_is_in_full_precision(monkeypatch):
    """Of CUDA's products too, where torch rounds convolutions by itself."""
    backends, seen = torch.backends, []
    real = diffusion._Trainer.advance

    def advance(self) -> None:
        seen.append((backends.cuda.matmul.fp32_precision, backends.cudnn.conv.fp32_precision))  # type: ignore[attr-defined]
        real(self)

    monkeypatch.setattr(diffusion._Trainer, "advance", advance)
    train()
    assert seen == [("ieee", "ieee")] * TINY.steps


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_an_interrupted_training_goes_on_on_a_gpu(tmp_path):
    calls = iter(range(100))
    images, cuda = rand(10, 1, 16, 16), torch.device("cuda")
    with pytest.raises(Interrupted):
        diffusion.train(
            images, TINY, 16, 0, Context(device=cuda, seed=0, folder=tmp_path, stop=lambda: next(calls) >= 2)
        )
    trainer = diffusion.train(images, TINY, 16, 0, Context(device=cuda, seed=0, folder=tmp_path))
    assert trainer.step == TINY.steps
