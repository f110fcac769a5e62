"""A quantized model: exact, live batch norms, training, copies, states and errors."""

import copy

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from mmrazor.models.quantizers import (
    NothingQuantizedError,
    QuantizedRunError,
    Quantizer,
    calibrate_,
    calibration,
    parts,
    quantizer_of,
    sqnr_db,
)
from mmrazor.models.quantizers.sites import Site
from tests.core.graph.checking import with_random_values
from tests.core.graph.image_blocks import IMAGE_BLOCKS
from tests.core.graph.networks import ImageNet, Spatial, TokenNet
from tests.core.graph.token_blocks import TOKEN_BLOCKS, TokenMixer
from tests.models.quantizers.toys import (
    Attention,
    Chain,
    Residual,
    calibrated,
    conv,
    images,
    randomized,
)


def chain(seed=1):
    torch.manual_seed(seed)
    return randomized(Chain())


def test_in_float_is_the_model_as_it_was():
    net, x = chain(), images()
    wanted = net(x).detach()
    quantizer = calibrated(net, x)
    assert not torch.allclose(net(x), wanted, atol=1e-5)
    with quantizer.in_float():
        assert torch.allclose(net(x), wanted, atol=1e-5)
    with pytest.raises(ZeroDivisionError), quantizer.in_float():
        _ = 1 / 0
    assert not torch.allclose(net(x), wanted, atol=1e-5)


def live(net, *batches, **kwargs):
    return calibrated(net, *batches, fold=False, **kwargs)


def test_live_norms_in_eval_mode_are_as_if_folded():
    folded, open_, x = chain(), chain(), images()
    calibrated(folded, x)
    quantizer = live(open_, x)
    assert isinstance(open_.bn1, nn.BatchNorm2d)
    assert [str(fold.norm) for fold in quantizer.folds] == ["bn1:norm", "bn2:norm"]
    assert sqnr_db(folded(x), open_(x)) > 60  # float rounding, no step of a quantizer
    before = open_(x).detach()
    quantizer.fold_(open_)
    assert isinstance(open_.bn1, nn.Identity)
    assert not quantizer.folds
    assert sqnr_db(before, open_(x)) > 60


def test_a_fold_moves_the_places_of_norms_to_their_layers():
    torch.manual_seed(1)
    layers = conv(3, 4), nn.BatchNorm2d(4), nn.MaxPool2d(2), conv(4, 2)
    net, x = randomized(nn.Sequential(*layers)), images()
    quantizer = live(net, x)
    norm, layer = Site("1", "norm"), Site("0", "conv")
    assert quantizer.places.outputs[norm] == "1:norm"
    before = net(x).detach()
    quantizer.fold_(net)
    assert norm not in quantizer.places.outputs
    assert quantizer.places.outputs[layer] == "0:conv"
    assert quantizer.places.sources[Site("3", "conv"), 0] == layer
    assert quantizer.places.moved == {Site("2", "max_pool"): layer}
    assert quantizer.step_at(layer).output is quantizer.activations["0:conv"]
    assert quantizer.input_quantizer(Site("3", "conv")) is not None
    assert sqnr_db(before, net(x)) > 60


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("zero", [True, False])
def test_it_trains(fold, zero):
    net, x = chain(), images()
    if zero:
        nn.init.zeros_(net.bn1.weight)
    calibrated(net, x, fold=fold)
    assert not net.training
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = net(x).square().mean()
        loss.backward()
        grads = {name: p.grad for name, p in net.named_parameters()}
        assert all(torch.isfinite(grad).all() for grad in grads.values())
        assert all(grads[f"{name}.weight"].any() for name in ("conv2", "fc"))
        assert zero or grads["conv1.weight"].any()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    if not fold:
        assert net.bn1.weight.grad.any()
        assert net.bn1.num_batches_tracked == 5


class Wrapper(nn.Module):
    """As an Algorithm: it holds the architecture and its quantizer."""

    def __init__(self, architecture, quantizer):
        super().__init__()
        self.architecture, self.quantizer = architecture, quantizer

    def forward(self, x):
        return self.architecture(x)


