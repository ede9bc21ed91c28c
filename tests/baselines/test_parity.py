"""FastFlow, RD4AD and PatchCore against anomalib's implementations on the same weights, drawn at random.

Only these three: elsewhere that library departs from papers and official codes in ways that change results (U-Flow's
loss, GANomaly's adversarial loss, CFLOW's maps, CFA's radius). Needs the extra [anomalib].
"""

from __future__ import annotations

import importlib
import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from methods import context, fitted, lesions
from torch import nn

from baselines import fastflow, flows, rd4ad
from baselines.backbones import Features
from baselines.info.common import Pretrained, Sizes
from baselines.info.fastflow import Flow
from baselines.info.rd4ad import blocks
from baselines.maps import peak, upsampled
from baselines.neighbours import nearest
from baselines.patchcore import averaged

pytest.importorskip("anomalib", reason='needs the extra: pip install "dissolving-suite[anomalib]"')
pytestmark = pytest.mark.slow


def theirs(name: str, part: str = "torch_model") -> Any:
    """A module of the library."""
    return importlib.import_module(f"anomalib.models.image.{name}.{part}")


def images(side: int, count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(5))


def backbone(name: str) -> Features:
    """A frozen network with maps at strides 4, 8 and 16, whose statistics are not those it starts with."""
    return shaken(Features(Pretrained(backbone=name, weights="none"), (4, 8, 16), Sizes(), 0))


def shaken(module: Any) -> Any:
    """Vectors (norms, biases, statistics) away from the ones and zeros at which a mix-up would go unseen."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point() and value.ndim == 1:
                value += 0.2 * torch.rand(value.shape, generator=generator)
    return module


def given(module: nn.Module, state: dict[str, torch.Tensor], apart: str = "$^") -> None:
    """Every tensor of ``state`` finds its place; of the module's only ``apart`` keep theirs."""
    found = module.load_state_dict(state, strict=False)
    assert not found.unexpected_keys
    assert not [name for name in found.missing_keys if not re.search(apart, name)]


@pytest.mark.parametrize("kernels", ["3-1", "3"])
def test_fastflow_has_the_same_loss_and_map(kernels: str) -> None:
    network = backbone("resnet18")
    x = images(64)
    maps = network(x)
    with flows.drawn(0):
        ours = fastflow.Flows([one.shape[1:] for one in maps], Flow(steps=4, kernels=kernels))
    for norm in ours.norms:
        nn.init.normal_(norm.weight, 1, 0.2), nn.init.normal_(norm.bias, 0, 0.2)
    other = theirs("fastflow").FastflowModel((64, 64), "resnet18", False, 4, conv3x3_only=kernels == "3")
    given(other.feature_extractor, network.body.state_dict())
    state = {re.sub("^flows", "fast_flow_blocks", name): value for name, value in ours.state_dict().items()}
    given(other, state, apart="^feature_extractor|w_perm_inv$")

    found = ours(maps)
    loss = theirs("fastflow", "loss").FastflowLoss()(*other.train()(x))
    torch.testing.assert_close(torch.stack(fastflow.loss(found)).sum(), loss)

    with torch.no_grad():
        expected = other.eval()(x)
    logs = [fastflow.log_normality(z) for z, _ in found]
    made = -upsampled([one.exp() for one in logs], (64, 64)).mean(0)
    torch.testing.assert_close(made, expected.anomaly_map[:, 0])
    torch.testing.assert_close(-torch.exp(-flows.surprise(logs, (64, 64))), expected.pred_score.flatten())


