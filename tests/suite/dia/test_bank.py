"""The bank holds what the dissolver would give, for each training image as it is and mirrored; training looks it up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from draws import unchanged
from pydantic import ValidationError

from suite import registry
from suite.data import pack as packs
from suite.data import select
from suite.data.identity import DataSettings, data_identity
from suite.data.pack import Pack
from suite.detector import Context, Interrupted
from suite.dia import bank, diffusion, dissolve, info, training, views
from suite.dia.bank import Bank
from suite.dia.dissolve import StepDissolver
from suite.dia.info import Diffusion, DissolveDiffusion

CPU = torch.device("cpu")
DATA = data_identity(registry.dataset("digits"), DataSettings.parse({"size": 28}))
TIMES = (100, 200)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module", autouse=True)
def _shallow() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffusion, "MULTIPLIERS", (1, 2))
        yield


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return packs.load(
        registry.dataset("digits"), DataSettings.parse({"size": 28}), tmp_path_factory.mktemp("s")
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, pack: Pack) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny = Diffusion(dim=8, steps=2, batch=4).model_dump(mode="json")
    tiny.pop("seed")
    context = Context(device=CPU, seed=0, folder=folder)
    diffusion.make({"data": DATA, "size": 32, "seed": 0, "settings": tiny}, pack, context)
    return folder


def identity(t: int, **changes: Any) -> dict[str, Any]:
    return {"data": DATA, "size": 32, "range": "unit", "weights": "ema", "t": t, **changes}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, pack: Pack, model: Path) -> dict[int, Path]:
    made = {t: tmp_path_factory.mktemp(f"bank{t}") for t in TIMES}
    for t, folder in made.items():
        context = Context(device=CPU, seed=0, folder=folder, artefacts={"diffusion": model})
        facts = bank.make(identity(t), pack, context)
        assert facts == {"images": len(select.training(pack, DATA, 0).indices)}
    return made


def images(pack: Pack) -> torch.Tensor:
    chosen = select.training(pack, DATA, 0).indices
    return torch.from_numpy(np.ascontiguousarray(pack.images[chosen])).float() / 255


def exact(model: Path, **settings: Any) -> StepDissolver:
    made = dissolve.build(DissolveDiffusion.parse(settings), {"diffusion": model}, CPU)
    assert isinstance(made, StepDissolver)
    return made


@pytest.mark.parametrize("limit", [bank.MEMORY_LIMIT, 0], ids=["in memory", "from files"])
def test_a_look_into_the_bank_is_dissolving_at_those_steps(
    limit: int, pack: Pack, model: Path, folders: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever images, mirrored or not, whatever t of the lattice each has: to half precision, 2^-12 below 1."""
    monkeypatch.setattr(bank, "MEMORY_LIMIT", limit)
    held = Bank(folders, CPU)
    assert (held.held is None) == (limit == 0)
    chosen = torch.tensor([5, 0, 70, 5, 33])
    flipped = torch.tensor([True, False, True, False, False])
    t = torch.tensor([200, 100, 100, 200, 100])
    x = views.mirrored(images(pack)[chosen], flipped)
    found = held.of(chosen, flipped).at(x, t)
    assert found.shape == x.shape
    torch.testing.assert_close(found, exact(model).at(x, t), atol=2**-11, rtol=0)


def test_steps_are_drawn_evenly_from_the_lattice(folders: dict[int, Path]) -> None:
    rows = Bank(folders, CPU).of(torch.tensor([0]), torch.tensor([False]))
    drawn = rows.draw(2000, generator())
    assert set(drawn.tolist()) == set(TIMES)
    assert (drawn == 100).float().mean().item() == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("draw", ["per_image", "per_shift_batch"])
