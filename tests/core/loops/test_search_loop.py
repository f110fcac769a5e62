"""The search in a runner, on a toy supernet."""

from __future__ import annotations

import multiprocessing
import os
import socket

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import distributed, nn

from mmrazor.core.cost import CostTerm, ModuleCost, SpaceCost
from mmrazor.core.loops import SearchLoop
from mmrazor.core.loops.local_metrics import local_metrics
from mmrazor.core.searchers import AdditiveLatency
from mmrazor.core.space import OneOf, SearchSpace
from mmrazor.registry import LOOPS

WIDTHS = [1, 2, 3, 4, 5, 6]


class Supernet(BaseModel):
    """Multiplies its input; a width of 5 cannot run."""

    def __init__(self):
        super().__init__()
        self.space = SearchSpace([OneOf("a", WIDTHS), OneOf("b", WIDTHS)])
        self.bn = nn.BatchNorm1d(1)

    def select_(self, values):
        self.space.select_(values)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        a, b = self.space["a"].selected, self.space["b"].selected
        if a == 5:
            raise RuntimeError("width 5 does not run")
        out = self.bn(torch.stack(list(inputs))[:, None] * a + b)[:, 0]
        return list(zip(out, data_samples, strict=True)) if mode == "predict" else out


class Closeness(BaseMetric):
    """Less the mean distance between prediction and target."""

    default_prefix = "toy"

    def process(self, data_batch, data_samples):
        self.results += [{"distance": (p - t).abs()} for p, t in data_samples]

    def compute_metrics(self, results):
        assert all(r["distance"].device.type == "cpu" for r in results)
        distances = [float(r["distance"]) for r in results]
        return {"close": -sum(distances) / len(distances), "count": len(distances)}


class Line(torch.utils.data.Dataset):
    metainfo = {}

    def __init__(self, size=11):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        value = torch.tensor(float(index))
        return {"inputs": value, "data_samples": 3 * value + 2}


def space_cost():
    terms = [
        CostTerm(n, (n,), {(w,): ModuleCost(10 * w, w) for w in WIDTHS}) for n in "ab"
    ]
    return SpaceCost(ModuleCost(100, 1), terms)


def loader(size=11):
    sampler = dict(type="DefaultSampler", shuffle=False)
    return dict(dataset=Line(size), batch_size=4, sampler=sampler)


def loop_of(tmp_path, size=11, model=None, **settings):
    runner = Runner(
        model=model or Supernet(), work_dir=str(tmp_path), experiment_name="toy"
    )
    searcher = dict(
        type="EvolutionSearcher",
        population=6,
        generations=4,
        top_k=2,
        mutation=3,
        crossover=2,
        mutation_prob=0.5,
    )
    cfg = dict(
        type="mmrazor.SearchLoop",
        runner=runner,
        dataloader=loader(size),
        evaluator=dict(type=Closeness),
        searcher=searcher,
        metric="toy/close",
        space_cost=space_cost(),
        progress=False,
    )
    return LOOPS.build({**cfg, **settings})


def test_finds_the_best_within_the_budget(tmp_path):
    loop = loop_of(tmp_path, budget=dict(macs=(0, 150)))
    assert isinstance(loop, SearchLoop)
    best = loop.run()
    fits = [(a, b) for a in WIDTHS for b in WIDTHS if 10 * (a + b) <= 50 and a != 5]

    def close(a, b):
        outs = [torch.tensor(float(a * i + b)) / (1 + 1e-5) ** 0.5 for i in range(11)]
        return -sum(abs(float(o) - 3 * i - 2) for i, o in enumerate(outs)) / 11

    top = max(fits, key=lambda pair: close(*pair))
    assert tuple(best[0].choices.values()) == top == (3, 2)
    assert best[0].score["toy/close"] == pytest.approx(close(3, 2), abs=1e-5)
    assert best[0].score["toy/count"] == 11
    assert best[0].cost == {"macs": 150, "params": 6}
    assert all(s.cost["macs"] <= 150 for s in best)
    assert loop.model.space.selected() == {"a": 1, "b": 1}  # as it was
    assert len(loop.search.evaluations) == 10  # all pairs that fit
    assert (tmp_path / "search.json").exists()


def test_latency_is_bounded_and_an_objective(tmp_path):
    space = Supernet().space
    by_value = {"a": [0.5 * w for w in WIDTHS], "b": [0.1 * w for w in WIDTHS]}
    latency = AdditiveLatency(space, 1.0, by_value, error=0.0)
    searcher = dict(
        type="ParetoSearcher",
        population=6,
        generations=4,
        objectives=["toy/close", ("latency_ms", "min")],
    )
    budget = dict(latency_ms=(1.7, 2.7), macs=150)
    best = loop_of(tmp_path, latency=latency, budget=budget, searcher=searcher).run()
    for subnet in best:
        a, b = subnet.choices.values()
        assert subnet.cost["latency_ms"] == pytest.approx(1 + 0.5 * a + 0.1 * b)
        assert 1.7 <= subnet.cost["latency_ms"] <= 2.7
    assert len(best) > 1


