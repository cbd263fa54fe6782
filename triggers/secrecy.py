"""Secrets in events: which types declare one or may hold one, and whether a value does.

pydantic masks a secret when it is written, unless a serializer of the field's own reveals it. So an event's text alone
does not tell, and every event of a type that may hold a secret is looked through.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

_SECRETS = (SecretStr, SecretBytes, Secret)


@cache
def may_hold_secret(kind: type[BaseModel]) -> bool:
    """Say whether the type declares a secret, or a field that takes anything; found out once for each type."""
    return _declares_secret(kind, [], anything=True)


def secret_fields(kind: type[BaseModel]) -> list[str]:
    """Return the fields of the type that are declared as a secret or contain one, and are written."""
    written = {name: field.annotation for name, field in kind.model_fields.items() if not field.exclude}
    return [name for name, hint in written.items() if _declares_secret(hint, [], anything=False)]


def _declares_secret(hint: Any, seen: list[Any], *, anything: bool) -> bool:
    """Say whether a value of the annotation is or contains a secret.

    `anything` is the answer for annotations that take any value, or that cannot be resolved.
    """
    if hint in (Any, object) or isinstance(hint, typing.TypeVar | typing.ForwardRef):
        return anything
    origin = get_origin(hint)
    if origin is typing.Literal or hint in seen:
        return False
    seen.append(hint)
    kind = origin or hint
    if isinstance(kind, type) and (issubclass(kind, _SECRETS) or (anything and _takes_extra(kind))):
        return True
    parts = get_args(hint)[:1] if origin is typing.Annotated else get_args(hint) or _declared(kind)
    return any(_declares_secret(part, seen, anything=anything) for part in parts)


def _takes_extra(kind: type) -> bool:
    return issubclass(kind, BaseModel) and kind.model_config.get("extra") == "allow"


def _declared(kind: Any) -> Iterable[Any]:
    """Return the annotations of what a class or an alias is made of, `Any` where they cannot be resolved."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [field.annotation for field in kind.model_fields.values() if not field.exclude]
    if is_dataclass(kind) or typing.is_typeddict(kind) or hasattr(kind, "_fields"):
        try:
            return typing.get_type_hints(kind).values()
        except Exception:  # whatever a name leads to
            return [Any]
    return [kind.__value__] if hasattr(kind, "__value__") else []  # a `type` statement's alias


def _attributes(value: object) -> list[object]:
    """Return what a model or a dataclass hands to its serializers."""
    if isinstance(value, BaseModel):
        declared = type(value).model_fields
        kept = [item for name, item in vars(value).items() if name not in declared or not declared[name].exclude]
        return [*kept, *(value.model_extra or {}).values()]
    return [getattr(value, item.name) for item in fields(value)] if is_dataclass(value) else []


def _parts(value: object) -> Iterable[object]:
    """Return what a value consists of, where that would be written with it."""
    if isinstance(value, BaseModel) or is_dataclass(value):
        return _attributes(value)
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple | set | frozenset) else ()


def secrets_of(value: object) -> Iterator[str]:
    """Yield the secrets that a value is or contains, and that would be written, as text."""
    if isinstance(value, _SECRETS):
        hidden = value.get_secret_value()
        yield hidden.decode(errors="replace") if isinstance(hidden, bytes) else str(hidden)
        return
    for part in _parts(value):
        yield from secrets_of(part)


def holds_secret(value: object) -> bool:
    """Say whether a value is a secret, or contains one that would be written."""
    return isinstance(value, _SECRETS) or any(map(holds_secret, _parts(value)))
