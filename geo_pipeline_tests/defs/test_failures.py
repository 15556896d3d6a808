from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from geo_pipeline.defs.failures import USER_ERROR, plain_failures
from geo_pipeline.errors import InputError


def test_a_users_mistake_becomes_a_failure_with_the_message_alone() -> None:
    @plain_failures
    def step() -> None:
        raise InputError("lists.csv, row 3: doubled id")

    @plain_failures
    def generator() -> Iterator[int]:
        yield 1
        raise InputError("lists.csv, row 3: doubled id")

    for call in (step, lambda: list(generator())):
        with pytest.raises(dg.Failure) as caught:
            call()
        assert caught.value.description == "lists.csv, row 3: doubled id"
        assert USER_ERROR in caught.value.metadata


def test_a_bug_stays_a_bug() -> None:
    @plain_failures
    def step() -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        step()
