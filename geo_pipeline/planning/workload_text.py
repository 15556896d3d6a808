"""A workload as text for a terminal.

Pure functions. The one idea: one aligned table, and below it in sentences what the numbers rest on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from geo_pipeline.planning.experience import Experience
from geo_pipeline.planning.training_plan import TrainingPlan
from geo_pipeline.planning.workload import Work, Workload

_HEADER = ("photo set", "role", "listed", "stored", "refused", "due now", "later")
_COST_HEADER = ("requests", "time", "download", "disk")
_TEXT_COLUMNS = 2


def workload_text(workload: Workload) -> str:
    """The table of photo sets, then the crawl, the disk and the training in sentences."""
    rows = [
        [*_HEADER, *_COST_HEADER],
        *([each.name, each.role, *_numbers(each.work, each.source)] for each in workload.sets),
        ["in all", "", *_numbers(workload.total, "urls")],
    ]
    title = f"{workload.profile}: what is due on {workload.now:%Y-%m-%d %H:%M} UTC"
    notes = (*_crawl_notes(workload), *_disk_notes(workload), *_training_notes(workload.training))
    return "\n".join([title, "", *_aligned(rows), "", *notes])


def _numbers(work: Work, source: str) -> list[str]:
    is_crawled = source == "urls"
    return [
        *(f"{n:,}" for n in (work.listed, work.stored, work.refused, work.due_now, work.due_later)),
        f"{work.requests_least:,}" if is_crawled else "none",
        _duration(work.crawl_hours * 3600) if is_crawled else "-",
        _bytes(work.download_bytes) if is_crawled else "-",
        _bytes(work.disk_bytes),
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of equal length with columns of equal width: text to the left, numbers to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    is_text = [k < _TEXT_COLUMNS for k in range(len(widths))]
    cells = (
        [cell.ljust(w) if text else cell.rjust(w) for cell, w, text in zip(row, widths, is_text, strict=True)]
        for row in rows
    )
    return ["  ".join(row).rstrip() for row in cells]


def _crawl_notes(workload: Workload) -> Iterator[str]:
    total = workload.total
    if total.due_later and total.next_due_at:
        first = f"{total.next_due_at:%Y-%m-%d %H:%M} UTC"
        yield f"later: {total.due_later:,} photos wait for another try, the first until {first}"
    if not total.requests_least:
        yield "crawl: nothing to ask for now"
        return
    yield (
        f"crawl: {total.requests_least:,} requests if each succeeds at once, at most {total.requests_most:,} with all "
        "retries and redirects"
    )
    yield (
        f"       {workload.concurrency} at once and {workload.per_host} to one host; the busiest is "
        f"{total.busiest_origin} with {total.busiest_origin_photos:,} photos"
    )
    yield from _experience_notes(workload.experience)


def _experience_notes(learned: Experience) -> Iterator[str]:
    """What the hours and the bytes rest on."""
    rate = f"measured on {learned.num_asked:,} photos" if learned.num_asked else "assumed"
    size = f"measured on {learned.num_stored:,} stored photos" if learned.num_stored else "assumed"
    yield f"       {learned.seconds_per_request:.2g} s a request ({rate}); failures and pauses come on top"
    yield (
        f"       {_bytes(learned.download_bytes)} a download and {_bytes(learned.stored_bytes)} a stored photo ({size})"
    )


def _disk_notes(workload: Workload) -> Iterator[str]:
    needed, free = _bytes(workload.total.disk_bytes), _bytes(workload.free_bytes)
    if workload.fits_on_disk:
        yield f"disk:  {needed} for shards, {free} free"
    else:
        yield f"disk:  NOT ENOUGH: {needed} for shards, {free} free: make room or point GEO_PIPELINE_HOME elsewhere"


def _training_notes(training: TrainingPlan) -> Iterator[str]:
    yield f"model: {training.architecture} on {training.image_size} pixels, {_parameters(training)}"
    yield f"       classes: {_classes(training)}"
    most = "" if training.is_downloaded else " at most"
    yield (
        f"       {training.num_photos:,} photos{most}; {training.epochs} epochs of {training.steps_per_epoch:,} steps "
        f"with {training.batch_size} photos: {training.steps:,} steps"
    )
    if training.scenes:
        epochs = f"{training.scene_epochs} epoch{'s' if training.scene_epochs > 1 else ''}"
        yield f"       then for {epochs} a network for each scene: {', '.join(training.scenes)}"


def _classes(training: TrainingPlan) -> str:
    known = [f"{name} {number:,}" for name, number in training.num_classes.items() if number is not None]
    unknown = [name for name, number in training.num_classes.items() if number is None]
    return ", ".join([*known, *([f"{', '.join(unknown)} unknown until cells are made"] if unknown else [])])


def _parameters(training: TrainingPlan) -> str:
    if training.num_parameters is None:
        return "number of parameters unknown until cells are made"
    return f"{training.num_parameters / 1e6:.1f} million parameters"


def _duration(seconds: float) -> str:
    """A duration in the unit that suits it."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def _bytes(number: float) -> str:
    """A number of bytes in the unit that suits it, powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if number >= 10 or unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
