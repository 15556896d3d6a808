"""Users' mistakes on the Dagster page: the same one message as on the command line, without a stack trace."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar, cast

import dagster as dg

from geo_pipeline.errors import explain

USER_ERROR = "user_error"
"""Metadata of a failure that the user can mend, so that the command line can tell it from a bug."""

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def user_errors_as_failures() -> Iterator[None]:
    """Turn an error that a user can mend into a step failure that says just that; let others pass."""
    try:
        yield
    except Exception as error:
        message = explain(error)
        if message is None or isinstance(error, dg.Failure):
            raise
        raise dg.Failure(description=message, metadata={USER_ERROR: True}, allow_retries=False) from None


def plain_failures(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap an asset's or check's function (also a generator) in `user_errors_as_failures`."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with user_errors_as_failures():
            return function(*args, **kwargs)

    @functools.wraps(function)
    def generate(*args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401 -- an iterator of the function's own events
        with user_errors_as_failures():
            yield from function(*args, **kwargs)  # type: ignore[misc]

    wrapper: Any = generate if inspect.isgeneratorfunction(function) else call
    # Dagster compares the annotation of `context` with its classes, so it must not stay a string
    wrapper.__signature__ = inspect.signature(function, eval_str=True)
    return cast("Callable[P, R]", wrapper)