def student_for(other: Any, like: rd4ad.Student) -> dict[str, torch.Tensor]:
    """The library's bottleneck and decoder in the names of our student."""
    fuse = {"1": "0.0", "2": "0.2", "3": "1.0"}
    state = {}
    for name, value in (other.bottleneck.state_dict() | other.decoder.state_dict()).items():
        if inside := re.fullmatch(r"(conv|bn)([123])\.(\w+)", name):
            kind, number, leaf = inside.groups()
            state[f"fuse.{fuse[number]}.{int(kind == 'bn')}.{leaf}"] = value
            continue
        if name.startswith(("conv4", "bn4")):  # made and never used
            continue
        name = re.sub(r"^bn_layer", "compress", name)
        name = re.sub(r"^layer(\d)", lambda at: f"restore.{int(at[1]) - 1}", name)
        name = re.sub(r"\.(?:down|up)sample\.", ".shortcut.", name)
        name = re.sub(
            r"\.(conv|bn)(\d)\.", lambda at: f".branch.{2 * (int(at[2]) - 1)}.{int(at[1] == 'bn')}.", name
        )
        state[name] = value
    assert state.keys() == like.state_dict().keys()
    return state


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_rd4ad_has_the_same_loss_and_map(name: str) -> None:
    """At 256 px, the size for which the Gaussian of the library's map is meant. (Not WideResNet50, whose doubled
    width the library's bottleneck does not get.)
    """
    mode = theirs("reverse_distillation", "anomaly_map").AnomalyMapGenerationMode.ADD
    layers = ("layer1", "layer2", "layer3")
    other = theirs("reverse_distillation").ReverseDistillationModel(name, (256, 256), layers, mode, False)
    network = backbone(name)
    given(other.encoder.feature_extractor, network.body.state_dict())
    shaken(other.bottleneck), shaken(other.decoder)
    ours = rd4ad.Student(network.channels, blocks(name))
    ours.load_state_dict(student_for(other, ours))

    x = images(256, 2)
    maps = network(x)
    made = ours.train()(maps)
    loss = theirs("reverse_distillation", "loss").ReverseDistillationLoss()(*other.train()(x))
    torch.testing.assert_close(torch.stack(rd4ad.distance(maps, made)).mean(1).sum(), loss)

    with torch.no_grad():
        expected = other.eval()(x)
        found = rd4ad.anomaly_map(maps, ours.eval()(maps), (256, 256))
    torch.testing.assert_close(found, expected.anomaly_map[:, 0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(peak(found), expected.pred_score.flatten(), rtol=1e-4, atol=1e-5)


def test_patchcore_measures_the_same_distances() -> None:
    """On the same patches and bank, with one neighbour; and Eq. 7, which the library's code has as the paper has it.
    How the two make patches of maps differs: ours is the official way, theirs joins the averaged maps.
    """
    detector = fitted("patchcore", lesions(8, 0))
    assert detector.network is not None
    test = torch.from_numpy(np.array(lesions(4, 1)))
    patches = detector._patches(test)
    rows = patches.flatten(0, 1)
    model = theirs("patchcore").PatchcoreModel(("layer2", "layer3"), "resnet18", False, num_neighbors=1)
    model.memory_bank = detector.bank
    distances, at = model.nearest_neighbors(rows, 1)
    squared, places = nearest(rows, detector.bank, 1)
    # Theirs subtracts squares in single precision, which leaves little of a small distance.
    near = math.sqrt(torch.finfo(torch.float32).eps) * float(rows.norm(dim=1).max())
    torch.testing.assert_close(squared.sqrt()[:, 0].float(), distances, rtol=1e-4, atol=near)
    assert float((places[:, 0] == at).float().mean()) > 0.95
    scores = model.compute_anomaly_score(distances.view(len(test), -1), at.view(len(test), -1), rows)
    found = detector.score(test.numpy(), context())
    np.testing.assert_allclose(found, scores.numpy(), rtol=1e-4)

    model.num_neighbors = detector.scoring.reweight or 9
    weighted = model.compute_anomaly_score(distances.view(len(test), -1), at.view(len(test), -1), rows)
    detector.scoring = detector.scoring.model_copy(update={"reweight": model.num_neighbors})
    np.testing.assert_allclose(detector.score(test.numpy(), context()), weighted.numpy(), rtol=1e-3)


def test_patchcore_averages_neighbourhoods_alike_where_nothing_is_squeezed() -> None:
    """A map averaged over 3 x 3 places as the library pools it is ours with as many values as it has channels."""
    detector = fitted("patchcore", lesions(4, 0))
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, detector.settings.dimension, 4, 5, generator=generator)
    pooled = theirs("patchcore").PatchcoreModel(("layer2",), "resnet18", False).feature_pooler(x)
    torch.testing.assert_close(averaged(x, detector.settings.dimension), pooled)
