"""Typed settings from YAML, and the clear error for what is wrong in them.

Here live the reading of a YAML file and its check against a pydantic model. Not here: which settings there are. The
one idea: a wrong key is told by its dotted place with the nearest one that exists, a wrong value with what was found.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from geo_pipeline.errors import InputError

Settings = TypeVar("Settings", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """YAML 1.1, with numbers like 1e-4, which it takes for text, as YAML 1.2 reads them."""


_Loader.yaml_implicit_resolvers = {
    first: list(resolvers) for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(path: Path, absent: str) -> Any:  # noqa: ANN401 -- whatever the file holds
    """The content of a YAML file. Raises InputError naming the file; `absent` is what to say if it is not there."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: {absent}") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: a folder; name a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML: {error}") from error


def parse_yaml(text: str) -> Any:  # noqa: ANN401 -- whatever the text says
    """The value of a text in YAML. Raises yaml.YAMLError."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506 -- a SafeLoader


def validated(model: type[Settings], content: object, source: str, kind: str) -> Settings:
    """The settings. Raises InputError: `<source>: this <kind> cannot be used:` and a line for each problem."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = "\n".join(f"  - {_problem(model, dict(detail), kind)}" for detail in error.errors())
        raise InputError(f"{source}: this {kind} cannot be used:\n{lines}") from error


def unknown_key(where: str, name: str, known: Sequence[str]) -> str:
    """What to say of a key that is not one of the known ones."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{where}: unknown key{hint} (known: {', '.join(known)})"


def _problem(model: type[BaseModel], detail: Mapping[str, Any], kind: str) -> str:
    """One line for one validation error: key, what was found, what was expected."""
    location = [str(part) for part in detail["loc"]]
    where = ".".join(location) or f"the {kind}"
    if detail["type"] == "extra_forbidden":
        return unknown_key(where, location[-1], _keys_at(model, location[:-1]))
    if detail["type"] == "missing":
        return f"{where}: this key is required and not there"
    if detail["type"] == "value_error":
        return f"{where}: {detail['ctx']['error']}"
    return f"{where}: found {detail['input']!r}, {detail['msg'][:1].lower()}{detail['msg'][1:]}"


def _keys_at(model: type[BaseModel], location: Sequence[str]) -> list[str]:
    """Keys that the settings at a place know."""
    for part in location:
        field = model.model_fields.get(part)
        model = (_model_in(field.annotation) if field else None) or model
    return list(model.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The settings model in a field's type: itself, or inside `X | None` or `dict[str, X]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (dict, Union, UnionType):
        return next((model for arg in get_args(annotation) if (model := _model_in(arg))), None)
    return None
