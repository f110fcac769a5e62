"""The pruner of an Algorithm, without a Runner."""

import copy

import pytest
import torch
from torch import nn

from mmrazor.core.cost import count_cost
from mmrazor.core.graph import slim
from mmrazor.core.graph.cuts import Cuts
from mmrazor.models.pruners import (
    BudgetError,
    NothingPrunableError,
    Pruner,
    PruningState,
    prune_model,
)

INPUTS = {"input": torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))}
LINEAR = dict(type="LinearSchedule", begin=0, end=4, interval=1)


class Net(nn.Module):
    def __init__(self, widths=(10, 12), seed=0):
        super().__init__()
        torch.manual_seed(seed)
        first, second = widths
        self.a = nn.Conv2d(3, first, 3, padding=1)
        self.norm = nn.BatchNorm2d(first)
        self.b = nn.Conv2d(first, second, 3, padding=1)
        self.fc = nn.Linear(second, 4)

    def forward(self, input):
        x = self.b(self.norm(self.a(input)).relu()).relu()
        return self.fc(x.mean((2, 3)))


def pruner(**settings):
    return Pruner(**{"budget": dict(macs=0.4), "inputs": INPUTS, **settings})


def advance_(chosen, model, time):
    step = chosen.decide(model, chosen.schedule.share(time), time)
    if step is not None:
        chosen.cut_(model, step.cuts)
        chosen.take_(step.state)
    return step


def run_(chosen, model, times=range(5)):
    chosen.prepare(model)
    for time in times:
        advance_(chosen, model, time)
        yield time


def test_at_once_it_is_what_prune_does():
    model = Net()
    expected = prune_model(Net(), INPUTS, dict(macs=0.4), "L1Importance")
    chosen = pruner()
    assert chosen(model) is model
    assert chosen.finished
    assert chosen.state.kept == expected.kept
    assert chosen.state.cost().macs == expected.cost.macs
    assert chosen.state.dense_cost().macs == expected.dense_cost.macs
    assert chosen.state.subnet().to_data() == expected.subnet.to_data()
    for name, value in expected.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)


@pytest.mark.parametrize("kind", ["LinearSchedule", "CubicSchedule"])
def test_cost_falls_with_the_schedule_and_is_really_that(kind):
    model, chosen = Net(), pruner(schedule={**LINEAR, "type": kind})
    assert chosen(model) is model
    assert not chosen.finished
    dense = count_cost(model, INPUTS).macs
    unit = dense // 10  # one channel is worth less than that
    for time in run_(chosen, model):
        share = time / 4 if kind == "LinearSchedule" else 1 - (1 - time / 4) ** 3
        limit = dense - share * 0.6 * dense
        real = count_cost(model, INPUTS)
        assert limit - unit < real.macs <= limit
        assert real.macs == chosen.state.cost().macs
        assert real.params == chosen.state.cost().params
    assert chosen.finished
    assert [step["time"] for step in chosen.state.steps] == [1, 2, 3, 4]


def test_parameters_stay_the_same_objects():
    model, chosen = Net(), pruner(schedule=LINEAR)
    before = dict(model.named_parameters())
    for _ in run_(chosen, model):
        pass
    assert all(p is before[name] for name, p in model.named_parameters())
    assert model.a.out_channels == model.norm.num_features == len(model.a.weight) < 10


def test_cuts_refer_to_the_original():
    model, chosen = Net(), pruner(schedule=LINEAR)
    original = copy.deepcopy(model)
    for _ in run_(chosen, model):
        pass
    again = slim(original, chosen.state.cuts)
    assert str(again) == str(model)
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    kept = chosen.state.kept["a.out"]
    assert torch.equal(original.a.weight[kept], model.a.weight)
    assert len(chosen.state.steps) == 4
    assert len(kept) < 10


