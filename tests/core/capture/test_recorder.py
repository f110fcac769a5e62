"""Recorder on toy nets whose values are known by hand."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmrazor.core.capture import Recorder, RecordError, SourceError


class Scale(nn.Module):
    """Multiply by a fixed number and count the calls."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * self.factor


class Toy(nn.Module):
    """x -> 2x -> relu in place -> shared 3x on each of two levels -> 5x."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Scale(2.0)
        self.act = nn.ReLU(inplace=True)
        self.shared = Scale(3.0)
        self.tail = Scale(5.0)
        self.unused = Scale(7.0)

    def forward(self, x):
        x = self.act(self.stem(x))
        levels = tuple(self.shared(level) for level in (x, x + 1))
        total = self.tail(levels[0]) + F.relu(levels[1])
        return {"levels": levels, "total": total}


@pytest.fixture
def toy():
    return Toy()


X = torch.tensor([-1.0, 1.0])


def test_outputs_inputs_params(toy):
    sources = ["output:act", "input:tail", "param:tail.factor", "output:[levels][1]"]
    with Recorder(toy, sources) as recorder:
        toy(X)
    assert recorder.get("output:act").tolist() == [0, 2]
    assert recorder.get("input:tail").tolist() == [0, 6]
    assert recorder.get("param:tail.factor") is toy.tail.factor
    assert recorder.get("output:[levels][1]").tolist() == [3, 9]


def test_value_before_an_in_place_op_is_kept_in_every_pass(toy):
    recorder = Recorder(toy, ["output:stem", "output:tail"])
    for _ in range(3):
        with recorder:
            toy(X)
        assert recorder.get("output:stem").tolist() == [-2, 2]
    assert recorder._overwritten == {"output:stem"}  # nothing else is copied


def test_overwritten_only_later_is_refused():
    class Later(Toy):
        late = False

        def forward(self, x):
            x = self.stem(x)
            return self.act(x) if self.late else x

    model = Later()
    recorder = Recorder(model, "output:stem")
    with recorder:
        model(X)
    model.late = True
    with recorder:
        model(X)
    with pytest.raises(RecordError, match="overwritten in place.*inplace=False"):
        recorder.get("output:stem")


def test_shared_module(toy):
    with Recorder(toy, ["output:shared", "output:shared#1"]) as recorder:
        toy(X)
    assert [v.tolist() for v in recorder.calls("output:shared")] == [[0, 6], [3, 9]]
    assert recorder.get("output:shared#1").tolist() == [3, 9]
    with pytest.raises(RecordError, match="called 2 times.*#0' to 'output:shared#1'"):
        recorder.get("output:shared")


def test_call_out_of_range(toy):
    with Recorder(toy, ["output:shared#2"]) as recorder:
        toy(X)
    with pytest.raises(RecordError, match="call 2 never came; there were 2 calls"):
        recorder.get("output:shared#2")


def test_functions_and_methods(toy):
    relu, forward = F.relu, Scale.__dict__["forward"]
    method = f"call:{__name__}.Scale.forward#0"
    with Recorder(toy, ["call:torch.nn.functional.relu#1", method]) as recorder:
        toy(X)
    assert recorder.get("call:torch.nn.functional.relu#1").tolist() == [3, 9]
    assert recorder.get(method).tolist() == [-2, 2]
    assert F.relu is relu
    assert Scale.__dict__["forward"] is forward


class Statics:
    @staticmethod
    def double(x):
        return 2 * x

    @classmethod
    def name(cls):
        return cls.__name__


class Derived(Statics):
    pass


def test_static_class_and_inherited_methods_are_restored():
    here = f"call:{__name__}"
    sources = [f"{here}.Statics.double", f"{here}.Statics.name", f"{here}.Derived.name"]
    with Recorder(nn.Identity(), sources) as recorder:
        assert Statics.double(2) == 4
        assert Derived().name() == "Derived"
    assert recorder.get(sources[0]) == 4
    assert recorder.get(sources[2]) == "Derived"
    assert isinstance(Statics.__dict__["double"], staticmethod)
    assert "name" not in Derived.__dict__


def test_gradient_flows_through_recorded_values(toy):
    recorder = Recorder(toy, ["output:stem"])
    for _ in range(2):
        x = X.clone().requires_grad_()
        with recorder:
            toy(x)
        recorder.get("output:stem").sum().backward()
        assert x.grad.tolist() == [2, 2]


def test_replay(toy):
    replay = {"output:stem": torch.tensor([4.0, 4.0])}
    with Recorder(toy, ["output:act"], replay=replay) as recorder:
        toy(X)
    assert recorder.get("output:act").tolist() == [4, 4]

    out = {"input:tail": torch.ones(2), "param:tail.factor": torch.tensor(10.0)}
    with Recorder(toy, "output:tail", replay=out) as recorder:
        toy(X)
    assert recorder.get("output:tail").tolist() == [10, 10]
    assert isinstance(toy.tail.factor, nn.Parameter)
    assert toy.tail.factor.item() == 5

    with Recorder(toy, replay={"output:shared#1": torch.zeros(2)}):
        assert toy(X)["total"].tolist() == [0, 30]
    with Recorder(toy, replay={"output:[total]": torch.zeros(2)}):
        assert toy(X)["total"].tolist() == [0, 0]
    with Recorder(toy, replay={"call:torch.nn.functional.relu#1": torch.zeros(2)}):
        assert toy(X)["total"].tolist() == [0, 30]


def test_inputs_by_keyword():
    class Keyword(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Pair()

        def forward(self, x):
            return self.inner(x, y=x + 1)

    class Pair(nn.Module):
        def forward(self, x, y):
            return x + 10 * y

    model = Keyword()
    with Recorder(model, ["input:inner[0]", "input:inner[y]"]) as recorder:
        model(X)
    assert recorder.get("input:inner[y]").tolist() == [0, 2]
    with Recorder(model, replay={"input:inner[y]": torch.zeros(2)}):
        assert model(X).tolist() == [-1, 1]


def test_early_exit_from_the_second_pass_on(toy):
    recorder = Recorder(toy, ["output:shared"], early_exit=True)
    for calls in (1, 1, 1):
        with recorder:
            toy(X)
        assert len(recorder.calls("output:shared")) == 2
        assert toy.tail.calls == calls
    assert toy.shared.calls == 6


def test_early_exit_waits_for_the_call_named(toy):
    recorder = Recorder(toy, ["output:shared#0", "param:tail.factor"], early_exit=True)
    for _ in range(2):
        with recorder:
            toy(X)
    assert toy.shared.calls == 3
    assert recorder.get("output:shared#0").tolist() == [0, 6]


def test_hooks_are_gone_after_use_and_after_a_fault(toy):
    with (
        pytest.raises(KeyError),
        Recorder(toy, ["output:stem", "input:tail", "param:tail.factor"]),
    ):
        raise KeyError
    for module in toy.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_copies_listen_to_the_copied_model(toy):
    holder = nn.Module()
    holder.model = toy
    holder.recorder = Recorder(toy, "output:tail")
    copied = copy.deepcopy(holder)
    with copied.recorder as recorder:
        copied.model(X)
    assert recorder.model is copied.model
    assert recorder.get("output:tail").tolist() == [0, 30]


def test_unknown_module_lists_near_names(toy):
    with pytest.raises(SourceError, match="Toy has no module 'tial'.*'tail'"):
        Recorder(toy, "output:tial")
    with pytest.raises(SourceError, match="no parameter or buffer.*'tail.factor'"):
        Recorder(toy, "param:tail.faktor")
    with pytest.raises(SourceError, match="Top-level names: 'stem', 'act'"):
        Recorder(toy, "output:zzzzqqq")


@pytest.mark.parametrize(
    ("source", "match"),
    [
        (
            "call:torch.nn.functional.softmx",
            "'torch.nn.functional' has no 'softmx'.*soft",
        ),
        ("call:no_such_package.f", "'no_such_package' cannot be imported"),
        ("call:torch", "no function there"),
        ("call:torch.pi", "is float, not a function"),
    ],
)
def test_unknown_function(toy, source, match):
    with pytest.raises(SourceError, match=match):
        Recorder(toy, source)


def test_value_that_never_came(toy):
    sources = ["output:unused", "call:torch.nn.functional.gelu"]
    with Recorder(toy, sources) as recorder:
        toy(X)
    with pytest.raises(RecordError, match="'unused' exists but was not called"):
        recorder.get("output:unused")
    with pytest.raises(RecordError, match="was never called.*from x import f"):
        recorder.get(sources[1])
    with pytest.raises(RecordError, match="is not recorded. Recorded: "):
        recorder.get("output:stem")


def test_index_out_of_range(toy):
    with (
        pytest.raises(SourceError, match=r"cannot take \[5\] of a tuple of 2"),
        Recorder(toy, "output:[levels][5]"),
    ):
        toy(X)
