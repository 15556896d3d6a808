"""The `geo-pipeline` command: parses, calls the library, prints.

Not here: any work. Exit codes: 0 done, 1 a run failed, 2 wrong arguments, profile or input.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from geo_pipeline import (
    cli_cells,
    cli_download,
    cli_evaluate,
    cli_export,
    cli_game,
    cli_predict,
    cli_show_cells,
    cli_train,
)
from geo_pipeline.arguments import options_of, unknown_argument, with_hyphens
from geo_pipeline.errors import InputError, explain
from geo_pipeline.lock import LockedError
from geo_pipeline.profile import PROJECT_FOLDER, Layout, Profile, layout_of, load_profile, profile_path
from geo_pipeline.store import read_table, write_bytes, write_text

if TYPE_CHECKING:
    import dagster as dg

Command = Callable[[argparse.Namespace, Profile, Layout], int]
_BUCKET_NUMBER = re.compile(r"-\d{3}$")


def console() -> int:
    """Run the command line as the whole of a process.

    Looking for garbage, of which imports make none, would take a third of a short command's time: half of that while
    importing, half when the process ends. A download takes hours and must not keep its garbage.
    """
    command = "".join(with_hyphens(sys.argv[1:2], command_first=True))
    if command in {"download", *cli_cells.COMMANDS}:
        cli_download.keep_pandas_out()
    if command != "download":
        gc.set_threshold(1_000_000, 50, 100)
    code = main()
    if sys.modules.keys().isdisjoint({"duckdb", "triton"}):  # they would complain, at the end, of all that is not freed
        gc.freeze()
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = _parse(arguments)
    try:
        if options.without_profile is not None:
            code: int = options.without_profile(options)
            return code
        path = profile_path(options.profile)
        profile = load_profile(path)
        os.environ["GEO_PIPELINE_PROFILE"] = str(path)
        command: Command = options.command
        return command(options, profile, layout_of(profile))
    except KeyboardInterrupt:
        print("interrupted; run it again to go on", file=sys.stderr)
        return 130
    except LockedError as error:
        print(f"geo-pipeline: this profile is being materialized by {error}", file=sys.stderr)
        return 1
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        print(f"geo-pipeline: {message}", file=sys.stderr)
        return 2


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; ends the process with code 2 and the nearest option where one is not known."""
    parser = _parser()
    given = sys.argv[1:] if arguments is None else arguments
    options, unknown = parser.parse_known_args(with_hyphens(given, command_first=True))
    if unknown:
        name = unknown[0].partition("=")[0]
        before = f"unknown argument {name}; it goes before the command" if name in options_of(parser) else None
        options.parser.error(before or unknown_argument(name, options.parser))
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="geo-pipeline", description="Photo URLs to a benchmarked geolocation model.")
    parser.add_argument(
        "--profile", help="a name in resources/ or a path ending in .yaml (default: GEO_PIPELINE_PROFILE, else world)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, add_options, text in (
        ("download", None, cli_download.add_options, "fetch a list of URLs into shards; needs no profile"),
        ("show-cells", None, cli_show_cells.add_options, "a page with a map of cells, for any browser"),
        ("export", None, cli_export.add_options, "the trained network as one file for other programs"),
        ("train", None, cli_train.add_options, "train a network, of the profile or of tables of your own"),
        ("evaluate", None, cli_evaluate.add_options, "how good a network is, on benchmarks or folders of pictures"),
        ("predict", None, cli_predict.add_options, "where the photos of a folder were taken"),
        ("init", None, _init_options, "look at your lists and write a profile for them"),
        ("install", install, _install_options, "prepare the profile's Dagster home and print its path"),
        ("check", check, None, "check the profile and that its input files are there"),
        ("plan", plan, _json_option, "what is due: photos, requests, hours, disk, what will be trained"),
        ("status", status, _json_option, "how each asset and bucket stands, and why"),
        ("materialize", materialize, _materialize_options, "make a selection of assets"),
        ("migrate-buckets", migrate_buckets, None, "move photos to another number of buckets, without a request"),
        ("game", cli_game.run, cli_game.add_options, "benchmark photos as a game against the model, for any browser"),
        ("accuracy", accuracy, None, "print the accuracy table and the report's path"),
    ):
        subparser = commands.add_parser(name, help=text, description=text)
        subparser.set_defaults(command=command, without_profile=_WITHOUT_PROFILE.get(name), parser=subparser)
        if add_options:
            add_options(subparser)
    cli_cells.add_commands(commands)
    return parser


