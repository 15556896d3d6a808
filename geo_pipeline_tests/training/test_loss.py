from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from geo_pipeline.training.loss import NO_LABEL, combined_loss, head_losses


def test_a_network_that_knows_nothing_loses_the_logarithm_of_the_number_of_classes() -> None:
    logits = [torch.zeros(4, classes) for classes in (3298, 7202, 12893)]
    losses = head_losses(logits, torch.zeros(4, 3, dtype=torch.int64))
    assert combined_loss(losses.means(), "sum").item() == pytest.approx(26.45, abs=0.005)  # chance, as published
    assert combined_loss(losses.means(), "mean").item() == pytest.approx(26.45 / 3, abs=0.005)


def test_each_head_ignores_its_own_missing_labels_only() -> None:
    coarse, fine = torch.randn(3, 4), torch.randn(3, 6)
    labels = torch.tensor([[1, 2], [3, -1], [-1, 5]])
    losses = head_losses([coarse, fine], labels)
    by_hand = [
        -(coarse.log_softmax(1)[0, 1] + coarse.log_softmax(1)[1, 3]) / 2,
        -(fine.log_softmax(1)[0, 2] + fine.log_softmax(1)[2, 5]) / 2,
    ]
    torch.testing.assert_close(losses.means(), torch.stack(by_hand))


def test_a_head_without_any_label_gives_no_loss_and_no_gradient() -> None:
    logits = torch.randn(2, 5, requires_grad=True)
    losses = head_losses([logits], torch.full((2, 1), -1)).means()
    losses.sum().backward()
    assert losses.tolist() == [0.0]
    assert logits.grad is not None
    assert not logits.grad.any()
    assert not math.isnan(losses[0].item())


def test_targets_that_are_the_labels_give_the_loss_of_the_labels() -> None:
    logits, labels = torch.randn(4, 6), torch.tensor([[1], [-1], [5], [0]])
    targets = functional.one_hot(labels[:, 0].clamp(min=0), 6) * (labels != NO_LABEL)
    plain, soft = head_losses([logits], labels), head_losses([logits], labels, [targets.float()])
    torch.testing.assert_close(soft.sums, plain.sums)
    assert torch.equal(soft.counts, plain.counts)
    assert soft.counts.tolist() == [3]
