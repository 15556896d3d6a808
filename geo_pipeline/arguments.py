"""What the command lines of this project have in common: names spelt with underscores, the nearest option."""

from __future__ import annotations

import difflib
import re
from argparse import ArgumentParser
from collections.abc import Sequence

_OPTION = re.compile(r"--[a-z][a-z-]*")


def with_hyphens(arguments: Sequence[str], *, command_first: bool) -> list[str]:
    """`create_cells --img_min=50` as `create-cells --img-min=50`: existing scripts spell commands and options so."""
    split = [argument.partition("=") for argument in arguments]
    is_name = [name.startswith("--") or (command_first and not place) for place, (name, _, _) in enumerate(split)]
    return [
        (name.replace("_", "-") if replaced else name) + equals + value
        for replaced, (name, equals, value) in zip(is_name, split, strict=True)
    ]


def options_of(parser: ArgumentParser) -> list[str]:
    """The names of a parser's options."""
    return _OPTION.findall(parser.format_usage())


def unknown_argument(name: str, parser: ArgumentParser) -> str:
    """What to say of an argument that the parser does not know."""
    near = difflib.get_close_matches(name, options_of(parser), n=1)
    return f"unknown argument {name}" + (f"; did you mean {near[0]}?" if near else "")
