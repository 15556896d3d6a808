"""The `geo-pipeline` command: parses, calls the library, prints.

Not here: any work. Exit codes: 0 done, 1 a run failed, 2 wrong arguments, profile or input.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from geo_pipeline.errors import InputError, explain
from geo_pipeline.profile import PROJECT_FOLDER, Layout, Profile, layout_of, load_profile, profile_path
from geo_pipeline.store import read_table, write_bytes, write_text

Command = Callable[[argparse.Namespace, Profile, Layout], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        path = profile_path(options.profile)
        profile = load_profile(path)
        os.environ["GEO_PIPELINE_PROFILE"] = str(path)
        command: Command = options.command
        return command(options, profile, layout_of(profile))
    except KeyboardInterrupt:
        print("interrupted; run it again to go on", file=sys.stderr)
        return 130
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        print(f"geo-pipeline: {message}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="geo-pipeline", description="Photo URLs to a benchmarked geolocation model.")
    parser.add_argument(
        "--profile", help="a name in resources/ or a path ending in .yaml (default: GEO_PIPELINE_PROFILE, else world)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("install", install, "prepare the profile's Dagster home and print its path"),
        ("check", check, "check the profile and that its input files are there"),
        ("materialize", materialize, "make a selection of assets"),
        ("accuracy", accuracy, "print the accuracy table and the report's path"),
    ):
        subparser = commands.add_parser(name, help=text, description=text)
        subparser.set_defaults(command=command)
        if command is install:
            subparser.add_argument("--env-file", action="store_true", help="also write .env for a plain `dagster dev`")
        if command is materialize:
            subparser.add_argument("selection", nargs="?", default="*", help="Dagster's selection syntax (default: *)")
    return parser


def install(options: argparse.Namespace, _profile: Profile, layout: Layout) -> int:
    """Put dagster.yaml into the profile's Dagster home, and on request its path into an untracked .env."""
    home = install_dagster_home(layout)
    if options.env_file:
        environment = {"DAGSTER_HOME": home, "GEO_PIPELINE_PROFILE": os.environ["GEO_PIPELINE_PROFILE"]}
        write_text(PROJECT_FOLDER / ".env", "".join(f"{name}={value}\n" for name, value in environment.items()))
    print(home)
    return 0


def install_dagster_home(layout: Layout) -> str:
    """Make the profile's Dagster home with the project's dagster.yaml, and its path the process's `DAGSTER_HOME`."""
    source, target = PROJECT_FOLDER / "resources" / "dagster.yaml", layout.dagster_home / "dagster.yaml"
    if not target.exists() or target.read_bytes() != source.read_bytes():
        write_bytes(target, source.read_bytes())
    os.environ["DAGSTER_HOME"] = str(layout.dagster_home)
    return str(layout.dagster_home)


def check(_options: argparse.Namespace, profile: Profile, layout: Layout) -> int:
    """Say what the profile describes; every missing input file is an error."""
    profile.require_inputs()
    profile.training_config()
    print(f"{profile.name}: {profile.description}")
    for name, photo_set in profile.photo_sets.items():
        print(f"  {name}: {photo_set.role}, {photo_set.buckets} buckets, {photo_set.url_csv or photo_set.image_dir}")
    print(f"  files: {layout.folder}")
    return 0


def materialize(options: argparse.Namespace, profile: Profile, layout: Layout) -> int:
    """Make the selected assets, showing progress on standard error."""
    install_dagster_home(layout)
    from geo_pipeline.defs.launch import materialize as launch

    succeeded = launch(profile, options.selection, lambda line: print(line, file=sys.stderr, flush=True))
    if not succeeded:
        print("geo-pipeline: the run failed; mend the cause above and run the same command again", file=sys.stderr)
    return 0 if succeeded else 1


def accuracy(_options: argparse.Namespace, _profile: Profile, layout: Layout) -> int:
    """Print the accuracy table of the last benchmark and where the report is."""
    from geo_pipeline.evaluation.accuracy import accuracy_text

    print(accuracy_text(read_table(layout.table("benchmark_accuracy"))))
    report = layout.reports / "report.html"
    if not report.exists():
        raise InputError(f"{report}: the report is not there; materialize `report` first")
    print(f"\nReport: {report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
