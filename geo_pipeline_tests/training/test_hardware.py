from __future__ import annotations

import pytest
import torch

from geo_pipeline.training.hardware import resolve_precision


def test_a_chosen_precision_is_kept() -> None:
    assert resolve_precision("32-true") == "32-true"


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks the processor")
@pytest.mark.parametrize(
    ("capability", "precision"), [("avx512_bf16", "bf16-mixed"), ("amx_bf16", "bf16-mixed"), ("avx2", "32-true")]
)
def test_auto_takes_bfloat16_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, capability: str, precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {capability: True})
    assert resolve_precision("auto") == precision
