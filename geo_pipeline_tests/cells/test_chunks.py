from collections.abc import Iterator

import pytest

from geo_pipeline.cells import chunks


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("num_rows", [0, 1, 9, 10, 11, 95])
def test_every_row_is_worked_on_once_whatever_the_number_of_threads(
    monkeypatch: pytest.MonkeyPatch, num_rows: int, threads: int
) -> None:
    monkeypatch.setattr(chunks, "num_threads", lambda: threads)
    taken = chunks.in_threads(num_rows, lambda supply: [k for rows in supply for k in range(num_rows)[rows]], 10)
    assert 1 <= len(taken) <= threads
    assert sorted(k for rows in taken for k in rows) == list(range(num_rows))


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_in_a_thread_reaches_the_caller(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    def fail(supply: Iterator[slice]) -> None:
        for rows in supply:
            if rows.start == 50:
                raise RuntimeError("chunk 5")

    monkeypatch.setattr(chunks, "num_threads", lambda: threads)
    with pytest.raises(RuntimeError, match="chunk 5"):
        chunks.in_threads(95, fail, 10)


def test_there_is_at_least_one_thread() -> None:
    assert chunks.num_threads() >= 1
