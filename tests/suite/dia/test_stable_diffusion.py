"""One reverse step in the latent space of a tiny pipeline that is built here: no download."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from suite.data.errors import DataMissing
from suite.dia import dissolve, stable_diffusion
from suite.dia.info import DIA, DissolveStable
from suite.dia.stable_diffusion import LatentDissolver
from suite.dia.stable_model import ROOT
from suite.goals import assess_goals
from suite.job import Conditions
from suite.plan import expand
from suite.run import make_artefact
from suite.spec import load_spec
from suite.store import Store
from suite.tables.figures import figures

diffusers = pytest.importorskip("diffusers", reason="the extra stable-diffusion is not installed")
transformers = pytest.importorskip("transformers", reason="the extra stable-diffusion is not installed")
CPU = torch.device("cpu")
MODEL = "tiny/model"


SPEC = f"""
[figure]
kind = "dissolving"
steps = [1, 500]
[settings]
method = "dia"
dataset = "phantom"
data.size = 16
dissolve = {{ op = "stable_diffusion", model = "{MODEL}", size = 32 }}
"""


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion in the layout of diffusers, with untrained networks of a few channels."""
    folder = tmp_path_factory.mktemp("models") / MODEL
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = diffusers.UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(8, 8),
            norm_num_groups=4,
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=4,
        )
        vae = diffusers.AutoencoderKL(
            block_out_channels=(8, 8),
            norm_num_groups=4,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
        )
        config = transformers.CLIPTextConfig(
            vocab_size=4,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=8,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
        encoder = transformers.CLIPTextModel(config)
    unet.save_pretrained(folder / "unet")
    vae.save_pretrained(folder / "vae")
    encoder.save_pretrained(folder / "text_encoder")
    diffusers.DDPMScheduler(beta_schedule="scaled_linear").save_pretrained(folder / "scheduler")
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    words = ["<|startoftext|>", "<|endoftext|>", "a</w>", "b</w>"]
    (tokenizer / "vocab.json").write_text(json.dumps({word: at for at, word in enumerate(words)}))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n")
    facts = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 8}
    facts |= {"bos_token": words[0], "eos_token": words[1], "unk_token": words[1], "pad_token": words[1]}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(facts))
    (folder / "model_index.json").write_text("{}")
    return folder


@pytest.fixture(autouse=True)
def models(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT, str(pipeline.parents[1]))


@pytest.fixture
def dissolver() -> LatentDissolver:
    return stable_diffusion.load(MODEL, (30, 130), 32, CPU)