def test_every_pruning_ranks_the_weights_of_its_moment():
    model, chosen = Net(), pruner(schedule=LINEAR, ranking="local")
    chosen.prepare(model)
    advance_(chosen, model, 1)
    with torch.no_grad():  # the channel that is now the largest would be the last to go
        norms = model.b.weight.abs().sum((1, 2, 3))
        best = int(norms.argmax())
        lost = chosen.state.kept["b.out"][best]
        model.b.weight[best] *= 1e-3
    for time in (2, 3, 4):
        advance_(chosen, model, time)
    assert lost not in chosen.state.kept["b.out"]


@pytest.mark.parametrize(("min_keep", "least"), [(0.5, 5), (7, 7)])
def test_the_least_width_refers_to_the_original(min_keep, least):
    model = Net()
    with torch.no_grad():
        model.a.weight *= 1e-6  # all of 'a' ranks below all of 'b'
    importance = dict(type="L1Importance", normalization="none")
    chosen = pruner(
        schedule=LINEAR,
        importance=importance,
        min_keep=min_keep,
        budget=dict(macs=0.52),
    )
    widths = [model.a.out_channels for _ in run_(chosen, model)]
    assert widths[-1] == least


def test_local_shares_refer_to_the_original():
    model, chosen = Net((12, 24)), pruner(schedule=LINEAR, ranking="local")
    for _ in run_(chosen, model):
        counts = chosen.state.counts()
        assert abs(counts["a.out"] / 12 - counts["b.out"] / 24) < 1 / 12 + 1e-9


def test_divisor():
    model, chosen = Net((16, 24)), pruner(schedule=LINEAR, divisor=4)
    for _ in run_(chosen, model):
        assert model.a.out_channels % 4 == model.b.out_channels % 4 == 0
    assert chosen.finished


def test_ignored_layers_keep_their_size():
    model, chosen = Net(), pruner(schedule=LINEAR, ignore=["a"])
    for _ in run_(chosen, model):
        pass
    assert model.a.out_channels == 10
    assert model.b.out_channels < 12


def test_gradient_scores_are_means_over_steps():
    importance = dict(type="TaylorImportance", multivariable=True, roles=("in",))
    model = Net()
    chosen = pruner(importance=importance, num_batches=3)
    schedule = chosen.schedule
    assert (schedule.begin, schedule.end) == (3, 3)
    assert chosen(model) is model
    chosen.prepare(model)
    chosen.start_scoring_(model)
    expected = torch.zeros(10, dtype=torch.float64)
    generator = torch.Generator().manual_seed(2)
    for _ in range(3):
        model.zero_grad()
        inputs = torch.randn(4, 3, 8, 8, generator=generator)
        model(inputs).square().mean().backward()
        chosen.scores.add_()
        # by hand: the squared gradient of a gate on each channel that 'b' reads
        gate = (model.b.weight * model.b.weight.grad).sum((0, 2, 3)).double()
        expected += gate.square() / 3
    group = next(g for g in chosen.scores.groups if g.name == "a.out")
    torch.testing.assert_close(chosen.scores.of(group), expected)
    advance_(chosen, model, 3)
    # weights kept by rank alone: those with the highest scores
    kept = chosen.state.kept["a.out"]
    top = expected.argsort(descending=True)[: len(kept)].sort().values.tolist()
    assert kept == top
    assert chosen.scores.sums == {}


def test_layers_that_are_not_trained_are_left_alone_by_gradients():
    model = Net()
    model.a.requires_grad_(False)
    chosen = pruner(importance="TaylorImportance", budget=dict(macs=0.6))
    chosen.prepare(model)
    chosen.start_scoring_(model)
    model(torch.randn(4, 3, 8, 8)).square().mean().backward()
    chosen.scores.add_()
    step = advance_(chosen, model, 16)
    assert step is not None
    assert (model.a.out_channels, chosen.finished) == (10, True)
    assert model.b.out_channels < 12


