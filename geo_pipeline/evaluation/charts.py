"""Curves and histograms as figures.

Here lives what is drawn against an axis. Not here: maps (maps.py), files (theme.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter

from geo_pipeline.evaluation.accuracy import HIERARCHY, head_label
from geo_pipeline.evaluation.breakdown import Breakdown
from geo_pipeline.evaluation.reliability import Reliability
from geo_pipeline.evaluation.theme import ACCENT, INK, MARK, MUTED, NEAR_TO_FAR, RULE, STEPS, styled

_SIZE = (5.4, 3.5)  # inches: small, so that the text stays readable on a phone
_MOST_BARS = 40
_NEAREST_KM = 0.5
_FARTHEST_KM = 20_100  # half the circumference, rounded up


def error_distribution_figure(predictions: pa.Table, radii_km: Sequence[int]) -> Figure:
    """For each head the share of photos whose answer is at most so far off, over a logarithmic axis of kilometres.

    predictions: `p_key, distance_km` of one benchmark and one model; rules beside f* are left out. The radii of the
    accuracy table are marked.
    """
    with styled():
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot(xscale="log", xlim=(_NEAREST_KM, _FARTHEST_KM), ylim=(0, 100))
        axes.set_xticks([1, 10, 100, 1000, 10_000], minor=False)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda km, _: f"{km:,.0f}"))
        axes.minorticks_off()
        axes.vlines(radii_km, 0, 100, colors=RULE, linewidths=1)
        distances = predictions["distance_km"].to_numpy()
        keys = np.array(predictions["p_key"].to_pylist())
        for p_key, colour in _line_colours(list(dict.fromkeys(keys.tolist()))).items():
            width = 2.4 if p_key == HIERARCHY else 1.8
            axes.plot(*_shares_within(distances[keys == p_key]), label=head_label(p_key), color=colour, linewidth=width)
        axes.set_xlabel("distance to the true place, km")
        _percent_axis(axes, "photos at most so far off")
        axes.legend(frameon=False, loc="upper left", labelcolor=INK)
    return figure


def reliability_figure(series: Mapping[str, Reliability]) -> Figure:
    """How often answers come true, by their probability: a line for each of at most four series.

    A dot is a bin, the larger the more answers it holds; on the diagonal probabilities are honest.
    """
    with styled():
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot(xlim=(0, 100), ylim=(0, 100))
        axes.plot([0, 100], [0, 100], color=RULE, linewidth=1.5, zorder=0)
        for (name, each), colour in zip(series.items(), (*STEPS, ACCENT)[-len(series) :], strict=True):
            filled = each.counts > 0
            at, shares = 100 * each.probabilities[filled], 100 * each.shares[filled]
            sizes = 8 + 90 * each.counts[filled] / each.counts.sum()
            label = f"{name} (error {100 * each.expected_error:.1f} %)"
            axes.plot(at, shares, color=colour, linewidth=1.6, label=label)
            axes.scatter(at, shares, s=sizes, color=colour, linewidths=0, zorder=3)
        axes.set_xlabel("probability that the answer has")
        axes.xaxis.set_major_formatter(PercentFormatter(decimals=0))
        _percent_axis(axes, "answers that are right")
        axes.legend(frameon=False, loc="best", labelcolor=INK, fontsize=9)
    return figure


def groups_figure(breakdown: Breakdown, radii_km: Sequence[int]) -> Figure:
    """For each group the percent of photos within each of at most three radii: a dot on its 95 % interval."""
    groups = breakdown.groups
    with styled():
        figure = Figure(figsize=(_SIZE[0], 1.1 + 0.42 * len(groups)), layout="constrained")
        axes = figure.add_subplot(xlim=(-1.5, 101.5), ylim=(len(groups) - 0.4, -0.6))  # the first group on top
        lanes = np.linspace(0.22, -0.22, len(radii_km)).tolist()
        for radius, colour, lane in zip(radii_km, reversed(STEPS), lanes, strict=False):
            shares = np.array([group.shares[radius] for group in groups])
            at = np.arange(len(groups)) + lane
            axes.hlines(at, shares[:, 1], shares[:, 2], colors=colour, linewidths=1.6, alpha=0.6)
            axes.plot(shares[:, 0], at, "o", color=colour, markersize=5, label=f"{radius:,} km")
        axes.set_yticks(range(len(groups)), [group.name.replace("_", " ") for group in groups])
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_formatter(PercentFormatter(decimals=0))
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        figure.legend(frameon=False, labelcolor=INK, loc="outside upper left", ncols=3, handletextpad=0.1)
    return figure


def loss_figure(epochs: Sequence[int], series: Mapping[str, Sequence[float]]) -> Figure:
    """Losses over the epochs, a line for each of at most four series."""
    with styled():
        figure, axes = _over_epochs(epochs, series)
        axes.set_ylabel("loss")
    return figure


def accuracy_figure(epochs: Sequence[int], series: Mapping[str, Sequence[float]]) -> Figure:
    """Shares of validation photos in percent over the epochs, a line for each of at most four series."""
    with styled():
        figure, axes = _over_epochs(epochs, series)
        axes.set_ylim(0, 100)
        _percent_axis(axes, "validation photos within")
    return figure


def histogram_figure(values: npt.NDArray[np.int64], label: str, counted: str, *, logarithmic: bool = False) -> Figure:
    """How often which whole numbers occur: a bar for each, or for several where they are too many.

    label: what the values are; counted: what has them (`cells`). With `logarithmic`, positive values that are too many
    for a bar each are drawn over a logarithmic axis.
    """
    least, most = int(values.min()), int(values.max())
    logarithmic = logarithmic and most - least >= _MOST_BARS
    edges = _edges_between_whole_numbers(least, most, logarithmic=logarithmic)
    with styled():
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot()
        counts, _, bars = axes.hist(values, bins=edges.tolist(), color=MARK, rwidth=1 if logarithmic else 0.85)
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_minor_locator(NullLocator())
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            above = [f"{count:,.0f}" if count else "" for count in counts]
            upright = 90 if len(counts) > 10 else 0  # else they would overlap
            axes.bar_label(bars, above, rotation=upright, fontsize=8, color=MUTED, padding=2)  # type: ignore[arg-type]
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        axes.margins(y=0.16)
        axes.set_xlabel(label)
        axes.set_ylabel(counted)
    return figure


def _edges_between_whole_numbers(least: int, most: int, *, logarithmic: bool) -> npt.NDArray[Any]:
    """Edges of at most so many bars that no bar stands for fewer whole numbers than one: else there would be gaps."""
    if logarithmic:
        return np.unique(np.floor(np.geomspace(least, most + 1, _MOST_BARS + 1).round(9))) - 0.5
    step = math.ceil((most - least + 1) / _MOST_BARS)
    return np.arange(least, most + 1 + step, step) - 0.5


def outcomes_figure(counts: pa.Table) -> Figure:
    """Outcomes as shares of photos: a bar for each row, `ok` first, then the most frequent failures.

    counts: a column of names, `photos`, `ok` and a column for each other outcome, the most frequent first.
    """
    names, photos = counts.column(0).to_pylist(), counts["photos"].to_numpy()
    parts = _outcome_parts(counts)
    with styled():
        figure = Figure(figsize=(_SIZE[0] * 1.5, 1.4 + 0.3 * len(names)), layout="constrained")
        axes = figure.add_subplot(xlim=(0, 100))
        left = np.zeros(len(names))
        for (outcome, numbers), colour in zip(parts.items(), (MARK, *reversed(NEAR_TO_FAR), MUTED), strict=False):
            shares = 100 * numbers / np.maximum(photos, 1)
            axes.barh(range(len(names)), shares, left=left, color=colour, label=outcome, height=0.7)
            left += shares
        labels = [f"{name}  ({count:,})" for name, count in zip(names, photos.tolist(), strict=True)]
        axes.set_yticks(range(len(names)), labels)
        axes.set_ylim(len(names) - 0.4, -0.6)  # the first row on top
        axes.xaxis.set_major_formatter(PercentFormatter(decimals=0))
        figure.legend(frameon=False, labelcolor=INK, loc="outside upper center", ncols=4)
    return figure


def _outcome_parts(counts: pa.Table) -> dict[str, npt.NDArray[np.int64]]:
    """Photos by outcome, one number for each row; outcomes beyond the colours are added up."""
    parts = {name: counts[name].to_numpy() for name in counts.column_names[2:]}
    shown = dict(list(parts.items())[: 1 + len(NEAR_TO_FAR)])
    rest = [numbers for name, numbers in parts.items() if name not in shown]
    return shown | ({"other outcomes": np.sum(rest, axis=0)} if rest else {})


def _over_epochs(epochs: Sequence[int], series: Mapping[str, Sequence[float]]) -> tuple[Figure, Axes]:
    """A figure with the series as lines, the last one in the accent colour."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    colours = (*STEPS, ACCENT)[-len(series) :]
    for (name, values), colour in zip(series.items(), colours, strict=True):
        axes.plot(epochs, values, label=name, color=colour, linewidth=2, marker="o", markersize=3.5)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y")
    axes.legend(frameon=False, labelcolor=INK)
    return figure, axes


def _line_colours(p_keys: Sequence[str]) -> dict[str, str]:
    """Steps of one colour for the partitionings in order, the accent for f*, which comes last and lies on top."""
    plain = [p_key for p_key in p_keys if not p_key.startswith(HIERARCHY)]
    colours = {p_key: STEPS[min(k, len(STEPS) - 1)] for k, p_key in enumerate(plain)}
    return colours | ({HIERARCHY: ACCENT} if HIERARCHY in p_keys else {})


def _shares_within(distances_km: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Points of the curve distance -> percent of photos at most so far off, at most a few hundred of them."""
    at = np.geomspace(_NEAREST_KM, _FARTHEST_KM, 300)
    within = np.searchsorted(np.sort(distances_km), at, side="right").astype(np.float64)
    return at, 100 * within / len(distances_km)


def _percent_axis(axes: Axes, label: str) -> None:
    axes.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    axes.set_ylabel(label, color=MUTED)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
