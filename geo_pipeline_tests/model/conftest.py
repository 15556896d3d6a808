from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """The tests' networks are too small for two threads, and two threads that wait for a busy core are slow."""
    torch.set_num_threads(1)