def fisher_steps(chosen, model, steps=3):
    """Feed some steps; return what a mask multiplied in by hand gives."""
    expected = torch.zeros(model.a.out_channels, dtype=torch.float64)
    generator = torch.Generator().manual_seed(2)
    for _ in range(steps):
        inputs = torch.randn(4, 3, 8, 8, generator=generator)
        model.zero_grad()
        model(inputs).square().mean().backward()
        chosen.scores.add_()
        hidden = model.norm(model.a(inputs)).relu()
        mask = torch.ones(*hidden.shape[:2], requires_grad=True)
        outputs = model.fc(model.b(hidden * mask[..., None, None]).relu().mean((2, 3)))
        (gradient,) = torch.autograd.grad(outputs.square().mean(), mask)
        expected += gradient.double().square().sum(0)
    return expected


@pytest.mark.parametrize("normalize", ["macs", "activations"])
def test_fisher_sums_over_steps_by_what_a_channel_saves_now(normalize):
    importance = dict(type="FisherImportance", normalize=normalize)
    model = Net().eval()
    chosen = pruner(importance=importance, schedule=LINEAR, num_batches=3)
    chosen.prepare(model)
    for time in (1, 2):  # the second time with fewer channels
        chosen.start_scoring_(model)
        expected = fisher_steps(chosen, model)
        graph, _, inputs = chosen._traced(model)
        scores = chosen.scores.scorer(graph, inputs)(graph["a.out"])
        saved = 64 if normalize == "activations" else 64 * 9 * (3 + len(model.b.weight))
        torch.testing.assert_close(scores, expected / saved, rtol=1e-4, atol=0)
        before = chosen.state.kept.get("a.out", list(range(10)))
        advance_(chosen, model, time)
        kept = chosen.state.kept["a.out"]
        best = expected.argsort(descending=True)[: len(kept)].sort().values
        assert kept == [before[i] for i in best]
        assert not any(module._forward_pre_hooks for module in model.modules())
    assert model.a.out_channels < 10


def test_fisher_in_half_precision_is_unscaled_and_skipped_steps_are_forgotten():
    model = Net().eval()
    chosen = pruner(importance="FisherImportance", schedule=LINEAR)
    chosen.prepare(model)
    images = torch.randn(4, 3, 8, 8)
    chosen.start_scoring_(model)
    for scale, skipped in ((1, False), (1024, False), (1024, True), (512, False)):
        (scale * model(images).square().mean()).backward()
        if skipped:
            chosen.scores.forget_step_()
        else:
            chosen.scores.add_(scale)
        model.zero_grad()
    assert chosen.scores.count == 3
    thrice = chosen.scores.sums["a.out"]
    chosen.scores.clear_()
    chosen.start_scoring_(model)
    model(images).square().mean().backward()
    chosen.scores.add_()
    torch.testing.assert_close(chosen.scores.sums["a.out"] * 3, thrice)


def test_groups_that_masks_cannot_measure_keep_their_size():
    class ByHand(Net):
        def forward(self, input):
            x = self.b(self.norm(self.a(input)).relu()).relu()
            return nn.functional.linear(x.mean((2, 3)), self.fc.weight)

    model = ByHand()
    chosen = pruner(
        importance="FisherImportance", schedule=LINEAR, budget=dict(macs=0.6)
    )
    chosen.prepare(model)
    chosen.start_scoring_(model)
    model(torch.randn(4, 3, 8, 8)).square().mean().backward()
    chosen.scores.add_()
    assert chosen.scores.refused == {
        "b.out": "is read by 'fc.weight', not by its layer's call"
    }
    resumed = pruner(importance="FisherImportance", schedule=LINEAR)
    resumed.load_state_(ByHand(), chosen.state_dict())
    assert resumed.scores.refused == chosen.scores.refused
    advance_(chosen, model, 4)
    assert chosen.finished
    assert (model.a.out_channels < 10, model.b.out_channels) == (True, 12)


