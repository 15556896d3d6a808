from __future__ import annotations

import numpy as np
import pytest
import torch

from geo_pipeline.model.combination import best_class, combine_crops, hierarchical_scores


def random_probabilities(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(4)).softmax(dim=-1)


@pytest.mark.parametrize(("combine", "expected"), [("max", np.max), ("mean", np.mean)])
def test_crops_are_combined_on_probabilities(combine: str, expected: object) -> None:
    probabilities = random_probabilities(3, 5, 8)
    combined = combine_crops(probabilities.log(), combine).exp()
    np.testing.assert_allclose(combined, expected(probabilities.numpy(), axis=1), rtol=1e-5)


def test_f_star_is_the_product_over_a_cell_and_its_ancestors() -> None:
    coarse, middle, fine = random_probabilities(3, 2), random_probabilities(3, 4), random_probabilities(3, 6)
    ancestors = [(0, 0), (0, 1), (0, 1), (1, 2), (1, 3), (1, 3)]
    hierarchy = torch.tensor([[c, m, f] for f, (c, m) in enumerate(ancestors)])
    scores = hierarchical_scores([coarse.log(), middle.log(), fine.log()], hierarchy)
    for photo in range(3):
        for f, (c, m) in enumerate(ancestors):
            product = fine[photo, f] * middle[photo, m] * coarse[photo, c]
            assert scores[photo, f].exp().item() == pytest.approx(product.item(), rel=1e-5)


def test_coarse_evidence_can_overrule_the_finest_head() -> None:
    coarse, fine = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.45, 0.0, 0.55]])
    hierarchy = torch.tensor([[0, 0], [0, 1], [1, 2]])
    labels, _ = best_class(hierarchical_scores([coarse.log(), fine.log()], hierarchy))
    assert (fine.argmax().item(), labels.item()) == (2, 0)


def test_confidence_is_the_share_of_the_answer_even_where_probabilities_would_underflow() -> None:
    labels, confidence = best_class(torch.tensor([[-400.0, -400.0 + np.log(3.0)], [0.0, -torch.inf]]))
    assert labels.tolist() == [1, 0]
    np.testing.assert_allclose(confidence, [0.75, 1.0], rtol=1e-4)
