"""The lists that a person supplies for a first profile: read, and checked for being what they are taken for.

Not here: the reading of single files (photos room). The one idea: a list and its metadata are looked at together,
because only photos that stand in both can be learned from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.errors import InputError
from geo_pipeline.photos.csv_rows import read_first_row
from geo_pipeline.photos.metadata import REQUIRED_COLUMNS, Metadata, read_metadata_csv
from geo_pipeline.photos.settings import PhotoSetSettings
from geo_pipeline.photos.url_lists import UrlList, list_folder, read_url_csv
from geo_pipeline.planning.origins import origins_of

SCENE_PREFIX = "Prob_"


@dataclass(frozen=True)
class Contents:
    """What the files of one photo set hold: the photos of its list or folder, and its metadata."""

    name: str
    settings: PhotoSetSettings
    listed: UrlList
    metadata: Metadata

    def has_both(self) -> np.ndarray:
        """bool[rows of the metadata]: which photos of the metadata stand in the list as well."""
        ids = self.listed.photos["photo_id"].combine_chunks()
        return np.asarray(pc.is_in(self.metadata.photos["photo_id"], ids))

    def coordinates(self) -> tuple[np.ndarray, np.ndarray]:
        """Latitudes and longitudes of the metadata's photos: float64[n], degrees."""
        return self.metadata.photos["latitude"].to_numpy(), self.metadata.photos["longitude"].to_numpy()


def read_contents(name: str, settings: PhotoSetSettings, scenes: Mapping[str, str]) -> Contents:
    """Read the files of a photo set; of a folder only the pictures that are there.

    Raises InputError if a file cannot be read, if two files were swapped, if no row is usable, or if list and metadata
    have no photo in common.
    """
    if settings.url_csv:
        _refuse_swapped(settings.url_csv, settings.metadata_csv)
        listed = read_url_csv(name, settings.url_csv)
        _refuse_without_urls(settings.url_csv, listed.photos)
    else:
        assert settings.image_dir is not None  # noqa: S101 an invariant of PhotoSetSettings
        listed = list_folder(name, settings.image_dir, [])
    contents = Contents(name, settings, listed, read_metadata_csv(name, settings.metadata_csv, scenes))
    _refuse_strangers(contents)
    return contents


def common_scenes(metadata_csvs: Iterable[Path]) -> dict[str, str]:
    """Scene -> column, for the columns `Prob_<scene>` that every metadata file has, in the first one's order."""
    headers = [[name.strip() for name in read_first_row(path)] for path in metadata_csvs]
    shared = [name for name in headers[0] if name.startswith(SCENE_PREFIX) and all(name in h for h in headers)]
    named = {re.sub(r"\W+", "_", name.removeprefix(SCENE_PREFIX)).strip("_").lower(): name for name in shared}
    return {scene: column for scene, column in named.items() if scene}


def _refuse_swapped(url_csv: Path, metadata_csv: Path) -> None:
    """Raise InputError if one of the two files is plainly the other one."""
    of_list, of_metadata = ([value.strip() for value in read_first_row(path)] for path in (url_csv, metadata_csv))
    if set(REQUIRED_COLUMNS) <= set(of_list):
        raise InputError(
            f"{url_csv}: given as a URL list, but its first row is the header of metadata ({','.join(of_list)[:80]}); "
            "expected rows `image_id,url`: give it as metadata and the other file as the URL list"
        )
    if len(of_metadata) == 2 and (of_metadata[1].lower() == "url" or "://" in of_metadata[1]):
        raise InputError(
            f"{metadata_csv}: given as metadata, but its first row is one of a URL list "
            f"({','.join(of_metadata)[:80]}); expected a header with at least {','.join(REQUIRED_COLUMNS)}: give it "
            "as the URL list and the other file as metadata"
        )


def _refuse_without_urls(path: Path, photos: pa.Table) -> None:
    """Raise InputError if no row of a URL list has a URL."""
    if not any(pc.count(origins_of(urls)).as_py() for urls in (photos["url"].slice(0, 1000), photos["url"])):
        found = repr(photos["url"][0].as_py()[:80]) if photos.num_rows else "no usable row"
        raise InputError(f"{path}: no row has an http(s) URL (found {found}); expected rows `image_id,url`")


def _refuse_strangers(contents: Contents) -> None:
    """Raise InputError if list and metadata have no photo in common."""
    if contents.has_both().any():
        return
    files = contents.settings
    first = [_first_id(table) for table in (contents.listed.photos, contents.metadata.photos)]
    raise InputError(
        f"{files.metadata_csv}: no photo of it is in {files.url_csv or files.image_dir}; the ids must be the same in "
        f"both, but the first ones are {first[1]} and {first[0]}"
    )


def _first_id(photos: pa.Table) -> str:
    return repr(photos["photo_id"][0].as_py()) if photos.num_rows else "(no usable row)"
