from __future__ import annotations

from pathlib import Path

import pytest

from mmrazor.apis.search_files import write_subnets
from mmrazor.core.space import OneOf, SearchSpace, Subnet

SPACE = SearchSpace([OneOf("op", ["a", "b", "c"])])
SUBNETS = [Subnet(SPACE.fingerprint(), {"op": op}) for op in ("a", "b", "c")]


def test_files_of_an_earlier_end_go_and_others_stay(tmp_path: Path) -> None:
    write_subnets(tmp_path, SUBNETS)
    (tmp_path / "subnets" / "favourite.yaml").write_text("mine")
    (tmp_path / "subnets" / "1.yaml").write_text("mine")
    paths = write_subnets(tmp_path, SUBNETS[:1])
    assert [path.name for path in paths] == ["subnet.yaml", "00.yaml"]
    left = sorted(path.name for path in (tmp_path / "subnets").iterdir())
    assert left == ["00.yaml", "1.yaml", "favourite.yaml"]
    assert Subnet.load(tmp_path / "subnet.yaml") == SUBNETS[0]


def test_nothing_is_removed_behind_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "07.yaml").write_text("mine")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "subnets").symlink_to(outside)
    with pytest.raises(ValueError, match="subnets' is a link"):
        write_subnets(tmp_path / "work", SUBNETS)
    assert [path.name for path in outside.iterdir()] == ["07.yaml"]
    assert not (tmp_path / "work" / "subnet.yaml").exists()


def test_a_link_in_the_place_of_a_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    (tmp_path / "subnet.yaml").symlink_to(tmp_path / "letter.txt")
    write_subnets(tmp_path, SUBNETS)
    assert (tmp_path / "letter.txt").read_text() == "mine"
    assert Subnet.load(tmp_path / "subnet.yaml") == SUBNETS[0]
