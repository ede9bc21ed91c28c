"""Reading specs: what is understood, and what is said about a faulty one."""

from __future__ import annotations

from pathlib import Path

import pytest

from suite.resources import find_spec, names, root
from suite.spec import SpecErrors, load_profile, load_spec, profile_names, resolve_profile

from .spec_files import SMALL, faults, load, plan, write


def test_a_spec_is_read_as_written(tmp_path: Path) -> None:
    spec = load(tmp_path, SMALL)
    assert (spec.name, spec.title, spec.seeds, spec.profile) == ("spec", "a small spec", (0, 1), None)
    assert [case.label for case in spec.cases] == ["CSI", "DIA"]
    assert spec.grid == {"dataset": ("pneumonia_mnist", "phantom")}
    assert (spec.table.rows, spec.table.columns) == (("case",), ("dataset",))
    assert (spec.table.metric, spec.table.selection) == ("auroc", "last")


def test_settings_may_be_dotted_or_nested_and_come_out_flat(tmp_path: Path) -> None:
    spec = load(
        tmp_path,
        """
        settings = { method = "dia", dataset = "phantom", "train.batch" = 16.0, train = { epochs = 3 } }
        [grid]
        dissolve = { size = [32, 64] }
        """,
    )
    assert spec.settings["train.batch"] == 16
    assert isinstance(spec.settings["train.batch"], int)
    assert spec.settings["train.epochs"] == 3
    assert spec.grid == {"dissolve.size": (32, 64)}


def test_axes_are_placed_when_the_table_does_not_say_where(tmp_path: Path) -> None:
    text = SMALL.replace('rows = ["case"]\ncolumns = ["dataset"]', "")
    assert load(tmp_path, text).table.rows == ("case",)
    assert load(tmp_path, text).table.columns == ("dataset",)
    only_columns = load(tmp_path, text.replace("[table]", '[table]\ncolumns = ["case"]')).table
    assert (only_columns.rows, only_columns.columns) == (("dataset",), ("case",))
    single = load(tmp_path, 'settings = { method = "csi", dataset = "phantom" }')
    assert [case.label for case in single.cases] == ["csi"]