def test_a_copy_of_a_pruner_does_not_read_masks():
    model = Net()
    chosen = pruner(importance="FisherImportance", schedule=LINEAR)
    chosen.prepare(model)
    chosen.start_scoring_(model)
    twin, other = copy.deepcopy((chosen, model))
    other(torch.randn(4, 3, 8, 8)).square().mean().backward()
    chosen.scores.add_()
    assert float(chosen.scores.sums["a.out"].sum()) == 0
    assert twin.scores.sums == {}


@pytest.mark.parametrize("kind", ["TaylorImportance", "FisherImportance"])
def test_scores_survive_a_checkpoint(kind):
    importance = dict(type=kind)

    def scored(steps, chosen, model):
        generator = torch.Generator().manual_seed(2)
        for step in range(4):
            inputs = torch.randn(4, 3, 8, 8, generator=generator)
            if step in steps:
                model.zero_grad()
                model(inputs).square().mean().backward()
                chosen.scores.add_()

    model, whole = Net().eval(), pruner(importance=importance)
    whole.prepare(model)
    whole.start_scoring_(model)
    scored(range(4), whole, model)
    part = pruner(importance=importance)
    part.prepare(model)
    part.start_scoring_(model)
    scored(range(2), part, model)
    resumed, other = pruner(importance=importance), Net().eval()
    resumed.load_state_(other, part.state_dict())
    resumed.start_scoring_(other)
    scored(range(2, 4), resumed, other)
    assert resumed.scores.count == whole.scores.count == 4
    for name, sums in whole.scores.sums.items():
        assert torch.equal(resumed.scores.sums[name], sums)


def test_state_is_loaded_into_the_original_and_goes_on_alike():
    model, chosen = Net(), pruner(schedule=LINEAR)
    saved = None
    for time in run_(chosen, model):
        if time == 2:
            saved = chosen.state_dict()
            weights = copy.deepcopy(model.state_dict())
    resumed, other = pruner(schedule=LINEAR), Net(seed=9)
    assert resumed.load_state_(other, saved) == PruningState.from_dict(saved).cuts
    other.load_state_dict(weights)
    assert resumed.prepare(other) is None
    for time in (3, 4):
        advance_(resumed, other, time)
    assert resumed.state == chosen.state
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)


def test_a_smaller_budget_takes_up_the_pruning_again():
    chosen = pruner(budget=dict(macs=0.7))
    chosen(Net())
    for share, finished in ((0.7, True), (0.5, False)):
        model = Net()
        again = pruner(schedule=LINEAR, budget=dict(macs=share))
        again.load_state_(model, chosen.state_dict())
        assert again.finished is finished
    assert advance_(again, model, 4)
    state = again.state
    assert count_cost(model, INPUTS).macs == state.cost().macs
    assert state.cost().macs <= 0.5 * state.dense_cost().macs  # of the original
    assert str(slim(Net(), state.cuts)) == str(model)


def test_what_was_pruned_at_building_gives_way_to_a_checkpoint():
    saved = pruner(budget=dict(macs=0.7))
    saved(Net(seed=5))
    model, chosen = Net(), pruner(budget=dict(macs=0.7))
    chosen(model)
    assert chosen.state.cuts != saved.state.cuts
    chosen.load_state_(model, saved.state_dict())
    assert chosen.state == saved.state
    assert model.a.out_channels == len(saved.state.kept["a.out"])
    assert chosen.load_state_(model, saved.state_dict()) == Cuts()


def test_a_settled_pruning_does_not_give_way():
    saved = pruner(budget=dict(macs=0.7))
    saved(Net(seed=5))
    model, chosen = Net(), pruner()
    chosen(model)
    chosen.settle_()
    assert not chosen.restore_(model)
    with pytest.raises(ValueError, match="lost other channels than the checkpoint's"):
        chosen.load_state_(model, saved.state_dict())


def test_restore_brings_the_dense_weights_back():
    model, chosen = Net(), pruner()
    before = copy.deepcopy(model.state_dict())
    chosen(model)
    assert chosen.restore_(model)
    assert chosen.state is None
    for name, value in before.items():
        assert torch.equal(model.state_dict()[name], value)


