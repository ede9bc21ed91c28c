"""Each part of a spec is checked by itself."""

from __future__ import annotations

from suite.spec_check import Checker, key_path


def test_flat_joins_names_and_finds_what_is_given_twice() -> None:
    checker = Checker("x.toml")
    assert checker.flat("settings", {"train": {"batch": 3, "lr": 0.1}, "shift": "perm"}) == {
        "train.batch": 3,
        "train.lr": 0.1,
        "shift": "perm",
    }
    assert not checker.lines
    checker.flat("settings", {"train.batch": 3, "train": {"batch": 4}})
    assert checker.lines == ["x.toml: settings.train.batch: is given twice, dotted and nested"]


def test_parts_of_a_wrong_shape_are_left_to_the_frame() -> None:
    checker = Checker("x.toml")
    assert checker.settings("settings", 3) == {}
    assert checker.grid([1]) == {}
    assert checker.overrides({"where": {}}) == []
    assert checker.overrides([3, {"where": 4}]) == [({}, {})]
    assert not checker.lines


def test_a_condition_is_a_value_a_list_of_values_or_a_value_that_is_a_list() -> None:
    checker = Checker("x.toml")
    where = {
        "dissolve.steps": [30, 130.0],
        "train.batch": [8, 16.0],
        "method": "dia",
        "profile": ["cpu", "smoke"],
    }
    found = checker.overrides([{"where": where, "set": {}}])
    assert found == [
        (
            {
                "dissolve.steps": [30, 130],
                "train.batch": [8, 16],
                "method": "dia",
                "profile": ["cpu", "smoke"],
            },
            {},
        )
    ]
    several = checker.overrides([{"where": {"dissolve.steps": [[30, 130], [130, 230]]}, "set": {}}])
    assert several[0][0]["dissolve.steps"] == [[30, 130], [130, 230]]
    assert not checker.lines
    checker.overrides([{"where": {"train.batch": [], "shfit": "perm"}, "set": {}}])
    assert checker.lines == [
        "x.toml: override[1].where.train.batch: is an empty list, which no cell can match",
        'x.toml: override[1].where.shfit: unknown key; did you mean "shift"?',
    ]


def test_repeated_values_are_told_once_each() -> None:
    checker = Checker("x.toml")
    checker.repeated("seeds", [1, 2, 1, 1, 2])
    assert checker.lines == [
        "x.toml: seeds: 1 is given more than once",
        "x.toml: seeds: 2 is given more than once",
    ]


def test_a_location_is_written_as_a_user_would_point_at_it() -> None:
    raw = {"case": [{"label": "A"}, {}], "seeds": [1]}
    assert key_path(("case", 0, "set"), raw) == 'case "A".set'
    assert key_path(("case", 1, "label"), raw) == "case[2].label"
    assert key_path(("seeds", 0), raw) == "seeds[1]"
    assert key_path(("table", "rows", 3), raw) == "table.rows[4]"
