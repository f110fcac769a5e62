"""Configs of architecture search: a step of each, budgets that can be met, files."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import TASK_UTILS

import mmrazor
from mmrazor import compat
from mmrazor.apis.run_config import load_config, run_config
from mmrazor.apis.runner import build_runner
from mmrazor.apis.search import search
from mmrazor.apis.train import train
from mmrazor.core.cost import Budget
from mmrazor.core.searchers import Searcher
from mmrazor.core.space import Subnet
from mmrazor.models.architectures import build_architecture
from mmrazor.models.mutators import NasMutator
from mmrazor.registry import MODELS
from tests.configs.test_configs import CONFIGS, ROOT, SMALL

NAS = [path for path in CONFIGS if "nas" in path.relative_to(ROOT).parts]
SEARCHES = [path for path in NAS if "_search_" in path.stem]
# What takes its Subnet from a file.
RETRAINS = [p for p in NAS if "_retrain_" in p.stem or "_subnet" in p.stem]
SUPERNETS = [p for p in NAS if p not in SEARCHES + RETRAINS]
IMAGES = {"fashion_mnist": 28, "cifar10": 32, "scenes": 160, "in1k": 224, "coco": 224}


def parametrized(paths):
    """Configs by name; those that are not small are slow, and so is that of DARTS."""
    quick = [p for p in SMALL if not p.stem.startswith("darts_supernet")]
    marks = {path: [] if path in quick else [pytest.mark.slow] for path in paths}
    return pytest.mark.parametrize(
        "path", [pytest.param(p, id=p.stem, marks=marks[p]) for p in paths]
    )


def supernet_of(path):
    """Return the mutator and the supernet of a config, whatever it trains."""
    cfg = load_config(path)
    compat.import_host(cfg.default_scope)
    mutator = NasMutator(**without_type(cfg.model.get("mutator") or {}))
    model = build_architecture(
        cfg.model.architecture, data_preprocessor=cfg.get("data_preprocessor")
    )
    return cfg, mutator, mutator(model)


def without_type(cfg):
    return {key: value for key, value in cfg.items() if key != "type"}


def small_runner(path, tmp_path, **changes):
    cfg = run_config(path, work_dir=tmp_path, cfg_options=changes)
    small = dict(batch_size=2, num_workers=0, persistent_workers=False)
    cfg.train_dataloader.update(small)
    dataset = cfg.train_dataloader.dataset
    if dataset.get("type") == "KFoldDataset":
        dataset.num_splits = 2  # the tiny data have a sample of each class
    if isinstance(dataset.get("indices"), int):
        dataset.indices = None
    return build_runner(cfg)


def test_there_is_a_supernet_a_search_and_a_retraining_of_each():
    folders = {path.parent.name for path in SUPERNETS}
    assert folders == {"spos", "darts", "dsnas", "detnas"}
    for path in SEARCHES:
        supernet = path.with_name(path.name.replace("_search_", "_supernet_"))
        assert load_config(path).model == load_config(supernet).model
        retrain = re.sub("_search_(.*)", r"_retrain_", path.stem)
        assert list(path.parent.glob(f"{retrain}*.py"))


@parametrized([path for path in SUPERNETS if path in SMALL])
def test_a_step_of_the_supernet(path, tiny_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny_data)
    runner = small_runner(path, tmp_path)
    model, cfg = runner.model, runner.cfg
    batches = iter(runner.build_dataloader(cfg.train_dataloader))
    data = next(batches)
    if "mutator_dataloader" in cfg.train_cfg:
        data = [data, next(batches)]
    optim_wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
    runner.optim_wrapper = optim_wrapper
    assert runner.build_param_scheduler(cfg.param_scheduler)
    before = {name: p.clone() for name, p in model.named_parameters()}
    log = model.train_step(data, optim_wrapper)
    assert all(torch.isfinite(value).all() for value in log.values())
    changed = [n for n, p in model.named_parameters() if not p.equal(before[n])]
    values = model.space.sample(np.random.default_rng(0))
    assert len(changed) > len(list(model.subnet_model(values).parameters())) / 2


@parametrized(SEARCHES)
def test_the_budget_of_a_search_lies_within_its_space(path):
    cfg, mutator, model = supernet_of(path)
    search = dict(cfg.search)
    side = next(side for name, side in IMAGES.items() if path.stem.endswith(name))
    size = tuple(search.get("image_size", cfg.get("image_scale", (side, side))))
    inputs = mmrazor.example_inputs(model, image_size=size)
    cost = mutator.space_cost(model, inputs).restricted_to(search.get("prefix", ""))
    least, most = cost.range()["macs"]
    limits = Budget.parse(search["budget"]).limits(dict(macs=most, params=1))
    low, high = limits["macs"]
    assert low <= least < high < most
    searcher = TASK_UTILS.build({"_scope_": "mmrazor", **search["searcher"]})
    assert isinstance(searcher, Searcher)
    fits = [
        cost.cost(mutator.space.sample(np.random.default_rng(seed))).macs <= high
        for seed in range(200)
    ]
    assert any(fits)  # random Subnets are enough to begin with


@parametrized([path for path in RETRAINS if path in SMALL])
def test_a_step_of_the_subnet(path, tiny_data, tmp_path, monkeypatch):
    _, mutator, _ = supernet_of(path)
    values = mutator.space.sample(np.random.default_rng(0))
    file = Subnet(mutator.space.fingerprint(), values).dump(tmp_path / "subnet.yaml")
    monkeypatch.chdir(tiny_data)
    runner = small_runner(path, tmp_path, **{"model.subnet": str(file)})
    model = runner.model
    assert not any("candidates" in name for name in model.state_dict())
    loader = runner.build_dataloader(runner.cfg.train_dataloader)
    optim_wrapper = runner.build_optim_wrapper(runner.cfg.optim_wrapper)
    before = {name: p.clone() for name, p in model.named_parameters()}
    log = model.train_step(next(iter(loader)), optim_wrapper)
    assert all(torch.isfinite(value).all() for value in log.values())
    changed = [n for n, p in model.named_parameters() if not p.equal(before[n])]
    assert len(changed) > len(before) / 2


def test_each_subnet_comes_from_the_search_of_the_same_space():
    for path in RETRAINS:
        cfg = load_config(path)
        source = Path(cfg.model.subnet)
        (found,) = [one for one in NAS if one.stem == source.parent.name]
        theirs = load_config(found)
        if found.stem.startswith("darts"):
            continue  # its space does not depend on the size of the network
        mine, other = (
            dict(one.model.architecture.get("backbone") or {}) for one in (cfg, theirs)
        )
        for backbone in (mine, other):
            for key in ("init_cfg", "norm_cfg", "out_indices", "_delete_"):
                backbone.pop(key, None)
        assert mine == other, path.name


@pytest.mark.slow
def test_subnet_files_fit_their_configs():
    files = sorted(ROOT.glob("configs/nas/**/*.yaml"))
    assert len(files) == 2
    for file in files:
        subnet = Subnet.load(file)
        name = {"darts_v2": "darts_retrain_1xb96-600e_cifar10"}.get(
            file.stem, "spos_shufflenetv2_retrain_8xb128_in1k"
        )
        _, mutator, model = supernet_of(file.with_name(f"{name}.py"))
        subnet.check(mutator.space)
        if subnet.cost:
            small = mutator.fixed(model, subnet.choices)
            inputs = mmrazor.example_inputs(small, image_size=(224, 224))
            cost = mmrazor.count_cost(small, inputs)
            assert (cost.macs, cost.params) == (
                subnet.cost["macs"],
                subnet.cost["params"],
            )


@pytest.mark.slow
def test_a_search_by_gradient_runs_from_its_config(tiny_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny_data)
    path = ROOT / "configs/nas/mmcls/darts/darts_small_supernet_1xb64-10e_cifar10.py"
    options = {
        "train_dataloader.dataset.num_splits": 2,
        "train_cfg.mutator_dataloader.dataset.num_splits": 2,
        "train_dataloader.batch_size": 2,
        "train_cfg.max_epochs": 1,
        "val_dataloader.batch_size": 5,
    }
    runner = train(path, work_dir=tmp_path, cfg_options=options)
    assert runner.iter == 3
    first, second = runner.train_loop.dataloader, runner.train_loop.mutator_dataloader
    assert second.batch_size == 2
    images = [
        {one.dataset.get_data_info(i)["img_path"] for i in range(len(one.dataset))}
        for one in (first, second)
    ]
    assert len(images[0]) == len(images[1]) == 5
    assert not images[0] & images[1]
    subnet = Subnet.load(tmp_path / "subnet.yaml")
    retrain = path.with_name("darts_small_retrain_1xb96-20e_cifar10.py")
    _, mutator, _ = supernet_of(retrain)
    subnet.check(mutator.space)


@pytest.mark.slow
@parametrized([path for path in SEARCHES if path in SMALL])
def test_a_search_runs_from_its_config(path, tiny_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny_data)
    cfg = load_config(path)
    for stage in ("train", "val"):
        loader = cfg[f"{stage}_dataloader"]
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        if "num_splits" in loader.dataset:
            loader.dataset.num_splits = 2
        if "indices" in loader.dataset:
            loader.dataset.indices = 2 if stage == "train" else -2
    searcher = dict(type="RandomSearcher", num_subnets=3)
    cfg.search.searcher, cfg.search.calibrate_bn = searcher, 2
    compat.import_host(cfg.default_scope)
    torch.save(MODELS.build(cfg.model).state_dict(), tmp_path / "supernet.pth")
    info = search(cfg, tmp_path / "supernet.pth", work_dir=tmp_path / "found")
    assert (info.num_subnets, info.num_failed) == (3, 0)
    assert all(cfg.search.metric in subnet.score for subnet in info.best)
    assert all(s.cost["macs"] <= cfg.search.budget.macs[1] for s in info.best)
    runner = build_runner(run_config(info.retrain, work_dir=tmp_path / "trained"))
    plain = {name: value.shape for name, value in runner.model.state_dict().items()}
    _, mutator, model = supernet_of(path)
    fixed = mutator.fixed(model, info.best[0].choices).state_dict()
    assert plain == {name: value.shape for name, value in fixed.items()}


@parametrized([path for path in SEARCHES if path in SMALL])
def test_the_metric_of_a_search_is_one_that_its_validation_gives(
    path, tiny_data, tmp_path, monkeypatch
):
    monkeypatch.chdir(tiny_data)
    cfg = run_config(path, work_dir=tmp_path)
    dataset = cfg.val_dataloader.dataset
    if "num_splits" in dataset:
        dataset.num_splits = 2
    if "indices" in dataset:
        dataset.indices = -2
    cfg.val_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    runner = build_runner(cfg)
    metrics = runner.val()
    assert cfg.search.metric in metrics
    # no image of the validation is one that the supernet is trained on
    kept = cfg.train_dataloader.dataset
    if "num_splits" in kept:
        assert kept.fold == dataset.fold
        assert not kept.get("test_mode")
        assert kept.seed == dataset.seed
    else:
        assert kept.indices > 0