SETTINGS = 'settings = { method = "dia", dataset = "phantom" }\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SETTINGS + '[grid]\ndatasetz = ["phantom"]', 'grid.datasetz: unknown key; did you mean "dataset"?'),
        (SETTINGS + "[settingz]", 'settingz: unknown key; did you mean "settings"?'),
        (
            'method = "dia"\n' + SETTINGS,
            "method: unknown key here; settings stand in [settings], a case, [grid] or an override",
        ),
        (
            "[settings]\nbatch = 3",
            'settings.batch: unknown key; did you mean "diffusion.batch" or ',
        ),
        ("[settings]\ntrain.batch = 'big'", 'settings.train.batch: must be a whole number, not "big"'),
        ("[settings]\ntrain.batch = 32.5", "settings.train.batch: must be a whole number, not 32.5"),
        ("[settings]\ntrain.epochs = 0", "settings.train.epochs: must be at least 1, not 0"),
        ("[settings]\ntrain.lr = nan", "give a finite number"),
        ("[settings]\ntrain.lr = 2020-01-01", "settings.train.lr: 2020-01-01 is no value here"),
        ("[settings]\ntrain = 3", "settings.train: is a table of settings (train.batch, "),
        ("[settings]\nscore.balance = 1", "settings.score.balance: must be true or false, not 1"),
        (
            "[settings]\n'train.batch' = 4\ntrain.batch = 5",
            "settings.train.batch: is given twice, dotted and nested",
        ),
        (
            "[settings]\ndissolve.op = 'gausian'",
            'settings.dissolve.op: "gausian" is not one of "diffusion", "gaussian", "median", "resize", "none", '
            '"stable_diffusion"; did you mean "gaussian"?',
        ),
        ("[settings]\nmethod = 'dya'", "settings.method: unknown method 'dya'; known: "),
        ("[settings]\ndataset = 'phantum'", 'did you mean "phantom"?'),
        (
            "[settings]\nseed = 1",
            "settings.seed: is not a setting of a cell: write seeds = [0, 1, 2] at the top",
        ),
        (
            "[settings]\nselection = 'best'",
            'settings.selection: "best" is not one of "last", "best_val", "best_test"',
        ),
        (
            "[settings]\ndissolve.steps = [130, 30]",
            "settings.dissolve.steps: a step range is [low, high] with 1 <= low <= high < 1000, not [130, 30]",
        ),
        (
            "[settings]\ndissolve.steps = [130]",
            "settings.dissolve.steps: must be a list of 2 values, not [130]",
        ),
        (
            "[settings]\ndissolve.steps = [1, 2, 3]",
            "settings.dissolve.steps: must be a list of 2 values, not [1, 2, 3]",
        ),
        (SETTINGS + "[grid]\ndissolve.kernel = []", "grid.dissolve.kernel: has no values"),
        (SETTINGS + "[grid]", "grid: is empty"),
        (SETTINGS + "[grid]\nshift = 'perm'", 'grid.shift: must be a list of values, such as ["perm"]'),
        (SETTINGS + "[grid]\ntrain.batch = [8, 8.0]", "grid.train.batch: 8 is given more than once"),
        ("seeds = [0, 1, 1]\n" + SETTINGS, "seeds: 1 is given more than once"),
        ("seeds = []\n" + SETTINGS, "seeds: is empty"),
        ("seeds = [-1]\n" + SETTINGS, "seeds[1]: must be at least 0, not -1"),
        (
            SETTINGS + "[[case]]\nset = {}",
            "case[1].label: missing; every [[case]] needs a label (this is number 1)",
        ),
        (SETTINGS + '[[case]]\nlabel = ""', "case[1].label: is empty"),
        (SETTINGS + '[[case]]\nlabel = "A"\nsett = {}', 'case "A".sett: unknown key; did you mean "set"?'),
        (
            SETTINGS + '[[case]]\nlabel = "A"\n[[case]]\nlabel = "A"',
            'case.label: "A" is given more than once',
        ),
        (
            SETTINGS + '[[case]]\nlabel = "A"\nset = { train.batches = 3 }',
            'case "A".set.train.batches: unknown key; did you mean "train.batch"?',
        ),
        (
            SMALL.replace('rows = ["case"]', 'rows = ["caze"]'),
            'table.rows: "caze" is not an axis of this spec; the axes are case, dataset; did you mean "case"?',
        ),
        (
            SMALL.replace('columns = ["dataset"]', "columns = []"),
            "grid.dataset: has 2 values but stands in neither table.rows nor table.columns, so cells would merge; "
            'add "dataset" to one',
        ),
        (
            SMALL.replace('rows = ["case"]', "rows = []"),
            "case: has 2 values but stands in neither",
        ),
        (
            SMALL.replace('rows = ["case"]', 'rows = ["case", "dataset"]'),
            'table.rows and table.columns: "dataset" is given more than once',
        ),
        (
            SMALL.replace("[table]", '[table]\nselection = "best"'),
            'table.selection: "best" is not one of "last", "best_val", "best_test"',
        ),
        (
            SMALL.replace("[table]", '[table]\npublished = "tabel11"'),
            'table.published: no published table is called "tabel11"; there are table1, ',
        ),
        (
            SMALL.replace("[table]", '[table]\nextra = ["fit_second"]'),
            'table.extra[1]: "fit_second" is not one of "auroc", ',
        ),
        (
            SMALL.replace("[table]", "[table]\nmetrik = 1"),
            'table.metrik: unknown key; did you mean "metric"?',
        ),
        (SMALL.replace("[table]", '[table]\naverage = ["shift"]'), 'table.average: "shift" is not an axis'),
        (
            SMALL.replace("[table]", '[table]\ncompare = "CIS"'),
            'table.compare: "CIS" is no case of this spec',
        ),
        (
            SMALL.replace("[table]", '[table]\ngroups = { "All" = ["CSJ"] }'),
            'table.groups.All: "CSJ" is no label of a row or column; did you mean "CSI"?',
        ),
        (
            SMALL + "method = ['dia']",
            'case "CSI".set.method: method is also an axis of the grid; keep one of the two',
        ),
        (
            SMALL + "[[override]]\nwhere = { case = 'DIE' }\nset = { shift = 'perm' }",
            'override[1].where.case: "DIE" is no case; did you mean "DIA"?',
        ),
        (SMALL + "[[override]]\nset = { shift = 'perm' }", "override[1].where: missing"),
        (
            SMALL + "[[override]]\nwhere = { dataset = ['phantom', 'fantom'] }\nset = {}",
            "override[1].where.dataset: unknown data set 'fantom'",
        ),
        (
            SMALL.replace("seeds = [0, 1]", 'profile = "cpw"'),
            'profile: no profile is called "cpw"; there are ',
        ),
        ("[settings]\nmethod = 'dia'", "dataset: is not given; set it in [settings], a case or [grid]"),
    ],
)
def test_each_fault_is_told_with_its_key(tmp_path: Path, text: str, expected: str) -> None:
    found = faults(tmp_path, text)
    assert any(expected in line for line in found), found


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        """
        seeds = [0, 0]
        colour = "red"
        [settings]
        method = "dja"
        train.batch = "many"
        [[case]]
        set = { shift = "permute" }
        [grid]
        datazet = ["phantom"]
        "dissolve.steps" = [[30, 130], [9, 1]]
        [table]
        columns = ["nowhere"]
        """,
    )
    for key in (
        "seeds:",
        "colour:",
        "settings.method:",
        "settings.train.batch:",
        "case[1].label:",
        "case[1].set.shift:",
        "grid.datazet:",
        "grid.dissolve.steps: a step range",
        "table.columns:",
    ):
        assert any(line.startswith(key) for line in found), (key, found)


