"""What a profile would have to do now: requests, hours, bytes, steps; before anything is started.

Here lives the sum of what `geo-pipeline plan` tells. Not here: what is due (due.py), the assumptions (experience.py),
the words (workload_text.py). The one idea: it reads what the crawl and the training would read, and changes nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.photos.settings import PhotoSetSettings, Role
from geo_pipeline.planning.due import SetState, set_state
from geo_pipeline.planning.experience import Experience, crawl_seconds, experience
from geo_pipeline.planning.origins import count_origins
from geo_pipeline.planning.training_plan import TrainingPlan, training_plan
from geo_pipeline.profile import Layout, Profile


@dataclass(frozen=True)
class Work:
    """Photos and what they cost. `listed` is the sum of `stored`, `refused`, `due_now` and `due_later`.

    `requests_least`: one for each due photo that has a usable URL; `requests_most`: all of them fail to the last retry,
    with as many redirects as allowed each time. `crawl_hours` is for the least. `busiest_origin` is where most photos
    are due. `disk_bytes`: in shards, if every due photo is stored.
    """

    listed: int
    stored: int
    refused: int
    due_now: int
    due_later: int
    next_due_at: datetime | None
    requests_least: int
    requests_most: int
    busiest_origin: str | None
    busiest_origin_photos: int
    crawl_hours: float
    download_bytes: int
    disk_bytes: int


@dataclass(frozen=True)
class SetWorkload:
    """The work of one photo set; the photos of a `folder` are read and cost no request."""

    name: str
    role: Role
    source: Literal["urls", "folder"]
    work: Work


@dataclass(frozen=True)
class Workload:
    """All that is to be done for a profile at a moment, with `free_bytes` left where its data lies."""

    profile: str
    now: datetime
    sets: tuple[SetWorkload, ...]
    total: Work
    experience: Experience
    concurrency: int
    per_host: int
    free_bytes: int
    fits_on_disk: bool
    training: TrainingPlan

    def to_json(self) -> dict[str, Any]:
        """The same as plain values: times in ISO 8601, unknown numbers null."""
        plain: dict[str, Any] = TypeAdapter(Workload).dump_python(self, mode="json")
        return plain


def workload(profile: Profile, layout: Layout, now: datetime, free_bytes: int) -> Workload:
    """What is due at `now` (UTC). Raises InputError naming missing input files, or files that cannot be read."""
    profile.require_inputs()
    states = {name: set_state(profile, layout, name, now) for name in profile.photo_sets}
    learned = _learned(profile, states)
    origins = {
        name: count_origins(state.due_urls) if profile.photo_sets[name].url_csv else {}
        for name, state in states.items()
    }
    sets = tuple(
        SetWorkload(name, settings.role, "urls" if settings.url_csv else "folder", work)
        for name, settings in profile.photo_sets.items()
        if (work := _work(settings, states[name], origins[name], profile.crawl, learned))
    )
    total = _total([each.work for each in sets], _added(origins.values()), profile.crawl, learned)
    trained = [each.work for each in sets if each.role is Role.TRAIN]
    return Workload(
        profile=profile.name,
        now=now,
        sets=sets,
        total=total,
        experience=learned,
        concurrency=profile.crawl.concurrency,
        per_host=profile.crawl.per_host,
        free_bytes=free_bytes,
        fits_on_disk=total.disk_bytes <= free_bytes,
        training=training_plan(profile, layout, sum(each.listed - each.refused for each in trained)),
    )


def free_space(folder: Path) -> int:
    """Bytes that are free on the disk where `folder` is, or will be."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free


def _learned(profile: Profile, states: Mapping[str, SetState]) -> Experience:
    """What earlier crawls and imports of the profile say."""
    crawled = [state.asked for name, state in states.items() if profile.photo_sets[name].url_csv]
    asked = pa.concat_tables(crawled) if crawled else next(iter(states.values())).asked.slice(0, 0)
    stored = pa.concat_tables(state.asked for state in states.values())
    return experience(asked, stored.filter(pc.is_valid(stored["length"])), profile.crawl)


def _work(
    settings: PhotoSetSettings, state: SetState, origins: Mapping[str, int], crawl: CrawlSettings, learned: Experience
) -> Work:
    """The work of one photo set whose due URLs are at `origins`."""
    due, requests = len(state.due_urls), sum(origins.values())
    return Work(
        listed=state.num_listed,
        stored=state.num_stored,
        refused=state.num_refused,
        due_now=due,
        due_later=state.num_later,
        next_due_at=state.next_due_at,
        requests_least=requests,
        requests_most=requests * (crawl.retries + 1) * (crawl.max_redirects + 1),
        busiest_origin=next(iter(origins), None),
        busiest_origin_photos=max(origins.values(), default=0),
        crawl_hours=crawl_seconds(origins, crawl, learned.seconds_per_request) / 3600,
        download_bytes=round(requests * learned.download_bytes),
        disk_bytes=round((requests if settings.url_csv else due) * learned.stored_bytes),
    )


def _total(works: Iterable[Work], origins: Mapping[str, int], crawl: CrawlSettings, learned: Experience) -> Work:
    """The work of all photo sets in one crawl: they share the limits."""
    each = list(works)
    busiest = max(origins, key=lambda origin: origins[origin], default=None)
    return Work(
        listed=sum(work.listed for work in each),
        stored=sum(work.stored for work in each),
        refused=sum(work.refused for work in each),
        due_now=sum(work.due_now for work in each),
        due_later=sum(work.due_later for work in each),
        next_due_at=min((work.next_due_at for work in each if work.next_due_at), default=None),
        requests_least=sum(work.requests_least for work in each),
        requests_most=sum(work.requests_most for work in each),
        busiest_origin=busiest,
        busiest_origin_photos=origins[busiest] if busiest else 0,
        crawl_hours=crawl_seconds(origins, crawl, learned.seconds_per_request) / 3600,
        download_bytes=sum(work.download_bytes for work in each),
        disk_bytes=sum(work.disk_bytes for work in each),
    )


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sums of several counts."""
    sums: dict[str, int] = {}
    for count in counts:
        for name, number in count.items():
            sums[name] = sums.get(name, 0) + number
    return sums
