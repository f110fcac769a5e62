"""Two configs are tested alike, or the error says in what they differ."""

import copy

import pytest
from mmengine.config import Config

from mmrazor.apis.compare_data import check_same_test_set
from mmrazor.apis.run_config import RunConfigError

CFG = {
    "test_dataloader": {
        "batch_size": 4,
        "dataset": {
            "type": "CustomDataset",
            "data_root": "images",
            "metainfo": {"classes": ["a", "b"]},
            "pipeline": [{"type": "LoadImageFromFile"}],
        },
    },
    "test_evaluator": {"type": "Accuracy", "topk": (1,)},
}


def changed(**options):
    cfg = Config(copy.deepcopy(CFG))
    cfg.merge_from_dict(options)
    return cfg


def test_what_is_of_the_model_or_of_the_host_may_differ():
    other = changed(
        **{
            "test_dataloader.batch_size": 1,
            "test_dataloader.dataset.type": "mmpretrain.CustomDataset",
            "test_dataloader.dataset._scope_": "mmpretrain",
            "test_dataloader.dataset.pipeline": [],
            "test_evaluator.topk": [1],
        }
    )
    check_same_test_set({"first": changed(), "second": other})


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("test_dataloader.dataset.data_root", "other", "data_root is 'images' and"),
        ("test_dataloader.dataset.indices", 10, "indices is None and 10"),
        ("test_dataloader.dataset.metainfo.classes", ["a"], r"classes\[1\] is 'b' and"),
        ("test_evaluator.type", "F1", "test_evaluator.type is 'Accuracy' and 'F1'"),
        ("test_evaluator", None, "'second' has no test_dataloader and test_evaluator"),
    ],
)
def test_other_data_are_refused(key, value, text):
    with pytest.raises(RunConfigError, match=text):
        check_same_test_set({"first": changed(), "second": changed(**{key: value})})
