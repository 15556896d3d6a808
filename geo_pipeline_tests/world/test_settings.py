from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from geo_pipeline.world.settings import WorldSettings


def test_unknown_keys_and_impossible_ports_are_refused() -> None:
    assert WorldSettings(lists=Path("lists")).port == 8731
    with pytest.raises(ValidationError, match="prot"):
        WorldSettings.model_validate({"lists": "lists", "prot": 9000})
    for port in (80, 65_536):
        with pytest.raises(ValidationError, match="port"):
            WorldSettings(lists=Path("lists"), port=port)


@pytest.mark.parametrize("module", ["settings", "lease"])
def test_what_a_client_imports_is_light(module: str) -> None:
    heavy = ("aiohttp", "numpy", "PIL", "pyarrow", "pandas")
    code = f"import sys, geo_pipeline.world.{module}; print([name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
