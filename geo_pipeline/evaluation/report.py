"""The report: one HTML file that says how good the model is and what it was made from.

Here lives the making of the page; how it looks is in report.html.jinja and report.css. Not here: what it is made from
(report_contents.py), what its sections say (report_sections.py). The one idea: the page is a pure function of its
inputs and needs nothing outside itself: no script, no font, no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import jinja2

from geo_pipeline.evaluation.land import land_path
from geo_pipeline.evaluation.published import RADII_KM, comparisons
from geo_pipeline.evaluation.report_contents import ReportContents, SamplePhoto
from geo_pipeline.evaluation.report_sections import benchmarks, cells, photo_sets, shown_radii, training_figures
from geo_pipeline.evaluation.theme import NEAR_TO_FAR
from geo_pipeline.model.settings import CONFIDENCE_RADIUS_KM

_TEMPLATE, _STYLE = "report.html.jinja", "report.css"
_HERE = Path(__file__).parent


def render_report(contents: ReportContents) -> str:
    """The page as HTML: self-contained, light and dark, readable on a phone."""
    radii = list(dict.fromkeys(contents.accuracy["radius_km"].to_pylist()))
    return _template().render(
        contents=contents,
        style=(_HERE / _STYLE).read_text(encoding="utf-8"),
        radii=radii,
        benchmarks=list(benchmarks(contents, radii)),
        confidence_radius=CONFIDENCE_RADIUS_KM,
        shown_radii=shown_radii(radii),
        published_radii=RADII_KM,
        comparisons=comparisons(contents.accuracy, contents.titles),
        samples=_samples_by_kind(contents.samples),
        cells=[cells(name, table) for name, table in contents.cells.items()],
        photo_sets=photo_sets(contents.outcomes, contents.titles),
        training=training_figures(contents.metrics),
        land=land_path(),
        band_colours=NEAR_TO_FAR,
    )


def _samples_by_kind(samples: Sequence[SamplePhoto]) -> dict[tuple[str, str], list[SamplePhoto]]:
    """Photos by benchmark and by why they were chosen, in the order in which they come."""
    found: dict[tuple[str, str], list[SamplePhoto]] = {}
    for photo in samples:
        found.setdefault((photo.benchmark, photo.kind), []).append(photo)
    return found


@cache
def _template() -> jinja2.Template:
    """The page's template; text is escaped, figures are marked safe there."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"place": place, "km": kilometres}
    return environment.get_template(_TEMPLATE)


def place(latitude: float, longitude: float) -> str:
    """A coordinate for people, to a tenth of a degree: `48.9° N, 2.4° E`."""
    north, east = ("N" if latitude >= 0 else "S"), ("E" if longitude >= 0 else "W")
    return f"{abs(latitude):.1f}° {north}, {abs(longitude):.1f}° {east}"


def kilometres(distance_km: float) -> str:
    """A distance for people: two digits below 10 km, none above."""
    return f"{distance_km:.1f} km" if distance_km < 10 else f"{distance_km:,.0f} km"