def test_the_third_branch_comes_from_the_bank(
    draw: str, pack: Pack, model: Path, folders: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As training has it: the same flips, the same views, and each shift's dissolved images at a t of the lattice."""
    monkeypatch.setattr(views, "draw", lambda count, area, generator: unchanged(count))
    settings = info.DiaDiffusion.parse({"dissolve": {"bank": 100, "steps": [100, 200], "draw": draw}})
    chosen = torch.tensor([3, 1, 4])
    x = images(pack)[chosen]
    made = dissolve.build(settings.dissolve, {f"bank {t}": f for t, f in folders.items()}, CPU)
    out = training.branches(x, chosen, settings, made, generator())
    first, _, third = out.chunk(3)
    flipped = views.mirrored(x, views.flips(3, generator()))
    torch.testing.assert_close(first[:3], flipped, atol=1e-5, rtol=0)
    at = {t: exact(model).at(flipped, torch.full((3,), t)) for t in TIMES}
    for k, block in enumerate(third.chunk(views.SHIFTS)):
        far = torch.stack([(views.shift(at[t], "rotate", k) - block).abs().amax((1, 2, 3)) for t in TIMES])
        assert (far.amin(dim=0) < 2**-11).all()
        if draw == "per_shift_batch":
            assert (far < 2**-11).all(dim=1).any(), "one t for the batch"


def test_an_interrupted_bank_goes_on_to_the_bit(
    tmp_path: Path, pack: Pack, model: Path, folders: dict[int, Path]
) -> None:
    context = Context(CPU, 0, {"diffusion": model}, folder=tmp_path, stop=lambda: True)
    with pytest.raises(Interrupted):
        bank.make(identity(100), pack, context)
    seen: list[int] = []
    context = Context(
        CPU, 0, {"diffusion": model}, folder=tmp_path, progress=lambda done, total, told: seen.append(done)
    )
    bank.make(identity(100), pack, context)
    assert seen[0] > bank.BLOCK, "it does not begin again"
    assert (tmp_path / bank.FILE).read_bytes() == (folders[100] / bank.FILE).read_bytes()


@pytest.mark.parametrize("spoilt", ["", "too short", "another shape"])
def test_a_spoilt_file_is_begun_again(tmp_path: Path, spoilt: str) -> None:
    path = tmp_path / bank.FILE
    if spoilt == "too short":
        path.write_bytes(b"\x93NUMPY")
    elif spoilt:
        np.save(path, np.zeros((2, 3, 1, 8, 8), np.float16))
    work = bank._Work(path, (2, 4, 1, 8, 8))
    work.restore({"done": 3})
    assert work.done == 0
    assert work.file.shape == (2, 4, 1, 8, 8)


def keys(seed: int = 0, data: dict[str, Any] = DATA, **dissolved: Any) -> dict[str, str]:
    settings = info.DiaDiffusion.parse({"dissolve": dissolved})
    return {need.name: need.key for need in info.needs(settings, data, seed)}


def test_ranges_and_seeds_share_banks() -> None:
    near, far = keys(bank=50, steps=[30, 130]), keys(bank=50, steps=[80, 230])
    assert set(near) == {"diffusion", "bank 50", "bank 100"}
    assert set(far) == {"diffusion", "bank 100", "bank 150", "bank 200"}
    assert near["bank 100"] == far["bank 100"] != far["bank 150"]
    assert keys(1, bank=50, steps=[30, 130]) == near
    assert keys(bank=50, steps=[30, 130], range="symmetric")["bank 100"] != near["bank 100"]
    assert set(keys()) == {"diffusion"}


def test_a_contaminated_training_set_has_banks_of_its_own_for_each_seed() -> None:
    contaminated = {**DATA, "contamination": 0.1}
    first, second = (keys(seed, contaminated, bank=100, steps=[100, 100]) for seed in (0, 1))
    assert len({first["bank 100"], second["bank 100"], keys(bank=100, steps=[100, 100])["bank 100"]}) == 3
    assert first["diffusion"] == second["diffusion"]


def test_the_lattice_is_the_multiples_within_the_range() -> None:
    assert DissolveDiffusion.parse({"bank": 10, "steps": [30, 130]}).lattice == tuple(range(30, 131, 10))
    assert DissolveDiffusion.parse({"bank": 50, "steps": [30, 130]}).lattice == (50, 100)
    assert DissolveDiffusion.parse({"steps": [30, 130]}).lattice == ()


def test_a_range_without_a_multiple_is_refused() -> None:
    with pytest.raises(
        ValidationError, match=r"hold no multiple of dissolve\.bank = 50: make the bank finer"
    ):
        DissolveDiffusion.parse({"bank": 50, "steps": [60, 90]})
