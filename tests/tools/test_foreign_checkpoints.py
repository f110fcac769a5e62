"""Training begins, or goes on, with weights that fit; or it says what does not."""

import pytest
import torch
from conftest import toy_dict
from mmengine.config import Config
from test_quantize_training import QAT, quantized
from toy_prune import ToyConvNet

from mmrazor.apis.run_config import RunConfigError
from mmrazor.apis.test import test as run_test
from mmrazor.apis.train import train

NET = {"type": "ToyConvNet"}
HINT = {"type": "L2Loss", "student": "output:last", "teacher": "output:last"}
CONNECTOR = {"type": "LinearConnector", "in_features": 2, "out_features": 2}


def of_teacher(connector=False, kind="SingleTeacherDistill"):
    loss = {**HINT, "student_connector": CONNECTOR} if connector else HINT
    return {
        "type": f"mmrazor.{kind}",
        "architecture": NET,
        "teacher": {**NET, "pretrained": False},
        "distiller": {"losses": {"hint": loss}},
    }


@pytest.fixture
def config(toy_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def read(model, epochs=1, **options):
        given = {"train_cfg.max_epochs": epochs, "custom_hooks": [], **options}
        cfg = Config.fromfile(toy_config(given, model=model))
        cfg.experiment_name = f"{tmp_path.name}{len(list(tmp_path.iterdir()))}"
        return cfg

    return read


def saved(**kwargs):
    model = ToyConvNet(**kwargs)
    torch.save({"state_dict": model.state_dict()}, "a.pth")
    return model


FOREIGN = {
    "another shape": (
        lambda: saved(width=6),
        r"'first.weight' has shape \(6, 3, 3, 3\) there and \(8, 3, 3, 3\) in the",
    ),
    "another model": (
        lambda: torch.save(torch.nn.Conv2d(1, 1, 1).state_dict(), "a.pth"),
        r"it lacks 13 of 13 weights, such as 'first.weight'; it has 'weight'",
    ),
    "a part": (
        lambda: torch.save(ToyConvNet().first.state_dict(prefix="first."), "a.pth"),
        r"it lacks 11 of 13 weights, such as 'norm.weight'",
    ),
    "numbers": (
        lambda: torch.save({"state_dict": 5}, "a.pth"),
        r"its 'state_dict' is a int",
    ),
    "not tensors": (
        lambda: torch.save({**ToyConvNet().state_dict(), "last.bias": "b"}, "a.pth"),
        r"'last.bias'",
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_training_does_not_begin_with_weights_that_do_not_fit(config, kind):
    write, text = FOREIGN[kind]
    write()
    with pytest.raises(RunConfigError, match=rf"'a.pth' is not of the.*{text}") as err:
        train(config(NET, load_from="a.pth"))
    assert "load_what_fits = True" in str(err.value)


def test_what_fits_is_loaded_if_that_is_meant(config):
    source = saved(width=8)
    state = source.state_dict()
    state["last.weight"], state["last.bias"] = torch.ones(5, 8), torch.ones(5)
    torch.save(state, "a.pth")
    still = {"optim_wrapper.optimizer.lr": 0.0}
    trained = train(config(NET, load_from="a.pth", load_what_fits=True, **still))
    assert torch.equal(trained.model.first.weight.cpu(), source.first.weight)
    torch.save({"weight": torch.ones(5)}, "a.pth")
    with pytest.raises(RunConfigError, match="not one of its 1 weights, such as 'weig"):
        train(config(NET, load_from="a.pth", load_what_fits=True))


@pytest.mark.parametrize("model", [NET, of_teacher(True), quantized(QAT)])
@pytest.mark.parametrize("prefix", ["", "architecture."])
def test_weights_of_architecture_and_algorithm_begin_either(config, model, prefix):
    source = ToyConvNet()
    torch.save(source.state_dict(prefix=prefix), "a.pth")
    still = {"optim_wrapper.optimizer.lr": 0.0}
    found = train(config(model, load_from="a.pth", **still)).model.state_dict()
    name = "last.weight" if model is NET else "architecture.last.weight"
    assert torch.equal(found[name].cpu(), source.last.weight)


RUNS = {
    "plain": NET,
    "taught": of_teacher(),
    "taught with a connector": of_teacher(True),
    "quantized": quantized(QAT),
}
OTHERS = [
    (
        "taught",
        quantized(QAT),
        "run of 'SingleTeacherDistill', and this run trains",
    ),
    ("quantized", of_teacher(), "run of 'Quantize', and this run trains 'SingleTeach"),
    ("taught", of_teacher(kind="Compress"), "run of 'SingleTea.* trains 'Compress'"),
    ("plain", of_teacher(), "of a run of 'ToyConvNet', and this run"),
    ("taught", NET, "this run trains 'ToyConvNet'"),
    ("plain", {**NET, "width": 4}, r"has shape \(8, 3, 3, 3\) there"),
    ("taught with a connector", of_teacher(), "2 weights too many"),
    ("taught", of_teacher(True), "lacks 2 of .* 'distiller"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return the folder with a checkpoint of each run; they are made once."""
    folder = tmp_path_factory.mktemp("runs")
    for name, model in RUNS.items():
        content = toy_dict()
        content["model"] = model
        content["custom_imports"]["imports"].append("toy_prune")
        for stage in ("train", "val", "test"):
            loader = content[f"{stage}_dataloader"]
            loader["dataset"] = {**loader["dataset"], "type": "ToyImages"}
        content["train_cfg"]["max_epochs"] = 1
        content["experiment_name"] = f"{folder.name} {name}"
        train(Config(content), work_dir=folder / name)
    return folder


@pytest.mark.parametrize(("run", "model", "text"), OTHERS)
def test_a_run_goes_on_with_its_own_model_alone(config, runs, run, model, text):
    checkpoint = runs / run / "epoch_1.pth"
    with pytest.raises(RunConfigError, match=rf"epoch_1.pth' is not of.*{text}") as err:
        train(config(model, epochs=2), resume=checkpoint)
    assert "load_what_fits" not in str(err.value)


@pytest.mark.parametrize("run", ["taught with a connector", "quantized"])
def test_a_run_goes_on_with_its_own_model(config, runs, run):
    cfg = config(RUNS[run], epochs=2)
    assert train(cfg, resume=runs / run / "epoch_1.pth").iter == 12


def test_weights_alone_cannot_be_resumed(config):
    saved()
    with pytest.raises(RunConfigError, match="holds weights alone.*load_from='<file>'"):
        train(config(NET), resume="a.pth")


def cut(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


DAMAGE = {
    "cut": cut,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no checkpoint"),
    "list": lambda path: torch.save([torch.ones(1)], path),
}


def by_teacher(config, path):
    teacher = of_teacher()
    teacher["teacher"] = {**NET, "checkpoint": path}
    train(config(teacher))


@pytest.mark.parametrize(
    ("damage", "run"),
    [
        ("cut", lambda config, path: run_test(config(NET), path)),
        ("empty", lambda config, path: train(config(NET), resume=path)),
        ("text", lambda config, _: train(config(NET), work_dir="run", resume=True)),
        ("list", lambda config, path: train(config(NET, load_from=path))),
        ("cut", by_teacher),
    ],
    ids=["test", "resume", "newest", "load_from", "teacher"],
)
def test_a_damaged_file_is_named(config, tmp_path, damage, run):
    (tmp_path / "run").mkdir()
    path = tmp_path / "run/epoch_1.pth"
    torch.save(ToyConvNet().state_dict(), path)
    DAMAGE[damage](path)
    with pytest.raises(RunConfigError, match=r"run/epoch_1.pth'") as err:
        run(config, str(path))
    assert len(str(err.value).splitlines()) == 1


def test_a_folder_is_no_checkpoint(config, tmp_path):
    (tmp_path / "run").mkdir()
    torch.save({}, "run/epoch_3.pth")
    for run in (
        lambda: run_test(config(NET), "run"),
        lambda: train(config(NET), resume="run"),
        lambda: train(config(NET, load_from="run")),
    ):
        with pytest.raises(FileNotFoundError, match=r"'run' is a folder.*epoch_3.pth"):
            run()
