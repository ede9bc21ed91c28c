"""The verb that lists what there is: methods, data sets, specs, profiles, settings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from suite import registry, resources
from suite.settings import Settings
from suite.verbs.common import OK, USAGE, grid, say, say_json


def list_things(what: str, *, as_json: bool = False) -> int:
    """Print the methods, data sets, specs, profiles or settings that there are."""
    kinds = {
        "methods": _methods,
        "datasets": _datasets,
        "specs": _specs,
        "profiles": _profiles,
        "settings": _settings,
    }
    if what not in kinds:
        say(f"list {what}: there are {', '.join(kinds)}")
        return USAGE
    header, rows = kinds[what]()
    if as_json:
        say_json([dict(zip(header, row, strict=True)) for row in rows])
    else:
        grid(header, rows)
    return OK


Listing = tuple[tuple[str, ...], list[tuple[str, ...]]]


def _methods() -> Listing:
    rows: list[tuple[str, ...]] = [
        (called, info.title, str(getattr(info, "version", "")), info.sizes, info.citation)
        for called, info in registry.declared().items()
    ]
    return ("method", "title", "version", "sizes", "source"), rows


def _datasets() -> Listing:
    rows: list[tuple[str, ...]] = []
    for info in registry.datasets().values():
        kind = "generated stand-in" if info.stand_in else info.licence
        rows.append((info.name, info.title, str(info.size), kind, info.url))
    rows.append(
        (
            "folder:PATH",
            "your own images",
            "224",
            "your own",
            "normal/ and anomalous/, MVTec's layout or a CSV",
        )
    )
    return ("dataset", "title", "size", "licence", "url"), rows


def _specs() -> Listing:
    from suite.spec import load_spec

    rows: list[tuple[str, ...]] = []
    for name in resources.names("specs"):
        spec = load_spec(name)
        rows.append((name, spec.title, spec.profile or "paper"))
    return ("spec", "title", "profile"), rows


def _profiles() -> Listing:
    from suite.spec import load_profile, profile_names

    rows = [(name, load_profile(name).title) for name in profile_names()]
    return ("profile", "title"), [*rows, ("auto", "paper where there is a CUDA device, cpu otherwise")]


def _settings() -> Listing:
    from suite.vocabulary import vocabulary

    known = vocabulary()
    owners: dict[str, list[str]] = {}
    for called, method in registry.declared().items():
        for model in (*method.models, method.scoring):
            owners.setdefault(f"{model.__module__}.{model.__qualname__}", []).append(called)
    rows: list[tuple[str, ...]] = []
    for name in known.names:
        models = known.fields.get(name, ())
        defaults = dict.fromkeys(_default(model, inside) for model, inside in models)
        users = dict.fromkeys(
            user for model, _ in models for user in owners.get(f"{model.__module__}.{model.__qualname__}", ())
        )
        values = dict.fromkeys(_values(model, inside) for model, inside in models)
        rows.append((name, " or ".join(defaults), " or ".join(values), ", ".join(users) or "all"))
    return ("setting", "default", "values", "methods"), rows


def _default(model: Any, name: str) -> str:
    here: Any = model
    for part in name.split("."):
        if isinstance(here, type):
            here = here.model_fields[part].get_default(call_default_factory=True)  # type: ignore[attr-defined]
        else:
            here = getattr(here, part)
    return str(list(here) if isinstance(here, tuple) else here)


def _values(model: type[Settings], name: str) -> str:
    """What may be written, in words: ``adam, lars, sgd`` or ``integer >= 2``."""
    *parents, leaf = name.split(".")
    for part in parents:
        inner = model.model_fields[part].annotation
        assert isinstance(inner, type)
        model = inner
    return _in_words(_properties(model)[leaf])


@cache
def _properties(model: type[Settings]) -> dict[str, Any]:
    properties: dict[str, Any] = model.model_json_schema()["properties"]
    return properties


def _in_words(schema: Mapping[str, Any]) -> str:
    if "enum" in schema or "const" in schema:
        return ", ".join(str(one) for one in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        return " or ".join(_in_words(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        if "prefixItems" in schema:
            return f"[{', '.join(_in_words(one) for one in schema['prefixItems'])}]"
        return f"list of {_in_words(schema.get('items', {}))}"
    kind = _KINDS.get(str(schema.get("type")), "any")
    bounds = [f"{sign} {schema[name]}" for names, sign in _BOUNDS for name in names if name in schema]
    return " ".join([kind, ", ".join(bounds)]).strip()


_KINDS = {
    "integer": "integer",
    "number": "number",
    "string": "text",
    "boolean": "true, false",
    "null": "none",
}
_BOUNDS = (
    (("minimum", "ge"), ">="),
    (("exclusiveMinimum", "gt"), ">"),
    (("maximum", "le"), "<="),
    (("exclusiveMaximum", "lt"), "<"),
    (("multipleOf", "multiple_of"), "in steps of"),
)
"""The names that a schema has for a bound (the second where something is done to the value before it is checked)."""
