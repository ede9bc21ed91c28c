"""Expanding specs: cells, precedence, what is shared, and how fast."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from suite.plan import expand
from suite.spec import Profile, SpecErrors, load_spec

from .spec_files import SMALL, load, plan, write

HEAVY = (
    "import sys; print([name for name in ('torch', 'mlflow', 'medmnist', 'pandas') if name in sys.modules])"
)


def by_labels(found: Any, name: str) -> dict[tuple[str, ...], Any]:
    return {tuple(cell.labels.values()): cell.settings.get(name) for cell in found.cells}


def test_cells_come_in_the_order_of_the_spec_with_one_run_a_seed(tmp_path: Path) -> None:
    found = plan(tmp_path, SMALL)
    assert [cell.labels for cell in found.cells] == [
        {"case": "CSI", "dataset": "pneumonia_mnist"},
        {"case": "CSI", "dataset": "phantom"},
        {"case": "DIA", "dataset": "pneumonia_mnist"},
        {"case": "DIA", "dataset": "phantom"},
    ]
    assert all([run.seed for run in cell.runs] == [0, 1] for cell in found.cells)
    assert (len(found.runs), len(found.fits), found.profile) == (8, 8, "paper")
    assert [need.kind for need in found.artefacts] == ["diffusion", "diffusion"]
    assert found.cells[0].values == {"case": "CSI", "dataset": "pneumonia_mnist"}


def test_precedence_from_method_default_to_set(tmp_path: Path) -> None:
    """Each level is added in turn, and beats all that came before."""
    profile = Profile("p", {"train.batch": 10})
    low = SMALL.replace("[table]", "[settings]\ntrain.batch = 12\n[table]")
    case = low.replace('{ method = "dia" }', '{ method = "dia", "train.batch" = 14 }')
    grid = low.replace("[grid]", "[grid]\n'train.batch' = [15]")
    override = "\n[[override]]\nwhere = { dataset = 'phantom' }\nset = { train = { batch = 16 } }"

    def batch(text: str, **options: Any) -> Any:
        found = plan(tmp_path, text, only={"case": {"DIA"}, "dataset": {"phantom"}}, **options)
        return [cell.settings["train.batch"] for cell in found.cells]

    assert batch(SMALL) == [32]
    assert batch(SMALL, profile=profile) == [10]
    assert batch(low, profile=profile) == [12]
    assert batch(case, profile=profile) == [14]
    assert batch(grid, profile=profile) == [15]
    assert batch(case + override, profile=profile) == [16]
    assert batch(grid + override, profile=profile) == [16]
    assert batch(grid + override, profile=profile, sets={"train": {"batch": 18}}) == [18]


def test_an_override_of_a_profile_stays_below_the_spec(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
        settings = { train = { epochs = 2 } }
        [[override]]
        where = { dataset = "phantom" }
        set = { "data.size" = 16, "train.batch" = 4 }
        """,
        "profiles/tiny.toml",
    )
    text = SMALL.replace("[table]", "[settings]\ndata.size = 64\n[table]")
    found = plan(tmp_path, text, profile="tiny")
    assert set(by_labels(found, "data.size").values()) == {64}
    assert by_labels(found, "train.batch") == {
        ("CSI", "pneumonia_mnist"): 32,
        ("CSI", "phantom"): 4,
        ("DIA", "pneumonia_mnist"): 32,
        ("DIA", "phantom"): 4,
    }
    assert found.profile == "tiny"


def test_later_overrides_see_what_earlier_ones_did(tmp_path: Path) -> None:
    text = (
        SMALL
        + """
    [[override]]
    where = { dataset = "phantom", method = ["dia"] }
    set = { shift = "perm" }
    [[override]]
    where = { shift = "perm" }
    set = { "train.batch" = 6 }
    """
    )
    batches = by_labels(plan(tmp_path, text), "train.batch")
    assert {place for place, batch in batches.items() if batch == 6} == {("DIA", "phantom")}
    # A --set is seen by every condition and beaten by none.
    assert set(by_labels(plan(tmp_path, text, sets={"shift": "perm"}), "train.batch").values()) == {6}
    assert set(by_labels(plan(tmp_path, text, sets={"shift": "rotate"}), "train.batch").values()) == {32}


