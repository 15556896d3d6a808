"""The photo sets of the bundled world: their names, sizes and forms, and nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PhotoSet:
    """A photo set of the world: `as_folder` ones are pictures in a folder, the others are lists of URLs."""

    name: str
    num_photos: int
    benchmark: bool = False
    as_folder: bool = False


PHOTO_SETS = (
    PhotoSet("world_1k", 1000, benchmark=True),
    PhotoSet("world_300", 300, benchmark=True, as_folder=True),
    PhotoSet("world_train", 12_000),
    PhotoSet("world_validation", 1500),
)
