"""Scores against silenced channels; an analysis that is stopped goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

TOYS = Path(__file__).parents[1] / "tools"
sys.path.insert(0, str(TOYS))  # configs import it by this name

from toy_prune import ToyConvNet, ToyImages  # noqa: E402

from mmrazor.apis import sensitivity  # noqa: E402
from mmrazor.apis.run_config import RunConfigError  # noqa: E402
from mmrazor.apis.sensitivity_report import SensitivityReport  # noqa: E402
from mmrazor.models.pruners import L1Importance  # noqa: E402

NORMS = {"first.out": "norm", "second.out": "norm2"}
LOADER = {
    "batch_size": 4,
    "num_workers": 0,
    "sampler": {"type": "DefaultSampler", "shuffle": False},
    "dataset": {"type": "ToyImages", "augment": False},
}
CONFIG: dict[str, Any] = {
    "custom_imports": {"imports": ["toy_prune"]},
    "model": {"type": "ToyConvNet"},
    "train_dataloader": LOADER,
    "val_dataloader": LOADER,
    "val_evaluator": {"type": "ToyAccuracy"},
    "val_cfg": {},
}


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyConvNet:
    """Return a network that tells most of the toy images; ``net.pth`` has it."""
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text("".join(f"{k} = {v!r}\n" for k, v in CONFIG.items()))
    torch.manual_seed(0)
    model = ToyConvNet(dropout=0)
    batch = batch_of_all()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(40):
        optimizer.zero_grad()
        model(**batch, mode="loss")["loss"].backward()
        optimizer.step()
    torch.save(model.state_dict(), "net.pth")
    return model.eval()


def batch_of_all() -> dict[str, Any]:
    dataset = ToyImages(augment=False)
    items = [dataset[i] for i in range(24)]
    return {
        "inputs": torch.stack([item["inputs"] for item in items]),
        "data_samples": [item["data_samples"] for item in items],
    }


def silenced(model: ToyConvNet, group: str, kept: int) -> float:
    """Return the accuracy, in percent, with the weakest filters of a group at zero."""
    state = {name: value.clone() for name, value in model.state_dict().items()}
    norm = getattr(model, NORMS[group])
    filters = getattr(model, group.partition(".")[0]).weight.detach()
    weakest = filters.abs().sum((1, 2, 3)).argsort()[: 8 - kept]
    with torch.no_grad():
        norm.weight[weakest] = norm.bias[weakest] = 0
        hits = [found["hit"] for found in model(**batch_of_all(), mode="predict")]
    model.load_state_dict(state)
    return 100 * sum(hits) / len(hits)


def analysed(checkpoint: str | None = "net.pth", **options: Any) -> SensitivityReport:
    return sensitivity("net.py", checkpoint, **{"image_size": [8], **options})


def scores_of(report: SensitivityReport) -> dict[str, list[float | None]]:
    return {group.name: list(group.scores) for group in report.groups}


def test_scores_equal_those_of_silenced_channels(net: ToyConvNet) -> None:
    report = analysed(shares=(0.05, 0.5, 0.75, 0.99))
    assert (report.metric, report.stage) == ("accuracy", "val")
    assert report.dense == silenced(net, "first.out", 8) > 80
    expected = {g: [silenced(net, g, k) for k in (8, 4, 2, 1)] for g in NORMS}
    assert scores_of(report) == expected
    assert len({score for scores in expected.values() for score in scores}) > 2
    # 64 places, kernels of 3 x 3.
    assert report.macs == 64 * 9 * (3 * 8 + 8 * 8) + 8 * 2
    assert report.groups[0].macs[-1] == 64 * 9 * (3 * 1 + 1 * 8) + 8 * 2
    assert list(report.left_alone) == ["last.out"]
    folder = Path("work_dirs/net/sensitivity")
    names = ["sensitivity.json", "sensitivity.png", "state.json"]
    assert sorted(path.name for path in folder.iterdir()) == names


def test_stopped_and_gone_on_with(net: ToyConvNet) -> None:
    analysed(out="out", groups=["second.out"], shares=[0.5])
    path = Path("out/state.json")
    state = json.loads(path.read_text())
    assert list(state["groups"]) == ["second.out"]
    state["groups"]["second.out"]["4"]["accuracy"] = 12.5  # marks what is not redone
    path.write_text(json.dumps(state))
    scores = scores_of(analysed(out="out", shares=[0.5, 0.9], keep_gib=0))
    assert scores["second.out"] == [12.5, silenced(net, "second.out", 1)]
    assert scores["first.out"] == [silenced(net, "first.out", k) for k in (4, 1)]
    with pytest.raises(ValueError, match="max_batches was None and is 2"):
        analysed(out="out", max_batches=2)
    other = dict(out="out", importance="L2Importance", groups=["first.out"])
    with pytest.raises(ValueError, match="was 'L1Importance' and is 'L2Importance'"):
        analysed(**other)
    torch.save(ToyConvNet().state_dict(), "net.pth")
    with pytest.raises(ValueError, match="holds scores of another .*: weights was"):
        analysed(out="out")
    assert list(scores_of(analysed(**other, resume=False))) == ["first.out"]


def test_killed_in_an_evaluation(
    net: ToyConvNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, calls = ToyConvNet.forward, []

    def stopped(self: Any, *args: Any, mode: str = "tensor", **kwargs: Any) -> Any:
        calls.append(mode)
        if calls.count("predict") == 6 + 6 + 3:  # in the second pruned model
            raise KeyboardInterrupt
        return forward(self, *args, mode=mode, **kwargs)

    monkeypatch.setattr(ToyConvNet, "forward", stopped)
    with pytest.raises(KeyboardInterrupt):
        analysed(shares=[0.5, 0.75])
    calls.clear()
    calls += ["predict"] * 100  # no more interrupts
    report = analysed(shares=[0.5, 0.75])
    assert calls.count("predict") == 100 + 3 * 6
    expected = {g: [silenced(net, g, k) for k in (4, 2)] for g in NORMS}
    assert scores_of(report) == expected


def test_gradients_and_part_of_the_data(net: ToyConvNet) -> None:
    options: dict[str, Any] = dict(shares=[0.5], groups=["first.out"], max_batches=1)
    report = analysed(importance="TaylorImportance", calib_batches=2, **options)
    assert report.dense in {0, 25, 50, 75, 100}  # of four images
    settings = json.loads(Path("work_dirs/net/sensitivity/state.json").read_text())
    assert settings["settings"]["calib_batches"] == "2"
    analysed(importance=L1Importance(reduction="max"), out="other", **options)
    with pytest.raises(ValueError, match="importance.reduction was 'max' and is 'sum'"):
        analysed(importance=L1Importance(reduction="sum"), out="other", **options)


def test_the_test_set_if_there_is_no_other(net: ToyConvNet) -> None:
    cfg = dict.fromkeys(("val_dataloader", "val_evaluator", "val_cfg"))
    moved = {k.replace("val_", "test_"): CONFIG[k] for k in cfg}
    options: dict[str, Any] = dict(shares=[0.5], groups=["first.out"])
    report = analysed(cfg_options={**cfg, **moved}, **options)
    assert report.stage == "test"
    assert report.dense == silenced(net, "first.out", 8)
    with pytest.raises(RunConfigError, match="no val_dataloader and no test_data"):
        analysed(cfg_options=cfg)


def test_what_is_unknown_is_said(
    net: ToyConvNet, caplog: pytest.LogCaptureFixture
) -> None:
    for options, text in [
        (
            dict(groups=["frist.out"]),
            r"no group 'frist.out'. Near names: \['first.out'",
        ),
        (dict(groups=["last.out"]), "'last.out' cannot be pruned: it is an output"),
        (dict(shares=[1.0]), r"shares=\[1.0\]: give parts of a group"),
        (dict(max_batches=0), "max_batches=0 must be at least 1"),
        (dict(keep_gib=-1), "keep_gib=-1 must be at least 0"),
        (dict(importance="L4Importance"), "'L4Importance' is no importance"),
        (dict(calib_batches=3), "reads no gradients"),
    ]:
        with pytest.raises(ValueError, match=text):
            analysed(**options)
    short: dict[str, Any] = dict(groups=["first.out"], shares=[0.5], metric="mAP")
    with pytest.raises(ValueError, match=r"no metric 'mAP'. It gives \['accuracy'\]"):
        analysed(None, **short)
