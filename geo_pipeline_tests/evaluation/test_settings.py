import pytest
from pydantic import ValidationError

from geo_pipeline.evaluation.settings import EvaluationSettings


def test_the_defaults_are_the_papers() -> None:
    settings = EvaluationSettings()
    assert (settings.crops, settings.combine, settings.radii_km) == (5, "max", (1, 25, 200, 750, 2500))


@pytest.mark.parametrize(
    "wrong",
    [{"crops": 3}, {"combine": "sum"}, {"radii_km": (200, 25)}, {"radii_km": ()}, {"radii_km": (0,)}, {"radius": 1}],
)
def test_a_wrong_setting_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EvaluationSettings.model_validate(wrong)
