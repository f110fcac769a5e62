"""Pruning while training: killed and resumed, distributed, exported."""

import pytest
from conftest import pruned
from test_resume import assert_same

STEPS = {"type": "CubicSchedule", "begin": 2, "end": 10, "interval": 4}
EPOCHS = {"type": "LinearSchedule", "begin": 0, "end": 2, "interval": 1}
BY_STEP = {"by_epoch": False, "num_workers": 2, "persistent": True}


def run_killed(run_tool, config, at):
    run_tool("train.py", config, "--work-dir", "cut", code=-9, TOY_KILL_AT=str(at))
    return run_tool("train.py", config, "--work-dir", "cut", "--resume")


# Checkpoints at 5, 10 and 15; prunings before steps 6 and 10.
@pytest.mark.parametrize("at", [6, 8, 10, 11, 16])
def test_killed_at_any_point_and_resumed_equals_uninterrupted(
    toy_config, run_tool, weights, tmp_path, at
):
    config = toy_config(model=pruned(STEPS), **BY_STEP)
    run_tool("train.py", config, "--work-dir", "whole")
    run_killed(run_tool, config, at)
    whole = weights("whole/iter_18.pth")
    assert_same(whole, weights("cut/iter_18.pth"))
    assert len([name for name in whole if name.startswith("ema")]) > 5
    subnets = [(tmp_path / f"{d}/subnet.yaml").read_text() for d in ("whole", "cut")]
    assert subnets[0] == subnets[1]