def test_a_set_on_an_axis_leaves_it_that_one_value(tmp_path: Path) -> None:
    found = plan(tmp_path, SMALL, sets={"dataset": "breast_mnist"})
    assert [tuple(cell.labels.values()) for cell in found.cells] == [
        ("CSI", "breast_mnist"),
        ("DIA", "breast_mnist"),
    ]


def test_settings_that_cannot_act_are_in_no_key(tmp_path: Path) -> None:
    plain = plan(tmp_path, SMALL)
    loud = plan(
        tmp_path,
        SMALL,
        sets={"diffusion.steps": 7, "dissolve.kernel": 3},
        only={"method": {"csi"}},
    )
    assert [run.eval_key for run in loud.runs] == [run.eval_key for run in plain.runs if run.method == "csi"]
    assert all(
        not name.startswith(("dissolve", "diffusion")) for cell in loud.cells for name in cell.settings
    )
    blurred = plan(tmp_path, SMALL, sets={"dissolve.op": "gaussian"}, only={"method": {"dia"}})
    again = plan(
        tmp_path, SMALL, sets={"dissolve.op": "gaussian", "diffusion.steps": 7}, only={"method": {"dia"}}
    )
    assert blurred.runs == again.runs
    assert not blurred.artefacts


def test_cells_with_equal_settings_share_their_runs(tmp_path: Path) -> None:
    text = (
        SMALL
        + """
    [[case]]
    label = "the same"
    set = { method = "dia", "contrast.design" = "a" }
    [[case]]
    label = "the oracle"
    set = { method = "dia", selection = "best_test" }
    """
    )
    text = text.replace('dataset = ["pneumonia_mnist", "phantom"]', "")
    text = text.replace("[table]", '[settings]\ndataset = "phantom"\n[table]').replace("[grid]\n", "")
    text = text.replace('columns = ["dataset"]', "")
    found = plan(tmp_path, text)
    assert len(found.cells) == 4
    assert len(found.runs) == 6
    assert len(found.fits) == 4
    assert len(found.artefacts) == 1


def test_another_scoring_is_another_outcome_of_the_same_fit(tmp_path: Path) -> None:
    plain, views = plan(tmp_path, SMALL), plan(tmp_path, SMALL, sets={"score.views": 4})
    assert [run.train_key for run in plain.runs] == [run.train_key for run in views.runs]
    assert not {run.eval_key for run in plain.runs} & {run.eval_key for run in views.runs}


def test_best_val_cuts_a_validation_split_only_where_there_is_none(tmp_path: Path) -> None:
    text = SMALL.replace('"phantom"', '"sars_cov_2"')
    last, best = plan(tmp_path, text), plan(tmp_path, text, sets={"selection": "best_val"})
    for before, after in zip(last.runs, best.runs, strict=True):
        cut = after.dataset == "sars_cov_2"
        assert (after.train["data"].get("validation") == "cut") == cut
        assert (before.train_key != after.train_key) == cut
    oracle = plan(tmp_path, text, sets={"selection": "best_test"})
    assert [run.train_key for run in oracle.runs] == [run.train_key for run in last.runs]


def test_only_keeps_cells_by_axis_setting_and_seed(tmp_path: Path) -> None:
    def places(**only: set[str]) -> list[tuple[str, ...]]:
        return [tuple(cell.labels.values()) for cell in plan(tmp_path, SMALL, only=only).cells]

    assert places(method={"dia"}, dataset={"phantom", "breast_mnist"}) == [("DIA", "phantom")]
    assert places(case={"CSI"}) == [("CSI", "pneumonia_mnist"), ("CSI", "phantom")]
    assert places(dataset={"breast_mnist"}) == []
    found = plan(tmp_path, SMALL, only={"seed": {"1"}, "dissolve.steps": {"30-130"}, "train.lr": {"1e-3"}})
    assert [(run.method, run.seed) for run in found.runs] == [("dia", 1), ("dia", 1)]


