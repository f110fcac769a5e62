"""Which Subnet is scored and written; see tests/core/loops/test_bilevel_loop.py."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MMLogger

from mmrazor.core.hooks import DumpSubnetHook
from mmrazor.core.space import Subnet
from mmrazor.models.algorithms import DSNAS, Algorithm
from tests.models.algorithms.nas.toys import Net


def runner_of(model, folder):
    logger = MMLogger.get_current_instance()
    dataset = SimpleNamespace(metainfo={"classes": ("a",)})
    return SimpleNamespace(
        model=model,
        work_dir=str(folder),
        epoch=0,
        logger=logger,
        hooks=[],
        train_dataloader=SimpleNamespace(dataset=dataset),
    )


def test_the_preferred_path_is_scored_and_written(tmp_path):
    algorithm = DSNAS(Net("one_hot"))
    with torch.no_grad():
        algorithm.architecture.first.alpha.copy_(torch.tensor([0.0, 0.0, 1.0]))
        algorithm.architecture.last.alpha.copy_(torch.tensor([0.0, 1.0, 0.0]))
    wanted = {"first.op": "c", "last.op": "b"}
    runner, hook = runner_of(algorithm, tmp_path), DumpSubnetHook()
    hook.before_val(runner)
    assert algorithm.space.selected() == wanted
    hook.after_train_epoch(runner)
    assert not list(tmp_path.iterdir())
    hook.after_train(runner)
    assert dict(Subnet.load(tmp_path / "subnet.yaml").choices) == wanted
    assert not (tmp_path / "subnet.pth").exists()


def test_weights_of_the_plain_network_are_written_if_so_wished(tmp_path):
    algorithm = DSNAS(Net("one_hot"))
    DumpSubnetHook(weights=True).after_train(runner_of(algorithm, tmp_path))
    saved = torch.load(tmp_path / "subnet.pth")
    plain = algorithm.subnet_model(algorithm.derived())
    assert saved["meta"]["dataset_meta"] == {"classes": ["a"]}
    assert list(saved["state_dict"]) == list(plain.state_dict())
    plain.load_state_dict(saved["state_dict"])
    chosen = algorithm.derived()["first.op"]
    weight = algorithm.architecture.first.candidates[chosen].weight
    assert torch.equal(saved["state_dict"]["first.weight"], weight)


def test_a_model_without_a_space_is_refused(tmp_path):
    runner = runner_of(Algorithm(Net("one_shot")), tmp_path)
    with pytest.raises(TypeError, match="such as mmrazor.Darts, got Algorithm"):
        DumpSubnetHook().after_train(runner)


def test_an_interval_of_nothing_is_refused():
    with pytest.raises(ValueError, match="interval=0 must be at least 1"):
        DumpSubnetHook(0)