@pytest.mark.parametrize("toy", [Chain, Attention])
def test_a_copy_is_as_good_and_on_its_own(toy):
    torch.manual_seed(0)
    net = randomized(toy())
    x = images(2, 5, 6) if toy is Attention else images()
    original = Wrapper(net, calibrated(net, x))
    copied = copy.deepcopy(original)
    wanted = original(x).detach()
    assert torch.equal(copied(x), wanted)
    assert quantizer_of(copied.architecture) is copied.quantizer
    assert copied.quantizer is not original.quantizer
    for module in copied.quantizer.quantizers():
        module.set_range_(*(torch.zeros_like(end) for end in (module.low, module.high)))
    assert not torch.equal(copied(x), wanted)
    assert torch.equal(original(x), wanted)
    with copied.quantizer.in_float():
        assert torch.equal(original(x), wanted)
    steps = copied.quantizer._steps.values()
    weights = {id(step.weight) for step in steps if step.weight is not None}
    assert weights == {id(module) for module in copied.quantizer.weights.values()}


@pytest.mark.parametrize(
    "kwargs",
    [
        dict(),
        dict(fold=False),
        dict(weight=dict(type="LearnedStepSize", bits=4)),
        dict(weight=dict(bits=[8, 4])),
        dict(activation=False),
        dict(weight=dict(granularity="group", group_size=7)),
    ],
    ids=["default", "live", "learned", "choice", "weights", "groups"],
)
def test_a_state_loads_into_a_model_that_is_prepared_only(kwargs, tmp_path):
    net, x = chain(), images()
    first = Wrapper(net, calibrated(net, x, **kwargs))
    torch.save(first.state_dict(), tmp_path / "state.pth")
    other = randomized(Chain(), seed=5)
    fresh = Quantizer(**kwargs)
    fresh.prepare_(other, x)
    second = Wrapper(other, fresh)
    state = torch.load(tmp_path / "state.pth", weights_only=True)
    second.load_state_dict(state)
    assert torch.equal(second(x), first(x))


class Detour(nn.Module):
    """A part that runs for large inputs only."""

    def __init__(self):
        super().__init__()
        self.stem, self.rare, self.last = conv(3, 4), conv(4, 4), conv(4, 2)

    def forward(self, x):
        x = self.stem(x)
        if x.shape[-1] > 8:
            x = self.rare(x)
        return self.last(x)


def test_what_a_calibration_left_out_is_left_out_of_a_loaded_state(monkeypatch):
    said = []
    for module in (calibration, parts):
        monkeypatch.setattr(module, "print_log", lambda text, **_: said.append(text))

    def prepared():
        net = Detour()
        quantizer = Quantizer()
        quantizer.prepare_(net, images(1, 3, 16, 16))
        return Wrapper(net, quantizer)

    first, second = prepared(), prepared()
    calibrate_(first.architecture, first.quantizer, [images()])
    assert first.quantizer.layers() == [Site("stem", "conv"), Site("last", "conv")]
    second.load_state_dict(first.state_dict())
    end = "these places, which stay in float: rare:conv."
    assert said == [
        f"The calibration data never get to {end}",
        f"The state has no quantizers at {end}",
    ]
    for x in (images(), images(1, 3, 16, 16)):
        assert torch.equal(first(x), second(x))


def test_a_float_state_loads_into_the_architecture():
    net, x = chain(), images()
    quantizer = live(net, x)
    wrapper = Wrapper(net, quantizer)
    keys = {f"architecture.{name}": v for name, v in chain(seed=3).state_dict().items()}
    found = wrapper.load_state_dict(keys, strict=False)
    assert not found.unexpected_keys
    assert all(key.startswith("quantizer.") for key in found.missing_keys)
    assert len(quantizer.layers()) == 3


def test_it_finds_its_inputs_and_is_found():
    quantizer = Quantizer(image_size=(8, 8))
    net = chain()
    assert quantizer_of(net) is None
    assert quantizer(net) is net
    assert quantizer_of(net) is quantizer
    assert [str(site) for site in quantizer.layers()] == [
        "conv1:conv",
        "conv2:conv",
        "fc:linear",
    ]
    assert quantizer.step_at(Site("nowhere", "conv")).weight is None


def test_a_run_that_fails_leaves_the_model_working():
    net, x = chain(), images()
    calibrated(net, x)
    wanted = net(x).detach()
    with pytest.raises(RuntimeError, match="channels"):
        net(images(2, 5, 8, 8))
    assert torch.equal(net(x), wanted)
    assert not quantizer_of(net)._runs
    assert not net.conv1._forward_hooks


def test_parts_that_are_computed_again_in_backward_are_refused():
    net, x = chain(), images()
    net.conv1.with_cp = True
    calibrated(net, x)
    wanted = net(x).detach()
    net.train()
    with pytest.raises(QuantizedRunError, match="'conv1' has with_cp=True: .*Train"):
        net(x)
    with torch.no_grad():
        assert torch.equal(net(x), wanted)
    net.conv1.with_cp = False
    net(x).sum().backward()
    assert net.conv1.weight.grad.any()


