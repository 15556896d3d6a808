"""The words of a first profile: YAML with comments that say what was found and why a number was chosen.

Pure functions of the findings. The one idea: a comment stands above the key that it explains, and holds no number that
was not counted.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import yaml

from geo_pipeline.planning.division import Division
from geo_pipeline.planning.holdout import BORDER_KM, HELD_OUT_LEVEL, Share
from geo_pipeline.planning.origins import not_public
from geo_pipeline.planning.suggestions import (
    MOST_REJECTED_PERCENT,
    SCENE_CONFIGS,
    SuggestedPartitioning,
    suggest_buckets,
    suggest_tolerance,
    suggest_training_config,
)
from geo_pipeline.planning.survey import Survey, rejected_percent
from geo_pipeline.profile import MAX_BUCKETS, PROJECT_FOLDER

_WIDTH = 118
_FIRST_REJECTS = 3
_FIRST_HOSTS = 8


@dataclass(frozen=True)
class SeenPlaces:
    """`num_near` of the `num_photos` of a benchmark with a coordinate lie within BORDER_KM of a training photo."""

    name: str
    num_near: int
    num_photos: int


@dataclass(frozen=True)
class Findings:
    """What a first profile tells: `surveys` of all sets, training first; `division` where sets were held out."""

    name: str
    output: Path
    contact: str | None
    scenes: Mapping[str, str]
    surveys: Sequence[Survey]
    partitionings: Mapping[str, SuggestedPartitioning]
    division: Division | None
    seen_places: Sequence[SeenPlaces]


def profile_yaml(found: Findings) -> str:
    """The profile as text that `load_profile` reads."""
    sections = (_head, _photo_sets, _scenes, _crawl, _partitionings, _training, _checks)
    return "\n".join(line for section in sections for line in section(found)) + "\n"


def summary_text(found: Findings, lists: Sequence[Path]) -> str:
    """What to print when the profile is written: the sets, the cells, the files and what comes next."""
    lines = [f"wrote {found.output}", *(f"wrote {path}" for path in lists)]
    for each in found.surveys:
        lines.append(f"  {each.name}: {_photos(each)}")
        lines += [f"    {line}" for line in _rejects(each)]
    cells = ", ".join(f"{name} {each.num_cells:,}" for name, each in found.partitionings.items())
    lines += [f"  cells of the suggested partitionings: {cells}", *(f"  {line}" for line in _held_out(found))]
    lines.append(f"next: read the comments, then `geo-pipeline --profile {found.output} plan`, then `… materialize`")
    return "\n".join(map(_plain, lines))


def _head(found: Findings) -> Iterator[str]:
    yield from _comment(
        f"The experiment {found.name}: a first profile, made by `geo-pipeline init` from the files named below. The "
        f"numbers in the comments were counted in them. Change what you like. `geo-pipeline --profile {found.output}` "
        "with `check` says whether it is complete, with `plan` what it would take, with `materialize` it does it."
    )
    yield f"name: {_scalar(found.name)}"
    yield f"description: {_scalar(f'Photos of {found.name}; see the comments of its profile')}"


def _photo_sets(found: Findings) -> Iterator[str]:
    yield ""
    yield from _comment(" ".join(_held_out(found)))
    yield "photo_sets:"
    buckets = suggest_buckets({each.name: each.num_listed for each in found.surveys}, MAX_BUCKETS)
    for each in found.surveys:
        yield from _photo_set(each, found, buckets[each.name])


def _photo_set(each: Survey, found: Findings, buckets: int) -> Iterator[str]:
    """One photo set and what was found in its files."""
    yield f"  {each.name}:"
    facts = (_photos(each), _hosts(each), _who_and_where(each), *_rejects(each), *_seen(each, found))
    for fact in filter(None, facts):
        yield from _comment(fact, indent=4)
    yield f"    role: {each.settings.role}"
    for key in ("url_csv", "image_dir", "metadata_csv"):
        if path := getattr(each.settings, key):
            yield f"    {key}: {_scalar(_reference(path, found.output.parent))}"
    yield f"    buckets: {buckets} # the unit of crawling: about {each.num_listed // buckets:,} photos each"
    yield "    # max_photos: 1000 # a trial: so many photos, chosen by a hash of the id"


def _scenes(found: Findings) -> Iterator[str]:
    yield ""
    if not found.scenes:
        yield from _comment("No scenes: no column Prob_<scene> stands in all metadata files.")
        return
    yield "scenes: # scene -> column of its probability in the metadata"
    for scene, column in found.scenes.items():
        yield f"  {_scalar(scene)}: {_scalar(column)}"


def _crawl(found: Findings) -> Iterator[str]:
    yield ""
    yield "crawl:"
    contact = found.contact or "https://example.org/your-crawler"
    yield from _comment("Who runs the crawl: site owners read this in the user agent.", indent=2)
    yield f"  {'' if found.contact else '# '}contact: {_scalar(contact)}"
    yield "  image_size: 320 # short side of the stored photos, pixels"
    yield "  concurrency: 64 # requests in flight at once, over all hosts"
    yield "  per_host: 8 # and to one host; `plan` says how long that takes"
    if refused := sorted({place for each in found.surveys for place in not_public(each.origins)}):
        yield from _comment(
            "These hosts of the lists are not public addresses, and a crawl refuses them. If you trust the lists, "
            "allow them by removing the # below:",
            indent=2,
        )
        yield f"  # allow_origins: [{', '.join(_scalar(place) for place in refused)}]"


def _partitionings(found: Findings) -> Iterator[str]:
    train = found.surveys[0]
    yield ""
    yield from _comment(
        "Cells are split while they hold more than img_max training photos and kept with more than img_min. The paper "
        "has 50 and 5000, 2000, 1000 for 4.7 million photos; these keep its proportions for the "
        f"{train.num_with_metadata:,} coordinates of the training metadata."
    )
    yield "partitionings:"
    for name, each in found.partitionings.items():
        yield f"  # {each.num_cells:,} cells; {each.percent_without_class:.2f} % of the training photos are in none"
        yield f"  {name}: {{ img_min: {each.settings.img_min}, img_max: {each.settings.img_max} }}"


def _training(found: Findings) -> Iterator[str]:
    config = PROJECT_FOLDER / "resources" / "training" / suggest_training_config(found.surveys[0].num_usable)
    yield ""
    yield from _comment(
        "baseM.yml is the paper's: ResNet-50, 224 pixels, 16 epochs, for a GPU. world.yml is a small network for 64 "
        "pixels that two processor cores train in minutes; it was made for views of the earth and mirrors no picture."
    )
    yield f"training: {_scalar(_reference(config, found.output.parent))}"
    if found.scenes:
        scenes = config.with_name(SCENE_CONFIGS[config.name])
        yield from _comment("One more network for each scene, fine-tuned on its photos; remove the # to train them.")
        yield f"# scene_training: {_scalar(_reference(scenes, found.output.parent))}"
    yield "evaluation:"
    yield "  crops: 5"


def _checks(found: Findings) -> Iterator[str]:
    seen = rejected_percent(list(found.surveys))
    yield ""
    yield "checks:"
    yield "  min_ok_percent: 50 # of each set's photos; old lists have lost many: see the outcomes of the first crawl"
    yield from _comment(f"Bad rows: {seen:.3g} % were found in the lists or in the metadata.", indent=2)
    if seen > MOST_REJECTED_PERCENT:
        yield from _comment("That is more than a few: look at them, or the check stops the pipeline.", indent=2)
    yield f"  max_rejected_percent: {suggest_tolerance(seen):g}"


def _photos(each: Survey) -> str:
    """How many photos a set has, and what is missing of some."""
    listed, other = ("photos listed", "URL") if each.settings.url_csv else ("pictures in the folder", "picture")
    missing = (
        (each.num_listed - each.num_usable, "have no row in the metadata"),
        (each.num_with_metadata - each.num_usable, f"rows of the metadata have no {other}"),
    )
    gaps = "".join(f"; {number:,} {what}" for number, what in missing if number)
    return f"{each.num_listed:,} {listed}, {each.num_usable:,} of them with a coordinate{gaps}."


def _hosts(each: Survey) -> str:
    if not each.settings.url_csv:
        return ""
    first = [f"{origin} ({number:,})" for origin, number in list(each.origins.items())[:_FIRST_HOSTS]]
    more = len(each.origins) - len(first)
    invalid = f"; {each.num_invalid_urls:,} are no http(s) URLs" if each.num_invalid_urls else ""
    return f"Hosts: {', '.join(first)}{f' and {more:,} more' if more else ''}{invalid}."


def _who_and_where(each: Survey) -> str:
    box = each.box
    authors = f"{each.num_authors:,} authors" if each.num_authors else "No authors"
    return (
        f"{authors}; latitudes {box.south:.3f} to {box.north:.3f}, longitudes {box.west:.3f} to {box.east:.3f} degrees."
    )


def _rejects(each: Survey) -> Iterator[str]:
    """The bad rows of a set: their number and the first of them."""
    rejects = pa.concat_tables([each.list_rejects, each.metadata_rejects])
    if rejects.num_rows:
        first = rejects.slice(0, _FIRST_REJECTS).to_pylist()
        reasons = "; ".join(f"{Path(row['file']).name}, row {row['row']}: {row['reason']}" for row in first)
        yield f"{rejects.num_rows:,} bad rows cannot be used, the first: {reasons}."


def _seen(each: Survey, found: Findings) -> Iterator[str]:
    """How much of a benchmark repeats places of the training."""
    for seen in found.seen_places:
        if seen.name == each.name and not seen.num_near:
            yield f"None of its {seen.num_photos:,} coordinates lies within {BORDER_KM:g} km of a training photo."
        elif seen.name == each.name:
            yield (
                f"{seen.num_near:,} of its {seen.num_photos:,} coordinates lie within {BORDER_KM:g} km of a training "
                "photo: the accuracy on those is partly memory of the place."
            )


def _held_out(found: Findings) -> Iterator[str]:
    """How sets were held out, in sentences."""
    division = found.division
    if division is None:
        return
    names = " and ".join(part.name for share, part in division.parts.items() if share is not Share.TRAIN)
    yield (
        f"{names}: held out of the training photos by place, in whole S2 cells of level {HELD_OUT_LEVEL} (about 70 km "
        "wide) in the order of a hash of the cell; cells with a great share of the photos stay in training."
    )
    if Share.BENCHMARK in division.parts:
        yield (
            f"{division.num_border:,} photos within {BORDER_KM:g} km of a benchmark photo are in none of the sets, so "
            "that no place of the benchmark is one of the others."
        )
    if division.source.settings.url_csv:
        yield "The files that you gave are unchanged; these sets are copies of their rows."
    else:
        yield "The sets share the folder: each stores all its pictures and uses those that its metadata names."


def _comment(text: str, indent: int = 0) -> list[str]:
    """A text as lines of a comment; none for an empty text."""
    start = " " * indent + "# "
    return textwrap.wrap(
        _plain(text),
        _WIDTH,
        initial_indent=start,
        subsequent_indent=start,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _plain(text: str) -> str:
    """A text without the characters that YAML or a terminal would take for something else."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _scalar(text: str) -> str:
    """A text as a YAML scalar in one line."""
    return yaml.safe_dump(text, width=float("inf"), allow_unicode=True).removesuffix("\n").removesuffix("\n...")


def _reference(path: Path, folder: Path) -> str:
    """A path as the profile names it: relative if it lies below the profile's folder."""
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
