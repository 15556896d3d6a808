from __future__ import annotations

import io

import torch

from geo_pipeline.training.identity import Identity

ONE = Identity({"model_params.seed": 1, "model_params.weights": None}, {"fine": "aa", "hierarchy": "bb"})


def test_equal_identities_have_no_difference_and_one_fingerprint() -> None:
    same = Identity(dict(reversed(ONE.settings.items())), dict(ONE.inputs))
    assert ONE.differences(same) == []
    assert same.fingerprint == ONE.fingerprint


def test_each_difference_is_named_with_both_values() -> None:
    other = Identity({"model_params.seed": 2, "trainer_params.max_steps": 5}, {"fine": "ab", "weights": "cc"})
    assert ONE.differences(other) == [
        "model_params.seed: 1 there, 2 here",
        "model_params.weights: null there, not set here",
        "trainer_params.max_steps: not set there, 5 here",
        "fine: has other content",
        "hierarchy: was used there, is not here",
        "weights: is used here, was not there",
    ]
    assert other.fingerprint != ONE.fingerprint


def test_an_identity_survives_a_checkpoint() -> None:
    file = io.BytesIO()
    torch.save(ONE.to_state(), file)
    file.seek(0)
    assert Identity.from_state(torch.load(file, weights_only=True)) == ONE