def _init_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", required=True, help="name of the experiment")
    for role, text in (("", "training photos"), ("validation-", "validation photos"), ("benchmark-", "benchmark")):
        parser.add_argument(f"--{role}url-csv", type=Path, metavar="FILE", help=f"URL list of the {text}: image_id,url")
        parser.add_argument(f"--{role}metadata-csv", type=Path, metavar="FILE", help=f"metadata of the {text}")
    parser.add_argument("--image-dir", type=Path, metavar="DIR", help="a folder of pictures: a benchmark")
    parser.add_argument("--image-metadata-csv", type=Path, metavar="FILE", help="metadata of these pictures")
    parser.add_argument("--contact", help="URL or address of whoever crawls, for site owners")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the profile (default: resources/NAME.yaml)")


def _install_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--env-file", action="store_true", help="also write .env for a plain `dagster dev`")


def _json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _materialize_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("selection", nargs="?", help="Dagster's selection syntax (default: *)")
    parser.add_argument("--stale", action="store_true", help="only what is not up to date, and what follows from it")
    parser.add_argument("--bucket", nargs="+", default=[], metavar="KEY", help="only these buckets of what has buckets")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument("--no-wait", action="store_true", help="give up if another process materializes this profile")


def init(options: argparse.Namespace) -> int:
    """Write a commented profile for somebody's own lists."""
    from geo_pipeline.planning.first_profile import FirstProfileRequest, first_profile

    given = {field.name: getattr(options, field.name) for field in fields(FirstProfileRequest)}
    output = options.output or PROJECT_FOLDER / "resources" / f"{options.name}.yaml"
    print(first_profile(FirstProfileRequest(**{**given, "output": output})).text)
    return 0


def plan(options: argparse.Namespace, profile: Profile, layout: Layout) -> int:
    """Print what is due, before anything is started."""
    from geo_pipeline.defs.bucket_counts import require_bucket_counts
    from geo_pipeline.planning.workload import free_space, workload
    from geo_pipeline.planning.workload_text import workload_text

    require_bucket_counts(profile, layout)
    found = workload(profile, layout, datetime.now(UTC), free_space(layout.folder))
    print(json.dumps(found.to_json(), indent=2) if options.json else workload_text(found))
    return 0


def install(options: argparse.Namespace, profile: Profile, layout: Layout) -> int:
    """Put dagster.yaml into the profile's Dagster home, and on request its path into an untracked .env.

    The input files are observed as well, so that the first run from the page knows what it has read.
    """
    home = install_dagster_home(layout)
    if options.env_file:
        environment = {"DAGSTER_HOME": home, "GEO_PIPELINE_PROFILE": os.environ["GEO_PIPELINE_PROFILE"]}
        write_text(PROJECT_FOLDER / ".env", "".join(f"{name}={value}\n" for name, value in environment.items()))
    from geo_pipeline.defs.inputs import report_inputs
    from geo_pipeline.defs.resources import Experiment

    with dagster_instance(layout) as instance:
        report_inputs(instance, Experiment(profile, layout))
    print(home)
    return 0


def install_dagster_home(layout: Layout) -> str:
    """Make the profile's Dagster home with the project's dagster.yaml, and its path the process's `DAGSTER_HOME`."""
    source, target = PROJECT_FOLDER / "resources" / "dagster.yaml", layout.dagster_home / "dagster.yaml"
    if not target.exists() or target.read_bytes() != source.read_bytes():
        write_bytes(target, source.read_bytes())
    os.environ["DAGSTER_HOME"] = str(layout.dagster_home)
    return str(layout.dagster_home)


@contextmanager
def dagster_instance(layout: Layout) -> Iterator[dg.DagsterInstance]:
    """The profile's Dagster instance. Raises InputError if a newer version of Dagster wrote it."""
    from geo_pipeline.defs.instance import open_instance

    install_dagster_home(layout)
    with open_instance(layout) as instance:
        yield instance


