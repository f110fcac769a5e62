"""Table, picture and files of a search for bit-widths."""

import io
import json

import pytest
import torch
from rich.console import Console
from torch import nn

import mmrazor
from mmrazor.apis.bits_report import bits_table, draw_bits, write_bits
from mmrazor.core.space import Subnet


@pytest.fixture(scope="module")
def found():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    quant = mmrazor.quantize(
        net,
        [torch.randn(32, 8)],
        "generic",
        dict(bits=[8, 4]),
        methods=dict(type="MixedPrecision", budget=dict(size_bytes=0.8)),
        overrides={"2": dict(weight=dict(bits=[6, 3]))},
    )
    assert quant.report.quantized_bytes == quant.bits.subnet.cost["size_bytes"]
    return quant.bits


def test_the_table_has_all_errors_and_marks_what_was_chosen(found):
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(bits_table(found))
    text = console.export_text()
    for name, errors in found.sensitivity.errors.items():
        [row] = [line for line in text.splitlines() if line.startswith(f"│ {name[0]} ")]
        cells = [cell.strip() for cell in row.strip("│").split("│")][1:]
        chosen = found.subnet.choices[name]
        shown = {
            w: f"[{e:.2e}]" if w == chosen else f"{e:.2e}" for w, e in errors.items()
        }
        assert cells == [shown.get(width, "") for width in (8, 6, 4, 3)]
    size = found.subnet.cost["size_bytes"] / 1024
    assert f"{size:.1f} KiB chosen, {found.limits[1] / 1024:.1f} KiB allowed" in text
    assert f"{found.subnet.score['output_error']:.3e} with the chosen widths" in text


def test_what_is_written_is_what_was_found(found, tmp_path):
    files = write_bits(found, tmp_path, "net")
    assert Subnet.load(files.subnet) == found.subnet
    assert files.subnet.name == "net_bits.yaml"
    assert files.picture.read_bytes().startswith(b"\x89PNG")
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["bits"] == found.bits
    assert (
        plain["sensitivity"]["errors"]["2.bits"]["3"]
        == found.sensitivity.errors["2.bits"][3]
    )
    assert plain["checked"][0]["choices"] == found.subnet.choices


def test_without_matplotlib_there_is_no_picture(found, tmp_path, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("mmrazor.apis.figures.import_module", missing)
    with pytest.raises(ModuleNotFoundError, match="pip install matplotlib"):
        draw_bits(found, tmp_path / "a.png")
    assert write_bits(found, tmp_path, "net").picture is None