def test_a_state_of_another_model_is_refused():
    chosen = pruner()
    chosen(Net())
    with pytest.raises(ValueError, match=r"another model than this Net: .*a.weight"):
        pruner().load_state_(Net((8, 12)), chosen.state_dict())


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.pop("cuts"),
        lambda data: data.update(format="mmrazor.pruning/9"),
        lambda data: data.update(macs=[["a", 1]]),
        lambda data: data.update(unknown=1),
    ],
)
def test_a_damaged_state_is_refused(damage):
    chosen = pruner()
    chosen(Net())
    data = chosen.state_dict()
    damage(data)
    with pytest.raises(ValueError, match="says of pruning cannot be read|damaged"):
        pruner().load_state_(Net(), data)


def test_state_is_plain_data(tmp_path):
    chosen = pruner(schedule=LINEAR, importance="TaylorImportance")
    model = Net()
    chosen.prepare(model)
    chosen.start_scoring_(model)
    model(INPUTS["input"]).sum().backward()
    chosen.scores.add_()
    advance_(chosen, model, 2)
    torch.save(chosen.state_dict(), tmp_path / "state.pth")
    loaded = torch.load(tmp_path / "state.pth", weights_only=True)
    assert PruningState.from_dict(loaded) == chosen.state


class Breaks(Net):
    """Counts on 12 channels in a way that no trace shows."""

    def forward(self, input):
        x = self.b(self.norm(self.a(input)).relu()).relu()
        return self.fc(x.mean((2, 3))) * {12: 1.0}[x.shape[1]]


def test_groups_that_break_the_model_are_found_before_training():
    model, chosen = Breaks(), pruner(schedule=LINEAR, budget=dict(macs=0.6))
    chosen.prepare(model)
    assert list(chosen.state.frozen) == ["b.out"]
    for time in (1, 2, 3, 4):
        advance_(chosen, model, time)
    assert chosen.finished
    assert model.b.out_channels == 12
    assert list(chosen.state.subnet().choices) == ["a.out"]


def test_an_unreachable_budget_is_said_before_training():
    chosen = pruner(schedule=LINEAR, budget=dict(macs=0.01), min_keep=0.5)
    with pytest.raises(BudgetError, match=r"macs is at least .*min_keep \(0.5\)"):
        chosen.prepare(Net())


def test_nothing_prunable():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.only = nn.Conv2d(3, 4, 1)

        def forward(self, input):
            return self.only(input)

    for chosen in (pruner(), pruner(schedule=LINEAR)):
        with pytest.raises(NothingPrunableError, match="is an output"):
            chosen.prepare(Plain())


def test_bounds_with_a_low_end_hold_at_the_end():
    model = Net((32, 32))
    chosen = pruner(schedule=LINEAR, budget=dict(macs=(0.35, 0.4)))
    for _ in run_(chosen, model):
        pass
    state = chosen.state
    assert 0.35 <= state.cost().macs / state.dense_cost().macs <= 0.4


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (dict(budget=dict(latency_ms=2.0)), "nothing measures latency in training"),
        (dict(budget=dict(size_bytes=0.5)), "size_bytes=0.5: that is a bound for bit-"),
        (
            dict(importance=dict(type="FisherImportance", normalize="x")),
            "normalize='x'",
        ),
        (dict(num_batches=0), "num_batches=0"),
        (dict(ranking="best"), "ranking is 'best'"),
        (dict(schedule=dict(type="Nope", begin=0, end=1)), "'Nope' is no schedule"),
    ],
)
def test_bad_settings(settings, text):
    with pytest.raises(ValueError, match=text):
        pruner(**settings)


def test_a_copy_has_a_state_of_its_own():
    model, chosen = Net(), pruner()
    chosen(model)
    twin = copy.deepcopy(chosen)
    assert twin.state == chosen.state
    assert not twin.restore_(copy.deepcopy(model))
    assert chosen.restore_(model)
