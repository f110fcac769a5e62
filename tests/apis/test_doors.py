"""What the functions of ``mmrazor`` take for a model, and what they refuse."""

import pytest
import torch
from torch import nn

import mmrazor

IMAGE = torch.rand(1, 3, 16, 16)
DOORS = {
    "prune": lambda model: mmrazor.prune(model, IMAGE, budget=dict(macs=0.5)),
    "quantize": lambda model: mmrazor.quantize(model, [IMAGE]),
    "count_cost": lambda model: mmrazor.count_cost(model, IMAGE),
    "channel_graph": lambda model: mmrazor.channel_graph(model, IMAGE),
    "example_inputs": mmrazor.example_inputs,
    "build_architecture": mmrazor.build_architecture,
    "export_onnx": lambda model: mmrazor.export_onnx(model, IMAGE, "never.onnx"),
    "load_subnet": lambda model: mmrazor.load_subnet(model, "never.yaml"),
}


def net():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)).eval()


def exported():
    return torch.export.export(net(), (IMAGE,))


@torch.jit.script
def scripted_function(x: torch.Tensor) -> torch.Tensor:
    return x + 1


PROGRAMS = {
    "scripted": (lambda: torch.jit.script(net()), "TorchScript program"),
    "traced": (lambda: torch.jit.trace(net(), IMAGE), "TorchScript program"),
    "function": (lambda: scripted_function, "ScriptFunction: a TorchScript program"),
    "program": (exported, r"program of torch\.export"),
    "module of it": (lambda: exported().module(), r"program of torch\.export"),
    "part": (
        lambda: nn.Sequential(nn.ReLU(), torch.jit.script(net())),
        "Module '1' of Sequential is of type RecursiveScriptModule",
    ),
    "class": (lambda: nn.Linear, "no torch.nn.Module"),
}


@pytest.mark.parametrize("kind", PROGRAMS)
def test_programs_are_refused_at_every_door(kind):
    make, match = PROGRAMS[kind]
    model = make()
    for door in DOORS.values():
        with pytest.raises(TypeError, match=match) as caught:
            door(model)
        text = str(caught.value)
        assert "nn.Module" in text
        assert "\n" not in text


def test_compiled_modules_are_what_they_were_made_from(tmp_path):
    def refused(*_):
        raise AssertionError("compiled")

    def compiled():
        return torch.compile(net(), backend=refused)

    pruned = mmrazor.prune(compiled(), IMAGE, budget=dict(macs=0.5))
    assert type(pruned.model) is nn.Sequential
    pruned.subnet.dump(tmp_path / "s.yaml")
    torch.save(pruned.model.state_dict(), tmp_path / "s.pth")
    again = mmrazor.load_subnet(compiled(), tmp_path / "s.yaml", tmp_path / "s.pth")
    assert torch.equal(again(IMAGE), pruned.model(IMAGE))
    for name in ("quantize", "count_cost", "channel_graph", "example_inputs"):
        DOORS[name](compiled())
    model = compiled()
    assert mmrazor.build_architecture(model) is model._orig_mod
    torch.save(model.state_dict(), tmp_path / "c.pth")
    loaded = mmrazor.build_architecture(net(), checkpoint=tmp_path / "c.pth")
    assert torch.equal(loaded[0].weight, model._orig_mod[0].weight)


def test_graphs_that_run_as_modules_stay_models():
    graph = torch.fx.symbolic_trace(net())
    assert (
        mmrazor.count_cost(graph, IMAGE).macs == mmrazor.count_cost(net(), IMAGE).macs
    )