def rand(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def test_an_image_keeps_its_size_channels_and_range(dissolver: LatentDissolver) -> None:
    for shape in ((5, 1, 28, 28), (2, 3, 64, 64)):
        hat = dissolver(rand(*shape), torch.Generator().manual_seed(0))
        assert hat.shape == shape
        assert 0 <= hat.min() <= hat.max() <= 1


def test_one_image_does_not_hang_on_the_others(dissolver: LatentDissolver) -> None:
    x, t = rand(6, 1, 32, 32), torch.tensor([0, 10, 100, 300, 600, 900])
    together = dissolver.at(x, t)
    torch.testing.assert_close(together[5:], dissolver.at(x[5:], t[5:]), atol=1e-4, rtol=1e-4)


def test_without_noise_it_is_the_autoencoder_alone(dissolver: LatentDissolver) -> None:
    dissolver.alphas_cumprod = torch.ones(1000)
    x = rand(2, 3, 32, 32)
    with torch.no_grad():
        latent = dissolver.vae.encode(x * 2 - 1).latent_dist.mode()
        expected = ((dissolver.vae.decode(latent).sample + 1) / 2).clamp(0, 1)
    torch.testing.assert_close(dissolver.at(x, torch.tensor([5, 500])), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_step_is_that_of_the_scheduler(dissolver: LatentDissolver, prediction: str) -> None:
    scheduler = diffusers.DDIMScheduler(
        beta_schedule="scaled_linear", prediction_type=prediction, clip_sample=False
    )
    dissolver.velocity = prediction == "v_prediction"
    z, t = rand(1, 4, 16, 16) * 2 - 1, torch.tensor([400])
    context = dissolver.context
    with torch.no_grad():
        predicted = dissolver.unet(z, t, encoder_hidden_states=context).sample
        scheduler.set_timesteps(1000)
        expected = scheduler.step(predicted, 400, z).pred_original_sample
        torch.testing.assert_close(dissolver._step(z, t), expected, atol=1e-4, rtol=1e-4)


def test_it_is_a_dissolver_like_any() -> None:
    nested: dict[str, Any] = {"dissolve": {"op": "stable_diffusion", "model": MODEL, "size": 32}}
    settings = DIA.parse(nested)
    assert not DIA.needs(settings, {"name": "toy"}, 0)
    assert DIA.absent(settings) == ""
    built = dissolve.build(getattr(settings, "dissolve", None), {}, CPU)
    assert isinstance(built, LatentDissolver)
    assert (built.low, built.high) == (30, 130)
    assert DissolveStable().size == 512


def test_a_model_that_is_not_there_is_missing_data() -> None:
    with pytest.raises(DataMissing, match="no/where is not at hand: hf download no/where"):
        stable_diffusion.load("no/where", (30, 130), 32, CPU)


@pytest.fixture
def copy(pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the model, to be spoilt."""
    monkeypatch.setenv(ROOT, str(tmp_path))
    shutil.copytree(pipeline, tmp_path / MODEL)
    return tmp_path / MODEL


@pytest.mark.parametrize("part", ["vae", "unet", "scheduler", "text_encoder", "tokenizer"])
@pytest.mark.parametrize("how", ["gone", "cut"])
def test_a_damaged_model_is_told_in_a_line(copy: Path, part: str, how: str) -> None:
    if how == "gone":
        shutil.rmtree(copy / part)
    else:
        largest = max((copy / part).iterdir(), key=lambda path: path.stat().st_size)
        largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    with pytest.raises(DataMissing, match="cannot be read") as caught:
        stable_diffusion.load(MODEL, (30, 130), 32, CPU)
    assert "\n" not in str(caught.value)


def test_weights_are_never_unpickled(copy: Path) -> None:
    """A folder with pickled weights only is refused."""
    unet = diffusers.UNet2DConditionModel.from_pretrained(copy, subfolder="unet")
    shutil.rmtree(copy / "unet")
    unet.save_pretrained(copy / "unet", safe_serialization=False)
    assert list((copy / "unet").glob("*.bin"))
    with pytest.raises(DataMissing, match="cannot be read"):
        stable_diffusion.load(MODEL, (30, 130), 32, CPU)


def test_it_dissolves_what_a_strip_shows(tmp_path: Path) -> None:
    """The whole way of a figure's row, made from data that are at hand."""
    spec = tmp_path / "toy.toml"
    spec.write_text(SPEC)
    plan, store = expand(load_spec(spec)), Store(tmp_path / "runs")
    (goal,) = assess_goals(plan, store)
    assert goal.state == "to run"
    make_artefact(goal.need, store, Conditions())
    kept = np.load(store.artefact_folder("strip", goal.need.key) / "strip.npz", allow_pickle=False)
    assert kept["images"].shape == (1, 3, 1, 16, 16)
    assert figures(plan, store)[0].png


def test_without_the_model_its_row_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT, str(tmp_path))
    (tmp_path / "toy.toml").write_text(SPEC)
    (goal,) = assess_goals(expand(load_spec(tmp_path / "toy.toml")), Store(tmp_path / "runs"))
    assert (goal.state, goal.reason.partition(":")[0]) == ("blocked", "missing")
    assert f"hf download {MODEL}" in goal.reason
