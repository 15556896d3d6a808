import pytest
from pydantic import ValidationError

from geo_pipeline.evaluation.settings import EvaluationSettings
from geo_pipeline.model.settings import RULES_KM


def test_the_defaults_are_the_papers() -> None:
    settings = EvaluationSettings()
    assert (settings.crops, settings.combine, settings.radii_km) == (5, "max", (1, 25, 200, 750, 2500))


def test_a_profile_knows_the_rules_of_the_library() -> None:
    assert EvaluationSettings.model_validate({"rules": list(RULES_KM)}).rules == tuple(RULES_KM)


@pytest.mark.parametrize(
    "wrong",
    [
        {"crops": 3},
        {"combine": "sum"},
        {"radii_km": (200, 25)},
        {"radii_km": ()},
        {"radii_km": (0,)},
        {"radius": 1},
        {"rules": ["mass1"]},
    ],
)
def test_a_wrong_setting_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EvaluationSettings.model_validate(wrong)
