"""What is answered: by a product of probabilities, by mass around a point, and with which confidence."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from geo_pipeline.cells.distance import great_circle_km
from geo_pipeline.model.calibration import Beliefs, beliefs_of
from geo_pipeline.model.decisions import Decider, centre, rule_key
from geo_pipeline.model.geography import HIERARCHY, Geography, Partitioning
from geo_pipeline.model.places import Places
from geo_pipeline.model.settings import RULES_KM
from geo_pipeline_tests.model import made_up

CPU = torch.device("cpu")
NUM_PHOTOS = 40


def random_geography(num_cells: int = 80) -> Geography:
    """Fine cells in ten clusters; their coarse cell is the cluster."""
    rng = np.random.default_rng(7)
    middles = rng.uniform(-70, 70, 10), rng.uniform(-170, 170, 10)
    cluster = np.arange(num_cells) % 10
    latitudes, longitudes = (part[cluster] + rng.normal(0, 4, num_cells) for part in middles)
    fine = Partitioning("fine", tuple(f"1{k:03x}01" for k in range(num_cells)), latitudes, longitudes)
    coarse = Partitioning("coarse", tuple(f"1{k}1" for k in range(10)), *middles)
    return Geography((coarse, fine), np.stack([cluster, np.arange(num_cells)], axis=1))


def beliefs(geography: Geography, seed: int = 0) -> Beliefs:
    rng = np.random.default_rng(seed)
    logits = [torch.from_numpy(rng.normal(0, 2, (NUM_PHOTOS, n))).float() for n in geography.num_classes]
    heads = [each.log_softmax(dim=1) for each in logits]
    return beliefs_of(heads, geography, torch.from_numpy(geography.hierarchy))


def test_f_star_is_the_best_product_of_probabilities_along_the_hierarchy() -> None:
    geography = random_geography()
    found = beliefs(geography)
    coarse, fine = (found.scores[name].exp().double().numpy() for name in ("coarse", "fine"))
    best = [
        max(range(80), key=lambda i, n=n: fine[n, i] * coarse[n, geography.hierarchy[i, 0]])  # type: ignore[misc]
        for n in range(NUM_PHOTOS)
    ]
    assert Decider(geography, CPU).decide(found)[HIERARCHY].class_labels.tolist() == best


def test_multiplied_logits_would_answer_otherwise() -> None:
    logits = [[3.0, 0.0], [-6.0, 4.0, 0.0, 0.0], [-6.0, 4.0, 0.0, 0.0]]
    geography = made_up.geography()
    products = [np.prod([logits[k][ancestor] for k, ancestor in enumerate(row)]) for row in geography.hierarchy]
    assert int(np.argmax(products)) == 0  # two very negative logits make a large product
    heads = [torch.tensor([row]).log_softmax(dim=1) for row in logits]
    found = beliefs_of(heads, geography, torch.from_numpy(geography.hierarchy))
    assert Decider(geography, CPU).decide(found)[HIERARCHY].class_labels.tolist() == [1]


def share_within(radius_km: float, latitude: float, longitude: float, geography: Geography) -> np.ndarray:
    """Which share of each fine cell lies around a point, by the formula of the docstring."""
    finest = geography.partitioning_of(HIERARCHY)
    distances = great_circle_km(np.array([latitude]), np.array([longitude]), finest.latitudes, finest.longitudes)
    spread = 6371 * np.sqrt(4 * np.pi / 6) / 2**10 / 7
    z = (radius_km - np.sqrt(distances**2 + spread**2)) / spread
    return np.array([0.5 * (1 + math.erf(each / math.sqrt(2))) for each in z])


def test_probabilities_and_confidences_are_those_of_a_plain_loop() -> None:
    geography = random_geography()
    found = beliefs(geography)
    decisions = Decider(geography, CPU, ["mass200", "mass750"], radius_km=400).decide(found)
    f_star = found.distributions[HIERARCHY].double().numpy()
    for p_key, decision in decisions.items():
        partitioning = geography.partitioning_of(p_key)
        own = found.distributions.get(p_key, found.distributions[HIERARCHY])
        for n, label in enumerate(decision.class_labels):
            assert decision.probabilities[n] == pytest.approx(own[n, label].item(), rel=1e-5)
            near = share_within(400, partitioning.latitudes[label], partitioning.longitudes[label], geography)
            assert decision.confidences[n] == pytest.approx(f_star[n] @ near, abs=1e-5)


@pytest.mark.parametrize("rule", RULES_KM)
def test_a_rule_answers_with_the_point_around_which_most_probability_lies(rule: str) -> None:
    geography = random_geography()
    found = beliefs(geography)
    finest, shares = geography.partitioning_of(HIERARCHY), found.distributions[HIERARCHY].double().numpy()
    places = zip(finest.latitudes, finest.longitudes, strict=True)
    around = shares @ np.stack([share_within(RULES_KM[rule], *place, geography) for place in places]).T
    chosen = Decider(geography, CPU, [rule]).decide(found)[rule_key(rule)].class_labels
    np.testing.assert_allclose(around[np.arange(NUM_PHOTOS), chosen], around.max(axis=1), atol=1e-6)


def test_the_centre_is_sought_among_the_most_probable_cells_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geo_pipeline.model.decisions.NUM_CENTRES", 1)
    geography = random_geography()
    shares = beliefs(geography).distributions[HIERARCHY]
    chosen = centre(shares, Places.of(geography.partitioning_of(HIERARCHY), CPU), 750)
    assert torch.equal(chosen, shares.argmax(dim=1))


def test_rules_stand_beside_f_star_and_change_nothing_of_it() -> None:
    geography = random_geography()
    found = beliefs(geography)
    alone, beside = Decider(geography, CPU).decide(found), Decider(geography, CPU, list(RULES_KM)).decide(found)
    assert list(alone) == ["coarse", "fine", HIERARCHY]
    assert list(beside) == [*alone, "hierarchy_mass25", "hierarchy_mass200", "hierarchy_mass750"]
    for p_key, decision in alone.items():
        np.testing.assert_array_equal(decision.class_labels, beside[p_key].class_labels)
        np.testing.assert_array_equal(decision.probabilities, beside[p_key].probabilities)
