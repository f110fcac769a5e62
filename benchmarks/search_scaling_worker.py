"""One process of a search that ``search_scaling.py`` measures.

    python -m torch.distributed.run --nproc_per_node 2 search_scaling_worker.py SPEC

``SPEC`` is a JSON file: ``config``, ``checkpoint``, ``work_dir`` and ``launcher``. What
was begun is in ``begun.<rank>.jsonl`` of the work folder, a line before each
evaluation; in the end ``times.<rank>.json`` holds what the process took. The data are
decoded before the clocks start: a search does that once.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mmrazor.apis.search import search
from mmrazor.core.loops import SearchLoop
from mmrazor.core.loops.ranks import num_ranks, rank
from mmrazor.core.space import Subnet


class Clocks:
    """Wall and processor seconds of the whole loop and of the evaluations in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds = {"loop": [0.0, 0.0], "evaluations": [0.0, 0.0]}
        self.evaluations = 0

    @contextmanager
    def measured(self, name: str) -> Any:
        """Add what happens inside to ``loop`` or ``evaluations``."""
        begin = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            end = time.perf_counter(), time.process_time()
            for place in (0, 1):
                self.seconds[name][place] += end[place] - begin[place]

    def begun(self, values: Mapping[str, Any]) -> None:
        """Say which Subnet is evaluated next; a killed process has said it too."""
        self.evaluations += 1
        path = self.folder / f"begun.{rank()}.jsonl"
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"at": time.time(), "values": dict(values)}) + "\n")


def watched(clocks: Clocks) -> None:
    """Put the clocks around what a SearchLoop does, from here on."""
    run, evaluate = SearchLoop.run, SearchLoop.evaluate

    def timed_run(loop: SearchLoop) -> list[Subnet]:
        evaluate(loop, loop.model.space.selected())  # decodes the data
        with clocks.measured("loop"):
            return run(loop)

    def timed_evaluate(
        loop: SearchLoop, values: Mapping[str, Any], part: float = 1.0
    ) -> dict[str, Any]:
        clocks.begun(values)
        with clocks.measured("evaluations"):
            return evaluate(loop, values, part)

    SearchLoop.run, SearchLoop.evaluate = timed_run, timed_evaluate


def main() -> None:
    """Search and write what it took."""
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder = Path(spec["work_dir"])
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    clocks = Clocks(folder)
    watched(clocks)
    with redirect_stdout(sys.stderr):
        info = search(
            Config.fromfile(spec["config"]),
            spec["checkpoint"],
            work_dir=folder,
            launcher=spec["launcher"],
        )
    result = {
        "ranks": num_ranks(),
        "evaluations": clocks.evaluations,
        "seconds": clocks.seconds,
        "best": [subnet.to_data() for subnet in info.best],
    }
    (folder / f"times.{rank()}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