def test_a_candidate_that_fails_leaves_nothing_behind(tmp_path):
    loop = loop_of(tmp_path)
    loop.run()
    failed = [e for e in loop.search.evaluations if e.error]
    assert failed
    assert {e.error for e in failed} == {"RuntimeError: width 5 does not run"}
    counts = {e.subnet.score.get("toy/count") for e in loop.search.evaluations}
    assert counts == {11, None}


def test_batch_norm_is_calibrated_for_each_candidate(tmp_path):
    settings = dict(calibrate_bn=8, calibrate_dataloader=loader())
    loop = loop_of(tmp_path, **settings)
    scores = {}
    for values in ({"a": 3, "b": 2}, {"a": 6, "b": 1}, {"a": 3, "b": 2}):
        shown = torch.stack(
            [x for batch in loop._shown.first(2) for x in batch["inputs"]]
        )
        out = torch.arange(11.0) * values["a"] + values["b"]
        shown = shown * values["a"] + values["b"]
        mean, std = shown.mean(), shown.std()
        normed = (out - mean) / (std**2 + 1e-5).sqrt()
        close = -(normed - 3 * torch.arange(11.0) - 2).abs().mean().item()
        score = loop.evaluate(values)["toy/close"]
        assert score == pytest.approx(close, rel=1e-5)
        assert scores.setdefault(str(values), score) == score
    assert torch.equal(loop.model.bn.running_mean, torch.zeros(1))


def test_parts_of_the_validation_set(tmp_path):
    loop = loop_of(tmp_path, parts=(0.3, 1.0), keep=0.5)
    loop.run()
    counts = {
        e.part: e.subnet.score["toy/count"]
        for e in loop.search.evaluations
        if not e.error
    }
    assert counts == {0.3: 4, 1.0: 11}  # whole batches of 4


def test_resumes(tmp_path):
    whole = loop_of(tmp_path / "whole").run()
    loop = loop_of(tmp_path / "cut")
    plain, calls = loop.evaluate, []

    def evaluate(values, part):
        calls.append(values)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return plain(values, part)

    loop.search.evaluate = evaluate
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    again = loop_of(tmp_path / "cut", resume=True)
    assert len(again.search.evaluations) == 8
    assert again.run() == whole


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (dict(size=0), "Line has 0 samples, and 1 are needed. Check its paths"),
        (dict(calibrate_bn=8), "calibrate_bn=8 needs data: pass calibrate_dataloader"),
        (
            dict(calibrate_bn=99, calibrate_dataloader=loader()),
            "Line has 11 samples, and 99 are needed",
        ),
        (
            dict(budget=dict(macs=110)),
            "macs may be 0 to 110, and this space reach",
        ),
        (dict(budget=dict(macs=110), space_cost=None), r"bounds \['macs'\], but the"),
    ],
)
def test_what_cannot_be(settings, match, tmp_path):
    with pytest.raises(ValueError, match=match):
        loop_of(tmp_path, **settings)


def test_a_model_without_a_space(tmp_path):
    model = Supernet()
    del model.space
    with pytest.raises(TypeError, match="a model with a search space, got Supernet"):
        loop_of(tmp_path, model=model)


def test_a_metric_that_is_not_there(tmp_path):
    match = r"looks for \['accuracy'\], but what is known .* 'toy/close', 'toy/count'\]"
    with pytest.raises(ValueError, match=match):
        loop_of(tmp_path, metric="accuracy").run()


def test_metrics_are_those_of_mmengine():
    evaluators = [Evaluator([Closeness(), Closeness(prefix="other")]) for _ in range(2)]
    for evaluator in evaluators:
        samples = [(torch.tensor(1.0), torch.tensor(float(i))) for i in range(5)]
        evaluator.process(data_samples=samples)
    assert local_metrics(evaluators[0], 4) == evaluators[1].evaluate(4)
    assert evaluators[0].metrics[0].results == []
    twice = Evaluator([Closeness(), Closeness()])
    twice.process(data_samples=samples)
    with pytest.raises(ValueError, match="Two metrics are named 'toy/close'. Give one"):
        local_metrics(twice, 5)


def rank_main(rank, port, folder, queue):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    loop = loop_of(folder, calibrate_bn=8, calibrate_dataloader=loader())
    best = loop.run()
    queue.put((rank, [subnet.to_data() for subnet in best]))
    distributed.barrier()


@pytest.mark.dist
def test_two_ranks_find_what_one_does(tmp_path):
    settings = dict(calibrate_bn=8, calibrate_dataloader=loader())
    alone = [s.to_data() for s in loop_of(tmp_path / "one", **settings).run()]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    ranks = [
        context.Process(target=rank_main, args=(rank, port, tmp_path / "two", queue))
        for rank in range(2)
    ]
    for process in ranks:
        process.start()
    found = dict(queue.get(timeout=100) for _ in ranks)
    for process in ranks:
        process.join(timeout=100)
    assert found == {0: alone, 1: alone}