def test_a_stand_in_changes_the_name_in_the_key_and_nothing_else(tmp_path: Path) -> None:
    text = """
    settings = { method = "csi" }
    [grid]
    dataset = ["kvasir_polyp", "phantom"]
    [[override]]
    where = { dataset = "kvasir_polyp" }
    set = { shift = "perm" }
    """
    real, generated = (plan(tmp_path, text, stand_ins=names) for names in ((), ["kvasir_polyp", "cifar10"]))
    assert (real.stand_ins, generated.stand_ins) == (frozenset(), {"kvasir_polyp"})
    (kvasir, phantom), (other, same) = real.cells, generated.cells
    assert same == phantom
    assert (other.dataset, other.labels, other.settings) == (
        "stand_in:kvasir_polyp",
        kvasir.labels,
        kvasir.settings,
    )
    assert other.settings["shift"] == "perm", "overrides for the set hold for its stand-in"
    data = other.runs[0].train["data"]
    assert data == {**kvasir.runs[0].train["data"], "name": "stand_in:kvasir_polyp"}
    assert {run.train_key for run in other.runs}.isdisjoint(run.train_key for run in kvasir.runs)
    only = plan(tmp_path, text, stand_ins=["kvasir_polyp"], only={"dataset": ["kvasir_polyp"]})
    assert [cell.dataset for cell in only.cells] == ["stand_in:kvasir_polyp"]


def test_seeds_may_be_given_instead_of_the_specs(tmp_path: Path) -> None:
    spec = load(tmp_path, SMALL)
    assert {run.seed for run in expand(spec, seeds=(5,)).runs} == {5}
    for seeds in ((), (1, 1), (-1,)):
        with pytest.raises(SpecErrors, match=r"^--seeds: seeds: "):
            expand(spec, seeds=seeds)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sets": {"train.bach": 3}}, '--set: train.bach: unknown key; did you mean "train.batch"?'),
        ({"sets": {"train.batch": "x"}}, '--set: train.batch: must be a whole number, not "x"'),
        ({"sets": {"seed": 1}}, "--set: seed: is not a setting of a cell"),
        ({"only": {"metod": {"dia"}}}, '--only: metod: unknown key; did you mean "method"?'),
        ({"only": {"method": {"dja"}}}, "--only: method: unknown method 'dja'; known: "),
        ({"only": {"profile": {"cpu"}}}, "--only: profile: use --profile"),
        ({"profile": "cpw"}, 'profile cpw: no profile is called "cpw"; there are '),
        (
            {"sets": {"dissolve.size": 20}},
            "spec.toml: dissolve.size: must be a multiple of 8, not 20 (in case DIA, ",
        ),
    ],
)
def test_faulty_options_are_told_like_a_faulty_spec(tmp_path: Path, options: Any, message: str) -> None:
    spec = load(tmp_path, SMALL)
    with pytest.raises(SpecErrors) as caught:
        expand(spec, **options)
    assert message in str(caught.value)


def test_two_folders_under_one_name_are_refused(tmp_path: Path) -> None:
    for parent in ("one", "two"):
        (tmp_path / parent / "skin" / "normal").mkdir(parents=True)
    text = SMALL.replace(
        '"pneumonia_mnist", "phantom"', f'"folder:{tmp_path}/one/skin", "folder:{tmp_path}/two/skin"'
    )
    with pytest.raises(SpecErrors, match=r"dataset: .*/one/skin and .*/two/skin are both named folder:skin"):
        load(tmp_path, text)
    text = SMALL.replace('"pneumonia_mnist", "phantom"', f'"folder:{tmp_path}/one/skin"')
    run = plan(tmp_path, text).runs[0]
    assert run.dataset == f"folder:{tmp_path}/one/skin"
    assert run.train["data"]["name"] == "folder:skin"


def test_ten_thousand_runs_expand_in_three_seconds(tmp_path: Path) -> None:
    text = f"""
    seeds = {list(range(10))}
    settings = {{ method = "dia", dataset = "phantom" }}
    [table]
    rows = ["train.batch", "train.epochs"]
    columns = ["score.views"]
    [grid]
    "train.batch" = {list(range(2, 12))}
    "train.epochs" = {list(range(1, 11))}
    "score.views" = {list(range(1, 11))}
    """
    spec = load(tmp_path, text)
    start = time.process_time()
    found = expand(spec)
    assert time.process_time() - start < 3
    assert (len(found.runs), len(found.fits)) == (10_000, 1_000)


def test_planning_loads_no_heavy_library(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL)
    code = (
        f"from suite.spec import load_spec; from suite.plan import expand; expand(load_spec({str(path)!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; {HEAVY}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_spec_is_loaded_by_its_path_or_its_shipped_name() -> None:
    assert load_spec("quickstart").name == "quickstart"
    assert expand(load_spec("quickstart")).profile == "quickstart"