def test_a_listener_hears_one_run():
    net, x = chain(), images()
    quantizer = calibrated(net, x)
    heard = []
    with quantizer.listening(lambda site, given, result: heard.append(str(site))):
        net(x)
    assert heard[:3] == ["conv1:conv", "relu:clamp", "pool:max_pool"]
    heard.clear()
    net(x)
    assert not heard


class Nothing(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x * self.scale


@pytest.mark.parametrize(
    ("model", "kwargs", "text"),
    [
        (Nothing(), dict(), "Nothing in Nothing can be .* calls no convolution"),
        (nn.Sequential(conv(3, 4)), dict(ignore=["0"]), "'0:conv' is to be ignored"),
        (
            nn.Sequential(nn.ConvTranspose2d(3, 4, 2)),
            dict(),
            "'0:conv_transpose' onnxruntime takes no conv_transpose",
        ),
    ],
)
def test_where_there_is_nothing_to_quantize_it_says_why(model, kwargs, text):
    before = copy.deepcopy(model)
    with pytest.raises(NothingQuantizedError, match=text):
        Quantizer(**kwargs).prepare_(model, images())
    assert not model._forward_hooks
    assert torch.equal(model(images()), before(images()))


def test_a_model_is_quantized_once_and_a_quantizer_used_once():
    net, x = chain(), images()
    quantizer = Quantizer()
    quantizer.prepare_(net, x)
    for other, model in ((Quantizer(), net), (quantizer, chain())):
        with pytest.raises(
            ValueError, match="Chain is quantized already. Build it anew"
        ):
            other.prepare_(model, x)


def test_a_run_before_calibration_is_told_where_it_fails():
    net, x = chain(), images()
    Quantizer().prepare_(net, x)
    text = "At 'conv1:conv': FakeQuantize has no range .* Calibrate first"
    with pytest.raises(QuantizedRunError, match=text):
        net(x)


unchecked = settings(suppress_health_check=list(HealthCheck))
SEEDS = st.integers(0, 2**16)


@given(st.lists(st.sampled_from(IMAGE_BLOCKS), min_size=1, max_size=3), SEEDS)
@settings(unchecked, max_examples=12)
def test_networks_on_maps(blocks, seed):
    torch.manual_seed(seed)
    model = with_random_values(ImageNet(blocks, flat=bool(seed % 2)), seed)
    check(model, model.inputs(seed), fold=bool(seed % 3))


@given(st.lists(st.sampled_from(TOKEN_BLOCKS), min_size=1, max_size=2), SEEDS)
@settings(unchecked, max_examples=10)
def test_networks_on_tokens(blocks, seed):
    torch.manual_seed(seed)
    token = bool(seed % 2) and TokenMixer not in blocks
    model = with_random_values(TokenNet(blocks, token=token), seed)
    check(model, model.inputs(seed))


@pytest.mark.parametrize("dims", [1, 3])
def test_networks_of_other_dims(dims):
    model = with_random_values(Spatial(dims, 2, 1))
    check(model, model.inputs(), backend="openvino")


def check(model, x, **kwargs):
    model.eval()
    wanted = model(x).detach()
    quantizer = calibrated(model, x, **kwargs)
    heard = {}

    def keep(site, given, result):
        if site in quantizer.places.weights:
            heard[site] = given[1]

    with torch.no_grad(), quantizer.listening(keep):
        found = model(x)
    assert sqnr_db(wanted, found) > 15
    with quantizer.in_float():
        assert torch.allclose(model(x), wanted, atol=1e-5, rtol=1e-5)
    assert heard.keys() == quantizer.places.weights.keys()
    if quantizer.folds:
        return
    for site, weight in heard.items():
        step = quantizer.step_at(site)
        shape = [1] * weight.dim()
        shape[step.axis] = -1
        integers = weight / step.weight.scale.view(shape)
        assert torch.allclose(integers, integers.round(), atol=1e-3)
        assert integers.abs().max() <= 127.001


def test_residual_in_train_mode_needs_what_its_relu_saved():
    # Operations in place, and what autograd saves for them, go with the quantizers.
    net, x = Residual(), images()
    calibrated(net, x)
    net.train()(x).square().sum().backward()
    assert all(p.grad.any() for p in net.parameters())
