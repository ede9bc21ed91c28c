"""Settings: what a user may write in a spec, how it is checked, and how it becomes a key.

A setting is a field of a frozen pydantic model, addressed by its dotted name (``train.batch``). Types are
coerced only where no meaning is lost (``100.0`` is the integer 100; ``1`` is the float 1.0; text is never a
number), so that equal settings have equal keys. A field that is added later declares a *neutral* value, at
which it is left out of the key: old runs stay valid.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Self, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

KEY_LENGTH = 12
"""Hex digits of a key that name a folder (48 bits)."""


def _integral(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Int = Annotated[int, BeforeValidator(_integral)]
"""An integer; a float without a fraction is taken as one."""


class Settings(BaseModel):
    """Base of all settings models: frozen, strict about types, unknown keys forbidden."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def parse(cls, nested: Mapping[str, Any]) -> Self:
        """Validate a nested mapping as it comes from TOML (lists stand for tuples); raises
        pydantic.ValidationError.
        """
        return cls.model_validate_json(json.dumps(nested))


def setting(default: Any, /, *, neutral: Any = ..., **constraints: Any) -> Any:
    """A field with a default; ``neutral`` is the value at which it is left out of the key (only for fields
    added later).
    """
    extra = {} if neutral is ... else {"neutral": neutral}
    return Field(default=default, json_schema_extra=extra, validate_default=True, **constraints)


def canonical(model: Settings) -> dict[str, Any]:
    """The model as plain JSON values, nested, without fields that stand at their neutral value."""
    plain = model.model_dump(mode="json")
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, Settings):
            plain[name] = canonical(value)
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "neutral" in extra and plain[name] == extra["neutral"]:
            del plain[name]
    return plain


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def canonical_json(value: Any) -> str:
    """The text of a JSON value that keys are made of: sorted keys, no white space, no NaN."""
    return _CANONICAL.encode(value)


def key_of(payload: Mapping[str, Any]) -> str:
    """SHA-256 (64 hex digits) of the canonical JSON of a payload."""
    return hashlib.sha256(canonical_json(payload).encode()).hexdigest()


def keys_along(shared: Mapping[str, Any], name: str) -> Callable[[Any], str]:
    """:func:`key_of` of ``{**shared, name: value}`` as a function of the value: what many payloads share is written
    as JSON once.
    """
    entries = {one: f"{canonical_json(one)}:{canonical_json(value)}" for one, value in shared.items()}
    entries[name] = f"{canonical_json(name)}:"
    order = sorted(entries)
    last = order.index(name) + 1
    before = "{" + ",".join(entries[one] for one in order[:last])
    after = "".join(f",{entries[one]}" for one in order[last:]) + "}"
    return lambda value: hashlib.sha256(f"{before}{canonical_json(value)}{after}".encode()).hexdigest()


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """``{"train.batch": 32}`` as ``{"train": {"batch": 32}}``; nested values stay (and merge). ValueError on
    a clash.
    """
    nested: dict[str, Any] = {}
    for name, value in flatten(flat).items():
        *parents, leaf = name.split(".")
        here = nested
        for parent in parents:
            here = here.setdefault(parent, {})
            if not isinstance(here, dict):
                raise ValueError(f"{name}: {parent} is a value, not a table of settings")
        if isinstance(here.get(leaf), dict):
            raise ValueError(f"{name}: is a table of settings, not a value")
        here[leaf] = value
    return nested


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The inverse of :func:`nest`: dotted names to values."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def fields_of(model: type[Settings], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted setting of a model class with its pydantic FieldInfo (the vocabulary)."""
    for name, field in model.model_fields.items():
        inner = _settings_class(field.annotation)
        if inner is None:
            yield f"{prefix}{name}", field
        else:
            yield from fields_of(inner, f"{prefix}{name}.")


def prune(model: type[Settings], nested: Mapping[str, Any]) -> dict[str, Any]:
    """The part of ``nested`` that ``model`` has fields for: settings that cannot act fall away here."""
    kept: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if name not in nested:
            continue
        inner = _settings_class(field.annotation)
        value = nested[name]
        kept[name] = prune(inner, value) if inner and isinstance(value, Mapping) else value
    return kept


def _settings_class(annotation: Any) -> type[Settings] | None:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    if get_origin(annotation) is Annotated:
        return _settings_class(get_args(annotation)[0])
    return None
