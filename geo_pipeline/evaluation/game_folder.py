"""The folder of a game: a page and pictures, as they are to be put on any web server.

Here live what it holds and whether an older one may be replaced. Not here: the writing of folders (store.py). The one
idea: only what is known to be a game, down to each file, is ever replaced.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from geo_pipeline.errors import InputError
from geo_pipeline.evaluation.game import Choice
from geo_pipeline.evaluation.game_page import GENERATOR, GameTexts, photo_file, render_game_page
from geo_pipeline.store import write_folder

PAGE = "index.html"
_PICTURE = re.compile(r"photos/\d{5,}\.jpg")
_HEAD_BYTES = 4096


def write_game(folder: Path, choice: Choice, texts: GameTexts) -> Path:
    """Write the game as a whole, instead of an older one; the path of its page. Raises as `require_replaceable`."""
    require_replaceable(folder)
    page = render_game_page(choice.photos, choice.model, texts)
    pictures = ((photo_file(number), photo.jpeg) for number, photo in enumerate(choice.photos))
    write_folder(folder, [(PAGE, page.encode()), *pictures])
    return folder / PAGE


def require_replaceable(folder: Path) -> None:
    """Raise InputError unless nothing, an empty folder or a game stands there."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder}: found a file, expected a folder for the game or a new name; name another one")
    files = set(_files(folder))
    foreign = min((name for name in files if name != PAGE and not _PICTURE.fullmatch(name)), default=None)
    if foreign is None and files and not _is_game(folder / PAGE):
        foreign = PAGE if PAGE in files else min(files)
    if foreign is not None:
        raise InputError(
            f"{folder}: holds {foreign}, which is no part of a game; only an empty folder or an older game is "
            f"replaced: move it away or name another folder"
        )


def _files(folder: Path) -> Iterator[str]:
    """Names below the folder of all files, and of links, which are not followed."""
    for parent, folders, files in os.walk(folder):
        for name in (*files, *(each for each in folders if (Path(parent) / each).is_symlink())):
            yield (Path(parent) / name).relative_to(folder).as_posix()


def _is_game(page: Path) -> bool:
    """Whether a page says, near its beginning, that it is a game."""
    if not page.is_file():
        return False
    with page.open("rb") as stream:
        return f'<meta name="generator" content="{GENERATOR}">'.encode() in stream.read(_HEAD_BYTES)
