"""The widths that a search finds, against all combinations there are."""

import itertools

import pytest
import torch
from torch import nn

from mmrazor.core.searchers import CostLimits, RandomSearcher
from mmrazor.models.quantizers import (
    BitSensitivity,
    BitSpace,
    Quantizer,
    bit_sensitivity,
    quant_report,
)
from mmrazor.models.quantizers.bit_search import least_sum
from mmrazor.models.quantizers.bit_sensitivity import output_errors
from mmrazor.models.quantizers.methods import GPTQ, MixedPrecision
from mmrazor.registry import MODELS
from tests.models.quantizers.methods.toys import (
    check_on_grid,
    check_records,
    distance,
    quantized,
    toy,
)

WEIGHT = dict(bits=[8, 4, 2])
QUICK = dict(
    type="EvolutionSearcher",
    population=12,
    generations=4,
    top_k=4,
    mutation=4,
    crossover=4,
)


def searched(budget, weight=WEIGHT, searcher=QUICK, **kwargs):
    net, data = toy()
    net, quantizer = quantized(net, data, weight=weight)
    method = MixedPrecision(budget, searcher, **kwargs)
    records = method(net, quantizer, data)
    assert records == []
    return net, quantizer, method.found


def combinations(bits):
    for widths in itertools.product(*map(bits.widths, bits.space)):
        yield dict(zip(bits.space, widths, strict=True))


@pytest.fixture(scope="module")
def brute_force():
    """All Subnets of the toy: bytes, sum of sensitivities, error when run."""
    net, data = toy()
    net, quantizer = quantized(net, data, weight=WEIGHT)
    bits = BitSpace(net, quantizer)
    sensitivity = bit_sensitivity(net, quantizer, bits, data)
    all_values = list(combinations(bits))
    assert len(all_values) == 3**5
    errors = output_errors(net, quantizer, bits, data, all_values)
    return [
        (bits.costs(values)["size_bytes"], sensitivity.estimate(values), error, values)
        for values, error in zip(all_values, errors, strict=True)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_the_least_sum_is_that_of_all_combinations(seed):
    net, data = toy()
    net, quantizer = quantized(net, data, weight=WEIGHT)
    bits = BitSpace(net, quantizer)
    generator = torch.Generator().manual_seed(seed)
    errors = {
        name: {w: float(torch.rand(1, generator=generator)) for w in bits.widths(name)}
        for name in bits.space
    }
    made_up = BitSensitivity(0.5, errors)
    all_values = list(combinations(bits))
    sizes = [bits.costs(values)["size_bytes"] for values in all_values]
    sums = [made_up.estimate(values) for values in all_values]
    for budget in (0.6, 0.8, (0.7, 0.75), max(sizes), float(sorted(sizes)[40])):
        limits = CostLimits(bits.costs, dict(size_bytes=budget), bits.range())
        low, high = limits.limits["size_bytes"]
        least = min(
            total
            for total, size in zip(sums, sizes, strict=True)
            if low <= size <= high
        )
        found = least_sum(bits, limits, made_up)
        assert low <= bits.costs(found)["size_bytes"] <= high
        assert made_up.estimate(found) == pytest.approx(least, abs=1e-9)
    between = sorted(set(sizes))
    gap = (between[40] + 0.25, between[40] + 0.75)
    limits = CostLimits(bits.costs, dict(size_bytes=gap), bits.range())
    assert least_sum(bits, limits, made_up) is None


@pytest.mark.parametrize("budget", [0.6, 0.75, 0.9])
def test_no_combination_has_a_smaller_sum(brute_force, budget):
    _, _, found = searched(dict(size_bytes=budget), num_checked=1)
    limit = budget * max(size for size, *_ in brute_force)
    sums = [total for size, total, _, _ in brute_force if size <= limit]
    by_sum = min(found.checked, key=lambda one: one.score["estimated_error"])
    assert by_sum.score["estimated_error"] == pytest.approx(min(sums), abs=1e-12)
    assert all(one.cost["size_bytes"] <= limit for one in found.checked)
    assert len(found.checked) <= 3
    assert found.limits == (0, limit)


def test_the_best_by_the_sum_are_run_and_the_best_of_those_is_chosen(brute_force):
    _, _, found = searched(dict(size_bytes=0.75), searcher=None, num_checked=6)
    fitting = [row for row in brute_force if row[0] <= found.limits[1]]
    best = sorted(fitting, key=lambda row: row[1])[:6]
    uniform = dict.fromkeys(found.subnet.choices, 4)
    expected = min(
        row[2] for row in [*best, *fitting] if row in best or row[3] == uniform
    )
    assert found.subnet.score["output_error"] == pytest.approx(expected)
    errors = [one.score["output_error"] for one in found.checked]
    assert errors == sorted(errors)
    known = {tuple(row[3].items()): row[2] for row in brute_force}
    for one in found.checked:
        error = known[tuple(one.choices.items())]
        assert one.score["output_error"] == pytest.approx(error)
    assert uniform in [dict(one.choices) for one in found.checked]


def test_with_runs_as_the_score_no_combination_is_better(brute_force):
    searcher = dict(type="RandomSearcher", num_subnets=3**5)
    _, _, found = searched(dict(size_bytes=0.6), searcher=searcher, score="run")
    errors = [error for size, _, error, _ in brute_force if size <= found.limits[1]]
    assert found.subnet.score["output_error"] == pytest.approx(min(errors))


@pytest.mark.parametrize("searcher", ["GreedySearcher", RandomSearcher(50)])
def test_other_searchers_meet_the_budget_too(searcher):
    cfg = dict(type=searcher) if isinstance(searcher, str) else searcher
    _, quantizer, found = searched(dict(size_bytes=(0.5, 0.7)), searcher=cfg)
    low, high = found.limits
    assert low <= found.subnet.cost["size_bytes"] <= high
    assert [m.settings_now.bits for m in quantizer.quantizers("weights")] == [
        found.bits[f"{site}"] for site in quantizer.layers()
    ]


def test_widths_are_fixed_and_the_report_has_them():
    net, quantizer, found = searched(dict(size_bytes=0.75))
    report = quant_report(net, quantizer)
    assert report.quantized_bytes == found.subnet.cost["size_bytes"]
    layers = {la.site: la.weight_bits for la in report.layers if la.weight_bits}
    assert layers == found.bits
    assert len(set(layers.values())) > 1
    assert not any(m.choices() for m in quantizer.quantizers())
    assert all(len(m.scales) == 1 for m in quantizer.quantizers("weights"))


@pytest.mark.parametrize("kind", ["FakeQuantize", "LearnedStepSize"])
def test_a_model_with_these_widths_in_its_settings_loads_them_bit_by_bit(kind):
    weight = dict(WEIGHT, type=kind)
    net, quantizer, found = searched(dict(size_bytes=0.75), weight=weight)
    other, data = toy()
    overrides = {s: dict(weight=dict(bits=b)) for s, b in found.bits.items()}
    fresh = Quantizer(
        "generic",
        weight=dict(type=kind, bits=8),
        activation=False,
        overrides=overrides,
    )
    fresh.prepare_(other, data[0])
    other.load_state_dict(net.state_dict())
    fresh.load_state_dict(quantizer.state_dict())
    assert fresh.ready
    with torch.no_grad():
        for batch in data:
            for one, two in zip(net(batch), other(batch), strict=True):
                assert torch.equal(one, two)


def test_methods_that_come_after_it_work_on_these_widths():
    original, data = toy()
    net, quantizer, found = searched(dict(size_bytes=0.6))
    before = distance(original, net, data)
    check_records(GPTQ()(net, quantizer, data), quantizer)
    check_on_grid(net, quantizer)
    assert distance(original, net, data) < before
    for site in quantizer.layers():
        where, module = quantizer.places.weights[site], quantizer.step_at(site).weight
        integers = module.quantized_(net.get_parameter(where.name))
        most = 2 ** (found.bits[f"{site}"] - 1) - 1
        assert integers.abs().max() <= most


def test_one_seed_gives_one_subnet():
    found = [
        searched(dict(size_bytes=0.7), searcher={**QUICK, "seed": seed})[2]
        for seed in (0, 0, 1)
    ]
    assert found[0].checked == found[1].checked
    assert found[0].checked != found[2].checked


def test_progress_is_told_once_for_each_layer():
    net, data = toy()
    net, quantizer = quantized(net, data, weight=WEIGHT)
    calls = []
    MixedPrecision(dict(size_bytes=0.8), QUICK, max_batches=1)(
        net, quantizer, data, advance=lambda: calls.append(1)
    )
    assert len(calls) == len(quantizer.layers()) == 5


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        (dict(), "MixedPrecision has no budget.*--budget size_bytes=0.5"),
        (dict(budget=dict(macs=0.5)), "counts size_bytes.*bounds .'macs'."),
        (dict(budget=dict(size=0.5)), "has 'size'; it may have.*'size_bytes'"),
        (dict(budget=dict(size_bytes=0.5), score="max"), "score='max' must be one of"),
        (dict(budget=dict(size_bytes=0.5), num_checked=0), "num_checked=0 and"),
        (
            dict(budget=dict(size_bytes=0.5), searcher=dict(type="Best")),
            "'Best' is no Searcher. There are",
        ),
    ],
)
def test_wrong_arguments_are_told_at_once(kwargs, text):
    with pytest.raises(ValueError, match=text):
        MODELS.build(dict(type="mmrazor.MixedPrecision", **kwargs))


