"""`python -m geo_pipeline.world`: make the world's lists, serve its photos.

Here lives the parsing of the command line only. `serve` takes the port before it imports what it serves with, so
that a process which comes second costs nothing.
"""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from geo_pipeline.errors import explain
from geo_pipeline.world.process import HOST, PORT_TAKEN, detach, listen
from geo_pipeline.world.settings import DEFAULT_PORT

RESOURCES = Path(__file__).resolve().parents[2] / "resources" / "world"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 on success, 2 on a mistake of the user, 3 where `serve` finds its port taken."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except (ValueError, OSError) as error:
        message = explain(error)
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    """The command line: choose-places, make-lists, serve."""
    parser = argparse.ArgumentParser(prog="python -m geo_pipeline.world", description="The bundled world.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    choose = commands.add_parser("choose-places", help="draw the places of all photo sets from a table of coordinates")
    choose.add_argument("coordinates", type=Path, help="CSV with the columns LAT,LON")
    choose.add_argument("--output", type=Path, default=RESOURCES / "places.csv", help="default: %(default)s")
    choose.set_defaults(command=_choose_places)

    make = commands.add_parser("make-lists", help="make URL lists, metadata and the folder of pictures")
    make.add_argument("--port", type=int, default=DEFAULT_PORT, help="port in the URLs; default: %(default)s")
    make.add_argument("--places", type=Path, default=RESOURCES / "places.csv", help="default: %(default)s")
    make.add_argument("--output", type=Path, default=RESOURCES, help="folder to write; default: %(default)s")
    make.set_defaults(command=_make_lists)

    serve = commands.add_parser("serve", help=f"serve the photos on {HOST}")
    serve.add_argument("--port", type=int, default=DEFAULT_PORT, help="default: %(default)s")
    serve.add_argument("--lists", type=Path, default=RESOURCES, help="folder of make-lists; default: %(default)s")
    serve.add_argument("--grace-seconds", type=float, help="end after so long without a lease; default: never")
    serve.add_argument("--detach", action="store_true", help="return when the photos are served, and go on serving")
    serve.set_defaults(command=_serve)
    return parser


def _choose_places(options: argparse.Namespace) -> int:
    from geo_pipeline.world.places import choose_places, read_coordinates, write_places

    write_places(options.output, choose_places(read_coordinates(options.coordinates)))
    return 0


def _make_lists(options: argparse.Namespace) -> int:
    from geo_pipeline.world.lists import make_lists
    from geo_pipeline.world.places import read_places

    make_lists(read_places(options.places), options.output, options.port)
    return 0


def _serve(options: argparse.Namespace) -> int:
    try:
        listener = listen(options.port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        if not options.detach:
            print(f"error: port {options.port} on {HOST} is taken", file=sys.stderr)
        return PORT_TAKEN
    on_ready = detach() if options.detach else lambda: None

    import asyncio

    from geo_pipeline.world.server import serve

    asyncio.run(serve(listener, options.lists, grace_seconds=options.grace_seconds, on_ready=on_ready))
    return 0


if __name__ == "__main__":
    sys.exit(main())
