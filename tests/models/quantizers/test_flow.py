"""The calls of a run and the values between them."""

import torch
from torch import nn
from torch.nn import functional as F

from mmrazor.models.quantizers.flow import flow_of
from tests.models.quantizers.toys import conv, images


def calls(flow):
    return {str(call.site): call for call in flow.calls}


def run(function, *modules):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList(modules)

        def forward(self, x):
            return function(x, *self.parts)

    return flow_of(Model(), images())


def readers(flow, call):
    """Return who reads what a call returns."""
    return [str(user.site) for user, _ in flow.users.get(call.outputs[0], [])]


def test_operations_in_place_make_new_values():
    def forward(x, one, two):
        y = one(x)
        z = y.relu_()
        z += 1
        return two(z)

    flow = run(forward, conv(3, 4), conv(4, 4))
    found = calls(flow)
    assert readers(flow, found["parts.0:conv"]) == [":clamp"]
    assert readers(flow, found[":clamp"]) == [":add"]
    assert readers(flow, found[":add"]) == ["parts.1:conv"]


def test_a_tensor_that_is_read_behind_what_changed_it_is_told_apart():
    def forward(x, one, two):
        y = one(x)
        y.relu_()
        return two(y) + y

    flow = run(forward, conv(3, 4), conv(4, 4))
    clamp = calls(flow)[":clamp"]
    (reading,) = [user for user, _ in flow.users[clamp.outputs[0]]]
    assert reading.kind == "other"
    assert readers(flow, reading) == ["parts.1:conv", ":add"]


def test_what_returns_its_input_as_it_is_makes_no_value():
    def forward(x, one):
        y = one(x)
        z = F.dropout(y.contiguous().to(torch.float32), training=False)
        return z.relu() + y

    flow = run(forward, conv(3, 4))
    assert set(calls(flow)) == {"parts.0:conv", ":clamp", ":add"}
    assert readers(flow, calls(flow)["parts.0:conv"]) == [":clamp", ":add"]


def test_a_parameter_that_is_cast_to_what_it_is_keeps_its_name():
    def forward(x, one):
        return F.conv2d(x, one.weight.to(x.dtype).contiguous())

    flow = run(forward, conv(3, 4))
    assert flow.names[calls(flow)[":conv"].inputs[1]] == "parts.0.weight"


def test_assignment_to_a_slice_changes_the_tensor():
    def forward(x, one, two):
        y = one(x)
        y[:, 0] = 0
        return two(y)

    flow = run(forward, conv(3, 4), conv(4, 4))
    maker = flow.makers[calls(flow)["parts.1:conv"].inputs[0]]
    assert maker.kind == "other"
    assert maker.func.__name__ == "__setitem__"


def test_results_have_a_reader_outside():
    def forward(x, one, two):
        y = one(x)
        return two(y), {"features": [y]}

    flow = run(forward, conv(3, 4), conv(4, 4))
    value = calls(flow)["parts.0:conv"].outputs[0]
    assert value in flow.results
    assert flow.sole_user(value) is None
    assert readers(flow, calls(flow)["parts.0:conv"]) == ["parts.1:conv"]


def test_results_changed_in_place_have_a_reader_outside():
    def forward(x, one):
        y = one(x)
        y.relu_()
        return y

    flow = run(forward, conv(3, 4))
    clamp = calls(flow)[":clamp"]
    assert flow.sole_user(clamp.outputs[0]).kind == "other"
    assert flow.sole_user(clamp.outputs[0]).outputs[0] in flow.results


def test_lists_and_integers():
    def forward(x, one):
        a, b = one(x).chunk(2, 1)
        index = torch.arange(2)
        return torch.cat([b[:, index], a], 1)

    flow = run(forward, conv(3, 4))
    found = calls(flow)
    assert len(found[":move"].outputs) == 2
    assert found[":cat"].inputs[1] == found[":move"].outputs[0]
    index = found[":move.1"].inputs[1]
    assert index not in flow.floats
    assert found[":cat"].inputs[1] in flow.floats


def test_the_model_stays_as_it_was():
    model = nn.Sequential(conv(3, 4), nn.BatchNorm2d(4)).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    flow_of(model, images())
    assert model.training
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert not model[0]._forward_hooks
