"""The page of a search, read by an HTML parser, and the files beside it."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmrazor.apis import search_report
from mmrazor.apis.search_report import write_search_report
from mmrazor.core.loops.search_state import Evaluation
from mmrazor.core.space import OneOf, SearchSpace, Subnet
from tests.apis.toy_search import best_of, evaluation, toy_evaluations, toy_space

pytest.importorskip("matplotlib")

SPACE = toy_space()
EVALUATIONS = toy_evaluations(SPACE)
BEST = best_of(EVALUATIONS)
FAILED = [e for e in EVALUATIONS if e.error is not None]
WORKED = [e for e in EVALUATIONS if e.error is None]
PNG = b"\x89PNG\r\n\x1a\n"


class Page(HTMLParser):
    """Tables as rows of texts, all tags with attributes, all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []  # every tag is closed

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in ("meta", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data
        if self._open and self._open[-1] not in ("style", "script"):
            self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all tags of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]


def report(
    folder: Path,
    evaluations: list[Evaluation] | None = None,
    best: list[Subnet] | None = None,
    **options: Any,
) -> dict[str, Path]:
    arguments: dict[str, Any] = {
        "space": SPACE,
        "metric": "acc",
        "objectives": [("acc", "max")],
        "title": "A search",
        **options,
    }
    known = EVALUATIONS if evaluations is None else evaluations
    return write_search_report(
        folder, known, BEST if best is None else best, **arguments
    )


def page_of(written: dict[str, Path]) -> Page:
    return Page(written["page"].read_text(encoding="utf-8"))


def test_files(tmp_path: Path) -> None:
    written = report(tmp_path / "new")
    names = {"page": "search.html"}
    names |= {n: f"{n}.png" for n in ("pareto", "score", "choices")}
    assert written == {k: tmp_path / "new" / name for k, name in names.items()}
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted(
        names.values()
    )
    # The page holds the same pictures.
    images = page_of(written).of("img")
    for image, name in zip(images, ("pareto", "score", "choices"), strict=True):
        head, _, data = str(image["src"]).partition(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data) == written[name].read_bytes()
        assert written[name].read_bytes().startswith(PNG)


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    written = report(tmp_path)
    text = written["page"].read_text()
    page = Page(text)
    for _, attributes in page.tags:
        for key in ("src", "href", "srcset", "action", "data", "poster"):
            assert str(attributes.get(key, "data:")).startswith("data:")
    assert {tag for tag, _ in page.tags}.isdisjoint({"link", "iframe", "object"})
    assert not re.search(r"https?://|@import|url\(|fetch\(", text)


def test_the_best(tmp_path: Path) -> None:
    head, *rows = page_of(report(tmp_path)).tables[0]
    assert head[:5] == ["#", "acc", "MACs", "parameters", "loss"]
    assert head[5:] == ["0.op", "1.op", "2.op", "wide", "depth", "stem.out"]
    assert len(rows) == len(BEST)
    for rank, (row, subnet) in enumerate(zip(rows, BEST, strict=True), 1):
        assert row[0] == str(rank)
        assert float(row[1]) == subnet.score["acc"]
        assert row[2] == f"{subnet.cost['macs'] / 1e6:.0f} M"
        assert float(row[4]) == pytest.approx(subnet.score["loss"], rel=1e-4)
        *values, kept = subnet.choices.values()
        assert row[5:] == [*map(str, values), f"{len(kept)} kept"]


def test_what_failed_and_how_many(tmp_path: Path) -> None:
    page = page_of(report(tmp_path))
    head, *rows = page.tables[1]
    assert head == ["batch", "part", "error", "choices"]
    assert [(int(r[0]), r[1], r[2]) for r in rows] == [
        (e.batch, "1", e.error) for e in FAILED
    ]
    assert all(
        f"depth={e.subnet.choices['net.depth']}" in r[3]
        for e, r in zip(FAILED, rows, strict=True)
    )
    assert "40, of which 36 on the whole validation set, 0 on a part of it, 4 f" in (
        page.text
    )
    assert "0:01:00" in page.text  # 40 times 1.5 s


