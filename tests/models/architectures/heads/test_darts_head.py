from __future__ import annotations

import pytest
import torch
from mmengine.registry import DefaultScope

from mmrazor.models.architectures import DartsHead

pretrain = pytest.importorskip("mmpretrain")


@pytest.fixture
def head() -> DartsHead:
    linear = dict(
        type="LinearClsHead", num_classes=3, loss=dict(type="CrossEntropyLoss")
    )
    pretrain.utils.register_all_modules(init_default_scope=False)
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        torch.manual_seed(0)
        return DartsHead({**linear, "in_channels": 4}, {**linear, "in_channels": 6})


def samples(labels: list[int]) -> list:
    return [pretrain.structures.DataSample().set_gt_label(label) for label in labels]


def test_both_losses_count_in_training(head: DartsHead) -> None:
    first, last = torch.rand(2, 6), torch.rand(2, 4)
    losses = head.loss((first, last), samples([0, 2]))
    labels = torch.tensor([0, 2])
    main = torch.nn.functional.cross_entropy(head.head.fc(last), labels)
    extra = torch.nn.functional.cross_entropy(head.aux_head.fc(first), labels)
    assert losses.keys() == {"loss", "aux_loss"}
    torch.testing.assert_close(losses["loss"], main)
    torch.testing.assert_close(losses["aux_loss"], 0.4 * extra)


def test_predictions_are_those_of_the_head(head: DartsHead) -> None:
    last = torch.rand(2, 4)
    assert torch.equal(head((torch.rand(2, 6), last)), head.head.fc(last))
    assert torch.equal(head.pre_logits((last,)), last)
    scores = [sample.pred_score for sample in head.predict((last,))]
    torch.testing.assert_close(torch.stack(scores), head.head.fc(last).softmax(1))


def test_a_backbone_without_the_tower(head: DartsHead) -> None:
    with pytest.raises(ValueError, match="got 1 features and needs two"):
        head.loss((torch.rand(2, 4),), samples([0, 2]))
