from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from geo_pipeline.cells.settings import PartitioningSettings, PartitioningSource, PublishedPartitioning

source = TypeAdapter[PartitioningSettings | PublishedPartitioning](PartitioningSource)


def test_a_profile_names_a_rule_or_a_file() -> None:
    made = source.validate_python({"img_max": 5000})
    assert made == PartitioningSettings(img_min=50, img_max=5000, lvl_min=2, lvl_max=30)
    assert source.validate_python({"csv": "cells.csv"}) == PublishedPartitioning(csv=Path("cells.csv"), repair=False)
    assert source.validate_python({"csv": "cells.csv", "repair": True}).repair
    assert source.validate_python(made) is made


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"img_min": 50, "img_max": 50}, "img_min .50. must be smaller than img_max"),
        ({"img_max": 99, "lvl_min": 5, "lvl_max": 4}, "lvl_min .5. must not be greater than lvl_max"),
        ({"img_max": 99, "lvl_max": 31}, "less than or equal to 30"),
        ({"img_max": 99, "img_mn": 3}, "img_mn"),
        ({"csv": "a.csv", "img_max": 99}, "img_max"),
        ({"img_max": 99, "repair": True}, "repair"),
        ({}, "img_max"),
    ],
)
def test_a_wrong_rule_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        source.validate_python(wrong)