def check(_options: argparse.Namespace, profile: Profile, layout: Layout) -> int:
    """Say what the profile describes; every missing input file is an error."""
    profile.require_inputs()
    profile.training_config()
    if profile.scene_training:
        profile.scene_config()
    print(f"{profile.name}: {profile.description}")
    for name, photo_set in profile.photo_sets.items():
        print(f"  {name}: {photo_set.role}, {photo_set.buckets} buckets, {photo_set.url_csv or photo_set.image_dir}")
    print(f"  files: {layout.folder}")
    return 0


def status(options: argparse.Namespace, profile: Profile, layout: Layout) -> int:
    """Print how each asset and bucket stands."""
    with dagster_instance(layout) as instance:
        from geo_pipeline.definitions import defs
        from geo_pipeline.defs.resources import Experiment
        from geo_pipeline.defs.status import current_status, status_text

        found = current_status(instance, Experiment(profile, layout), defs)
    print(json.dumps(found.as_json(), indent=2) if options.json else status_text(found))
    return 0


def materialize(options: argparse.Namespace, profile: Profile, layout: Layout) -> int:
    """Make the selected assets, showing progress on standard error; the closing table goes to standard output."""
    with dagster_instance(layout) as instance:
        from geo_pipeline.definitions import defs
        from geo_pipeline.defs.launch import Launch, Request
        from geo_pipeline.defs.outcome import failure_text, outcome_text, raise_if_user_can_mend
        from geo_pipeline.defs.resources import Experiment

        selection, buckets = _selection_and_buckets(options)
        request = Request(selection, buckets, options.stale, not options.no_wait)
        launch = Launch(instance, Experiment(profile, layout), defs, request)
        if options.dry_run:
            print(launch.plan_text())
            return 0
        outcome = launch.run(lambda line: print(line, file=sys.stderr, flush=True))
    print(outcome_text(outcome))
    raise_if_user_can_mend(outcome.events())
    if outcome.has_failed:
        print(failure_text(outcome), file=sys.stderr)
    return 1 if outcome.has_failed else 0


def _selection_and_buckets(options: argparse.Namespace) -> tuple[str, tuple[str, ...]]:
    """The two, also where the selection comes last and argparse takes it for one more bucket."""
    selection, buckets = options.selection, list(options.bucket)
    if selection is None and len(buckets) > 1 and not _BUCKET_NUMBER.search(buckets[-1]):
        selection = buckets.pop()
    return selection or "*", tuple(buckets)


def migrate_buckets(_options: argparse.Namespace, profile: Profile, layout: Layout) -> int:
    """Move the photos of every set whose number of buckets has changed in the profile."""
    from geo_pipeline.defs.bucket_counts import migrate

    results = migrate(profile, layout, print)
    for name, done in results.items():
        lost = f", {done.num_damaged} unreadable ones will be fetched again" if done.num_damaged else ""
        print(f"{name}: {done.num_photos} photos in {done.num_after} buckets{lost}")
    print(f"next: geo-pipeline --profile {profile.name} materialize --stale" if results else "nothing to move")
    return 0


def accuracy(_options: argparse.Namespace, profile: Profile, layout: Layout) -> int:
    """Print the accuracy table of the last benchmark, the published rows of its benchmarks, and where the report is."""
    from geo_pipeline.evaluation.accuracy import accuracy_text
    from geo_pipeline.evaluation.published import comparison_text, comparisons

    table = read_table(layout.table("benchmark_accuracy"))
    titles = {name: each.title for name, each in profile.photo_sets.items() if each.title}
    print("\n\n".join([accuracy_text(table), *(comparison_text(each) for each in comparisons(table, titles))]))
    report = layout.reports / "report.html"
    if not report.exists():
        raise InputError(f"{report}: the report is not there; materialize `report` first")
    print(f"\nReport: {report}")
    return 0


_WITHOUT_PROFILE: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "download": cli_download.run,
    "evaluate": cli_evaluate.run,
    "export": cli_export.run,
    "init": init,
    "predict": cli_predict.run,
    "show-cells": cli_show_cells.run,
    "train": cli_train.run,
}
"""Commands that read a profile themselves, or none."""


if __name__ == "__main__":
    sys.exit(console())
