"""CSI and DIA as detectors: order of Eq. 5, seeds, resume to the bit, files, scores of an image alone."""

import numpy as np
import pytest
import torch

from suite.detector import Context, Interrupted
from suite.dia.info import CsiTraining, DiaBlur, Scoring
from suite.dia.method import Dia

SMALL = {"network": {"width": 8}, "train": {"epochs": 2, "epoch_size": 20, "batch": 8}}
CPU = torch.device("cpu")


def images(count: int = 24, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, channels, 16, 16), np.uint8)


def dia(**extra: object) -> Dia:
    return Dia(
        DiaBlur.parse({**SMALL, "dissolve": {"op": "gaussian", "kernel": 3, "size": 16}, **extra}),
        Scoring(views=2),
    )


def fitted(seed: int, folder=None, **named: object) -> Dia:
    model = dia()
    model.fit(images(), Context(device=CPU, seed=seed, folder=folder, **named))  # type: ignore[arg-type]
    return model


def weights(model: Dia) -> torch.Tensor:
    assert model.network is not None
    return torch.cat([p.detach().flatten() for p in model.network.parameters()])


def test_one_seed_repeats_to_the_bit_and_two_seeds_differ_in_everything():
    first, again, other = fitted(0), fitted(0), fitted(1)
    assert torch.equal(weights(first), weights(again))
    assert (weights(first) != weights(other)).float().mean() > 0.9
    contexts = [Context(device=CPU, seed=s, train=images()) for s in (0, 0, 1)]
    a, b, c = (first.score(images(5), ctx) for ctx in contexts)
    assert np.array_equal(a, b)
    assert (a != c).all()  # the same weights, but other views


def test_the_global_generator_has_no_part_in_it():
    torch.manual_seed(1)
    first = weights(fitted(0))
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert torch.equal(first, weights(fitted(0)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("stop_after", [1, 3])
def test_an_interrupted_training_goes_on_to_the_bit(tmp_path, stop_after):
    undisturbed = weights(fitted(0))
    calls = iter(range(100))
    with pytest.raises(Interrupted):
        fitted(0, tmp_path, stop=lambda: next(calls) >= stop_after)
    assert (tmp_path / "resume.pt").exists()
    assert torch.equal(weights(fitted(0, tmp_path)), undisturbed)


def test_a_broken_checkpoint_is_dropped(tmp_path):
    (tmp_path / "resume.pt").write_bytes(b"half a file")
    assert torch.equal(weights(fitted(0, tmp_path)), weights(fitted(0)))


def test_snapshots_do_not_change_the_training():
    taken: list[int] = []

    def snapshot(step, total, model):
        taken.append(step)
        torch.rand(10)
        model.score(images(3), Context(device=CPU, seed=0, train=images(4)))

    tracked = fitted(0, snapshots=4, snapshot=snapshot)
    assert taken == [1, 2, 3]  # of 5 steps; the last part ends with the training itself
    assert torch.equal(weights(tracked), weights(fitted(0)))


def test_weights_come_back_from_the_file(tmp_path):
    model = fitted(0)
    model.save(tmp_path / "weights.pt")
    copies = [dia(), dia()]
    for copy in copies:
        copy.load(tmp_path / "weights.pt", CPU)
    scores = [m.score(images(6), Context(device=CPU, seed=0, train=images())) for m in (*copies, model)]
    assert np.array_equal(scores[0], scores[1])
    np.testing.assert_allclose(scores[0], scores[2], rtol=0.02)  # half precision on disk


def test_a_score_depends_on_its_image_alone():
    model = fitted(0)
    batch = images(6)
    together = model.score(batch, Context(device=CPU, seed=0, train=images()))
    alone = [model.score(batch[i : i + 1], Context(device=CPU, seed=0, train=images()))[0] for i in range(6)]
    np.testing.assert_allclose(together, alone, rtol=1e-4)


def test_csi_is_dia_without_its_third_branch():
    model = Dia(CsiTraining.parse(SMALL), Scoring(views=1))
    assert model.design == "csi"
    seen: list[int] = []
    model.fit(images(), Context(device=CPU, seed=0, progress=lambda done, total, metrics: seen.append(done)))
    assert seen[-1] == 5  # 2 epochs of 20 samples in batches of 8
    assert model.network is not None


def test_half_precision_is_near_full_precision_and_scores_in_full():
    """The first loss differs by rounding to 8 bits alone; the weights stay in single precision."""
    losses, models = [], []
    for precision in ("full", "bf16"):
        told: list[float] = []
        models.append(dia(train={**SMALL["train"], "epochs": 1, "epoch_size": 8, "precision": precision}))
        context = Context(
            device=CPU, seed=0, progress=lambda _, __, found, told=told: told.append(found["loss_con"])
        )
        models[-1].fit(images(), context)
        losses.append(told[0])
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert losses[1] != losses[0]
    assert weights(models[1]).dtype == torch.float32
    scores = models[1].score(images(4), Context(device=CPU, seed=0, train=images(8)))
    assert len(np.unique(scores)) == 4


def test_colour_images_and_the_other_shift_train_too():
    model = dia(shift="perm", contrast={"design": "b"})
    model.fit(images(channels=3), Context(device=CPU, seed=0))
    scores = model.score(images(4, 3), Context(device=CPU, seed=0, train=images(8, 3)))
    assert np.isfinite(scores).all()


def test_a_loss_that_is_not_finite_is_an_error_that_names_the_fix():
    model = dia(train={"epochs": 2, "epoch_size": 20, "batch": 8, "lr": 1e30, "optimiser": "sgd"})
    with pytest.raises(FloatingPointError, match=r"train\.lr"):
        model.fit(images(), Context(device=CPU, seed=0))


def test_images_that_are_not_square_are_refused():
    with pytest.raises(ValueError, match="square"):
        dia().fit(np.zeros((4, 1, 16, 8), np.uint8), Context(device=CPU, seed=0))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_an_interrupted_training_goes_on_on_a_gpu(tmp_path):
    cuda = torch.device("cuda")
    calls = iter(range(100))
    model = dia()
    with pytest.raises(Interrupted):
        model.fit(images(), Context(device=cuda, seed=0, folder=tmp_path, stop=lambda: next(calls) >= 2))
    model.fit(images(), Context(device=cuda, seed=0, folder=tmp_path))
    assert np.isfinite(model.score(images(4), Context(device=cuda, seed=0, train=images()))).all()