def test_what_comes_from_the_run_is_escaped(tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script><img src=http://x>$_{'
    rng = np.random.default_rng(0)
    space = SearchSpace([OneOf(evil, [evil, "b"]), OneOf(f"{evil}.2", [1, 2])])
    worked = [
        evaluation(space, rng, {evil: float(i)}, {f"{evil}c": i}) for i in range(5)
    ]
    broken = evaluation(space, rng, error=evil)
    written = report(
        tmp_path,
        [*worked, broken],
        [worked[-1].subnet],
        space=space,
        metric=evil,
        objectives=[(evil, "max"), (f"{evil}c", "min")],
        title=evil,
    )
    page = page_of(written)
    assert len(page.of("script")) == 1
    assert len(page.of("img")) == 3
    assert page.text.count(evil) > 5
    assert page.tables[1][1][2] == evil


def test_points_can_be_read_by_hovering(tmp_path: Path) -> None:
    written = report(tmp_path)
    spots = page_of(written).of("i")
    assert len(spots) == len(WORKED)
    texts = [str(spot["title"]) for spot in spots]
    ranked = sorted(WORKED, key=lambda e: e.subnet.score["acc"])
    for text, e in zip(texts, ranked, strict=True):
        assert f"acc {e.subnet.score['acc']:g}\n" in text
        assert f"batch {e.batch}\n" in text
    # In the picture there is a mark at that place, and elsewhere there is none.
    image = np.asarray(Image.open(io.BytesIO(written["pareto"].read_bytes())))
    coloured = np.ptp(image[..., :3].astype(int), axis=-1) > 25  # no grey, no white
    height, width = coloured.shape
    for spot in spots:
        left, top = map(float, re.findall(r"[\d.]+(?=%)", str(spot["style"])))
        row, column = round(top / 100 * height), round(left / 100 * width)
        assert coloured[row - 1 : row + 2, column - 1 : column + 2].any()
    assert coloured.mean() < 0.05


RNG = np.random.default_rng(1)
SCORE = {"acc": 1.0}
CASES = {
    "nothing": [],
    "only failures": FAILED,
    "one": [evaluation(SPACE, RNG, SCORE, {"macs": 10})],
    "no costs": [evaluation(SPACE, RNG, SCORE) for _ in range(5)],
    "costs of zero": [evaluation(SPACE, RNG, SCORE, {"macs": 0}) for _ in range(5)],
    "parts alone": [evaluation(SPACE, RNG, SCORE, {"macs": 1}, part=0.5)],
    "latency": [evaluation(SPACE, RNG, SCORE, {"latency_ms": 2.5}) for _ in "ab"],
    "no choices": [
        Evaluation(Subnet(SearchSpace().fingerprint(), {}, score={"acc": 2.0}))
    ],
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", CASES)
def test_odd_searches(case: str, tmp_path: Path) -> None:
    known = CASES[case]
    best = [e.subnet for e in known if e.subnet.score and e.part == 1][:2]
    space = SearchSpace() if case == "no choices" else SPACE
    page = page_of(report(tmp_path, known, best, space=space))
    assert len(page.of("img")) == 3
    tables = bool(best) + any(e.error for e in known)
    assert len(page.tables) == tables
    hovered = best and any(e.subnet.cost for e in known)
    assert len(page.of("i")) == (len(known) if hovered else 0)


def test_two_metrics(tmp_path: Path) -> None:
    pairs = [("acc", "max"), ("loss", "min")]
    page = page_of(report(tmp_path, objectives=pairs))
    assert "acc (more is better), loss (less is better)" in page.text
    assert len(page.of("i")) == len(WORKED)


def test_without_matplotlib_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(remedy: str) -> Any:
        raise ModuleNotFoundError(f"The picture needs matplotlib. {remedy}")

    monkeypatch.setattr(search_report, "figure_type", missing)
    with pytest.raises(ModuleNotFoundError, match="What was evaluated is kept"):
        report(tmp_path)
    assert list(tmp_path.iterdir()) == []
