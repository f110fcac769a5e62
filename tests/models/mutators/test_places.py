from __future__ import annotations

import pytest
import torch

from mmrazor.core.cost import count_cost
from mmrazor.models.mutators import NasMutator

from .nets import Plain

IMAGE = torch.rand(1, 3, 6, 6)
CONV5 = dict(
    type="torch.nn.Conv2d",
    in_channels="{in_channels}",
    out_channels="{out_channels}",
    kernel_size=5,
    padding=2,
)


def kernels(**options: object) -> dict:
    ops = dict(original="original", k5=CONV5)
    return dict(type="OneShotMutableOP", candidates=ops, **options)


def test_a_pattern_makes_a_plain_network_searchable() -> None:
    torch.manual_seed(0)
    plain = Plain().eval()
    wanted = plain(IMAGE)
    weight = plain.layer1[1].conv2.weight
    mutator = NasMutator({"layer1.*.conv2": kernels()})
    model = mutator(plain)
    assert model is plain
    assert list(mutator.space) == [f"layer1.{i}.conv2.op" for i in range(3)]
    assert torch.equal(model(IMAGE), wanted)
    assert model.layer1[1].conv2.candidates["original"].weight is weight
    assert not any(module.training for module in model.modules())
    values = dict.fromkeys(mutator.space, "original")
    fixed = mutator.fixed(model, values)
    fresh = Plain()
    fresh.load_state_dict(fixed.state_dict())
    assert torch.equal(fresh.eval()(IMAGE), wanted)
    values["layer1.1.conv2.op"] = "k5"
    fixed = mutator.fixed(model, values)
    assert fixed.layer1[1].conv2.kernel_size == (5, 5)
    cost = mutator.space_cost(model, IMAGE)
    assert cost.cost(values).macs == count_cost(fixed, IMAGE).macs


def test_places_of_one_name_share_a_decision() -> None:
    mutator = NasMutator({"layer1.*.conv?": kernels(name="body")})
    model = mutator(Plain())
    assert list(mutator.space) == ["body"]
    assert len(mutator.mutables) == 6
    fixed = mutator.fixed(model, {"body": "k5"})
    assert all(block.conv1.kernel_size == (5, 5) for block in fixed.layer1)
    assert fixed.layer1[0].conv1.weight is not fixed.layer1[1].conv1.weight


def test_places_inside_of_one_another() -> None:
    depth = dict(type="MutableDepth", blocks="original", depths=[1, 2, 3])
    mutator = NasMutator({"layer1": depth, "layer1.*.conv1": kernels()})
    model = mutator(Plain())
    assert "layer1.depth" in mutator.space
    assert "layer1.2.conv1.op" in mutator.space
    values = {**mutator.space.selected(), "layer1.depth": 1}
    fixed = mutator.fixed(model, values)
    assert len(fixed.layer1) == 1
    assert "layer1.0.conv1.weight" in fixed.state_dict()
    cost = mutator.space_cost(model, IMAGE)
    for depth in (1, 2, 3):
        values["layer1.depth"] = depth
        real = count_cost(mutator.fixed(model, values), IMAGE)
        assert cost.cost(values).params == real.params


def test_attributes_may_be_deep() -> None:
    block = dict(
        type="MBBlock",
        in_channels="{conv1.in_channels}",
        out_channels="{conv2.out_channels}",
    )
    cfg = dict(type="OneShotMutableOP", candidates=dict(mb=block, plain="original"))
    mutator = NasMutator({"layer1.1": cfg})
    model = mutator(Plain())
    assert model(IMAGE).shape == (1, 2)
    assert model.layer1[1].candidates["mb"].has_shortcut


def test_a_module_at_two_places_is_replaced_at_both() -> None:
    model = Plain()
    model.layer1[2].conv1 = model.layer1[0].conv1
    model = NasMutator({"layer1.0.conv1": kernels()})(model)
    assert model.layer1[2].conv1 is model.layer1[0].conv1


def test_a_pattern_that_names_nothing() -> None:
    with pytest.raises(ValueError, match="'layer1.\\*.conv3' names no module of Plain"):
        NasMutator({"layer1.*.conv3": kernels()})(Plain())
    with pytest.raises(ValueError, match="Near names: .*layer1"):
        NasMutator({"layr1": kernels()})(Plain())


def test_two_patterns_for_one_module() -> None:
    places = {"layer1.*.conv1": kernels(), "layer1.0.conv?": kernels()}
    with pytest.raises(ValueError, match="both name 'layer1.0.conv1'"):
        NasMutator(places)(Plain())


def test_an_attribute_that_is_not_there() -> None:
    ops = dict(k5={**CONV5, "in_channels": "{in_chanels}"})
    cfg = dict(type="OneShotMutableOP", candidates=ops)
    text = "Conv2d has no attribute 'in_chanels'. Near names: .*in_channels"
    with pytest.raises(ValueError, match=text):
        NasMutator({"conv1": cfg})(Plain())


def test_what_is_no_mutable() -> None:
    with pytest.raises(TypeError, match="'fc' was given Identity, which is no Mutable"):
        NasMutator({"fc": dict(type="torch.nn.Identity")})(Plain())


def test_the_config_is_left_as_it_was() -> None:
    cfg = kernels()
    NasMutator({"layer1.*.conv2": cfg})(Plain())
    assert cfg == kernels()
    assert cfg["candidates"]["original"] == "original"