def test_a_legal_value_that_its_method_refuses_is_told_with_the_cell(tmp_path: Path) -> None:
    # 20 pixels are fine for a blur; the UNet halves its input three times.
    text = SMALL.replace('{ method = "dia" }', '{ method = "dia", "dissolve.size" = 20 }')
    assert faults(tmp_path, text) == [
        "dissolve.size: must be a multiple of 8, not 20 (in case DIA, dataset pneumonia_mnist and 1 more)"
    ]
    assert (
        faults(tmp_path, text.replace('"dissolve.size"', '"dissolve.op" = "median", "dissolve.size"')) == []
    )


def test_one_fault_makes_one_line(tmp_path: Path) -> None:
    assert faults(tmp_path, SMALL.replace('label = "CSI"', "")) == [
        "case[1].label: missing; every [[case]] needs a label (this is number 1)"
    ]
    assert len(faults(tmp_path, SMALL.replace('"phantom"', '"phantum"'))) == 1
    assert len(faults(tmp_path, SMALL.replace("[grid]", "[gird]"))) == 2  # the axis is gone with the table


def test_a_toml_slip_keeps_its_line(tmp_path: Path) -> None:
    assert faults(tmp_path, 'title = "x"\nseeds = [0, 1\n[table]\n')[0].startswith("line 3, column 1: ")
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SpecErrors, match=r"binary\.toml: cannot be read: is not UTF-8 text"):
        load_spec(path)
    with pytest.raises(SpecErrors, match=r"absent\.toml: no such file; shipped specs: .*quickstart"):
        load_spec(tmp_path / "absent.toml")
    with pytest.raises(SpecErrors, match=r"no such file|cannot be read"):
        load_spec(tmp_path)


def test_an_override_may_name_a_default_a_list_a_case_and_the_profile(tmp_path: Path) -> None:
    text = (
        SMALL
        + """
    [[override]]
    where = { "dissolve.steps" = [30, 130], "dissolve.op" = ["diffusion", "none"] }
    set = { "train.batch" = 8 }
    [[override]]
    where = { case = "CSI", profile = "cpu", "data.split" = "paper", "score.views" = 10 }
    set = { "train.batch" = 16 }
    """
    )
    by_case = {
        cell.labels["case"]: cell.settings["train.batch"]
        for cell in plan(tmp_path, text, profile="cpu").cells
    }
    assert by_case == {"CSI": 16, "DIA": 8}
    paper = {cell.labels["case"]: cell.settings["train.batch"] for cell in plan(tmp_path, text).cells}
    assert paper == {"CSI": 32, "DIA": 8}


def test_shipped_specs_are_found_by_name_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for given in ("quickstart", "quickstart.toml", "specs/quickstart.toml"):
        assert find_spec(given) == root() / "specs" / "quickstart.toml"
    assert find_spec("elsewhere/quickstart.toml") == Path("elsewhere/quickstart.toml")
    own = write(tmp_path, SMALL, "quickstart.toml")
    assert find_spec("quickstart.toml").resolve() == own


@pytest.mark.parametrize("name", names("specs/profiles"))
def test_every_shipped_profile_is_sound_and_says_what_it_is(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert profile.title
    assert bool(profile.settings) == (name != "paper")


def test_faults_of_a_profile_are_told_like_those_of_a_spec(tmp_path: Path) -> None:
    path = write(tmp_path, "[settings]\ntrain.epoch = 3\n[grid]\nshift = ['perm']", "profiles/mine.toml")
    with pytest.raises(SpecErrors) as caught:
        load_profile("mine", tmp_path)
    assert caught.value.messages == (
        f"{path}: grid: unknown key",
        f'{path}: settings.train.epoch: unknown key; did you mean "train.epochs"?',
    )
    with pytest.raises(SpecErrors, match=r'no profile is called "smok"; .*; did you mean "smoke"\?'):
        load_profile("smok", tmp_path)
    assert "mine" in profile_names(tmp_path)


def test_auto_asks_for_a_gpu_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_profile(None) == "paper"
    assert resolve_profile("smoke") == "smoke"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert resolve_profile("auto") == "cpu"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert resolve_profile("auto") == "paper"