def test_what_cannot_be_is_said():
    net, data = toy()
    method = MixedPrecision(dict(size_bytes=0.1))
    raw, quantizer = quantized(net, data, calibrated=False, weight=WEIGHT)
    with pytest.raises(ValueError, match="MixedPrecision comes after calibration"):
        method(raw, quantizer, data)
    ready, quantizer = quantized(net, data, weight=WEIGHT)
    least, most = BitSpace(ready, quantizer).range()["size_bytes"]
    text = f"size_bytes may be 0 to {0.1 * most:.6g}, and this space reaches {least} to"
    with pytest.raises(ValueError, match=text):
        method(ready, quantizer, data)
    GPTQ()(ready, quantizer, data)
    with pytest.raises(ValueError, match="comes before methods that round weights"):
        method(ready, quantizer, data)
    plain, quantizer = quantized(net, data, weight=dict(bits=4))
    with pytest.raises(ValueError, match="No weight of Toy has several bit-widths"):
        method(plain, quantizer, data)


def test_a_last_layer_alone_is_searched_as_well():
    net, data = nn.Sequential(nn.Linear(6, 3)), [torch.randn(5, 6)]
    net, quantizer = quantized(net, data, weight=dict(bits=[4, 8]))
    method = MixedPrecision(dict(size_bytes=1.0))
    method(net, quantizer, data)
    assert method.found.bits == {"0:linear": 8}
