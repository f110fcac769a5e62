"""Files that are no ONNX files, or not whole, are told by name."""

import pytest
import torch

from mmrazor.models.architectures.onnx_model import OnnxModelError, OnnxNetwork
from mmrazor.models.architectures.onnx_session import (
    OnnxFileError,
    onnx_graph,
    onnx_session,
)

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def model_of(
    kind="Relu", shape=("n", 3, 8, 8), element=onnx.TensorProto.FLOAT, output="output"
):
    """Return a graph of one node; a Conv has a weight of 4 x 3 x 3 x 3."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    given = helper.make_tensor_value_info("pixels", element, shape)
    made = helper.make_tensor_value_info(output, element, None)
    weight = numpy_helper.from_array(torch.rand(4, 3, 3, 3).numpy(), "w")
    names = ["pixels", "w"] if kind == "Conv" else ["pixels"]
    node = helper.make_node(kind, names, [output])
    weights = [weight] if kind == "Conv" else []
    graph = helper.make_graph([node], "g", [given], [made], weights)
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9)


def content():
    return model_of("Conv").SerializeToString()


DAMAGED = {
    "text": (lambda: b"hello world\n" * 20, "no ONNX file"),
    "cut": (lambda: content()[:-50], "no ONNX file"),
    "image": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "no ONNX file"),
    "empty": (lambda: b"", "is empty"),
}


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.parametrize("read", [onnx_session, onnx_graph, OnnxNetwork])
def test_damaged_files(kind, read, tmp_path, capfd):
    make, match = DAMAGED[kind]
    path = tmp_path / f"{kind}.onnx"
    path.write_bytes(make())
    with pytest.raises((OnnxFileError, OnnxModelError), match=match) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("left", [None, 10])
def test_weights_in_another_file(left, tmp_path):
    path, beside = tmp_path / "net.onnx", tmp_path / "net.bin"
    onnx.save(
        model_of("Conv"),
        path,
        save_as_external_data=True,
        location=beside.name,
        size_threshold=0,
    )
    onnx_session(path)
    if left is None:
        beside.unlink()
    else:
        beside.write_bytes(beside.read_bytes()[:left])
    with pytest.raises(OnnxFileError, match=r"net\.onnx' keeps its weights in another"):
        onnx_session(path)
    assert onnx_graph(path).initializer[0].dims == [4, 3, 3, 3]


def test_operations_that_the_runtime_does_not_know(tmp_path):
    path = tmp_path / "own.onnx"
    path.write_bytes(model_of("MyOwnOperation").SerializeToString())
    with pytest.raises(OnnxFileError, match=r"cannot run the file .*own\.onnx"):
        onnx_session(path)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (dict(shape=("n", 3)), "which is no batch of images"),
        (dict(element=onnx.TensorProto.INT64, kind="Abs"), "tensor.int64.* no batch"),
        (dict(output="logits"), r"outputs \['logits'\]"),
    ],
)
def test_files_of_other_models(changes, match, tmp_path):
    path = tmp_path / "other.onnx"
    path.write_bytes(model_of(**changes).SerializeToString())
    with pytest.raises(OnnxModelError, match=match):
        OnnxNetwork(path)


def test_what_it_is_run_on(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(model_of("Conv").SerializeToString())
    network = OnnxNetwork(path)  # whatever its input is called
    assert network(torch.rand(2, 3, 8, 8)).shape == (2, 4, 6, 6)
    with pytest.raises(OnnxModelError, match=r"net\.onnx' does not run on images of"):
        network(torch.rand(2, 1, 8, 8))
    path.write_bytes(model_of(element=onnx.TensorProto.FLOAT16).SerializeToString())
    assert OnnxNetwork(path)(torch.rand(1, 3, 8, 8)).dtype is torch.float16


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(OSError, match="directory"):
        onnx_session(tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no ONNX file"):
        OnnxNetwork(tmp_path)
