"""Turn the results of the coverage benchmark into counts and a page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from coverage_models import HOSTS

TOLERANCE = 1e-4
GOALS = {"traced": 1.0, "verified": 0.95, "within_55_percent": 0.85}
Record = dict[str, Any]

# What the hosts' errors come down to; the first that is found holds.
_CAUSES = (
    (r"extra multi-modal dependencies", "needs `mmpretrain[multimodal]`"),
    (r"requires (\w+), please install", r"needs the package `\1`"),
    (r"requirements/optional.txt", "needs the host's optional packages"),
    (r"(\w+) is not installed", r"needs the package `\1`"),
    (r"[Pp]lease install (\w+) (?:by|first)", r"needs the package `\1`"),
    (r"No module named '(\w+)", r"needs the package `\1`"),
    (r"offline; '([\w.]+)' was asked", "downloads weights or vocabularies to be built"),
    (
        r"(\w+?)(?:_forward)?_impl: implementation for device cpu",
        r"mmcv's `\1` has no CPU version",
    ),
    (r"TooHeavyError: (.*)", r"too heavy: \1"),
    (
        r"has no attribute 'to_tensor'",
        "the host changes its data samples, so runs once",
    ),
    (r"MemoryError|can't allocate memory", "too heavy: memory"),
    (r"took longer than .*", r"too heavy: time"),
)


def cause(error: str) -> str:
    """Say in a few words why a model does not run.

    Example:
        >>> cause("RuntimeError: lap is not installed, please install it")
        'needs the package `lap`'
        >>> cause("KeyError: 'x'")
        "KeyError: 'x'"
    """
    for pattern, text in _CAUSES:
        match = re.search(pattern, error)
        if match:
            return match.expand(text)
    return error[:160].replace("|", "\\|")


def passed(record: Record, stage: str) -> bool:
    """Tell whether a stage was reached and ended well."""
    return stage in record["stages"] and "error" not in record["stages"][stage]


def error_of(record: Record) -> tuple[str, str] | None:
    """Return the first stage that failed and its error."""
    for stage, result in record["stages"].items():
        if "error" in result:
            return stage, result["error"]
    return None


def verified(record: Record) -> bool:
    """Tell whether the pruned model computes what the silenced original does."""
    return passed(record, "prune") and record["difference"] <= TOLERANCE


def counts(records: Iterable[Record]) -> dict[str, int]:
    """Count the models that reached each step."""
    records = list(records)
    heavy = [r for r in records if _is_heavy(r)]
    pruned = [r for r in records if passed(r, "prune")]
    return {
        "models": len(records),
        "too_heavy": len(heavy),
        "run": sum(passed(r, "forward") for r in records),
        "traced": sum(passed(r, "trace") for r in records),
        "pruned": len(pruned),
        "verified": sum(verified(r) for r in records),
        "within_55_percent": sum(
            r["macs_share"] <= 0.55 for r in pruned if verified(r)
        ),
        "backward": sum(passed(r, "backward") for r in records),
        "reloaded_equal": sum(r.get("reload_difference") == 0 for r in records),
        "trained": sum(trains(r) for r in records),
        "original_untrainable": sum("original_does_not_train" in r for r in records),
    }


def trains(record: Record) -> bool:
    """Tell whether the pruned model took a step of training."""
    return passed(record, "train") and "original_does_not_train" not in record


def _is_heavy(record: Record) -> bool:
    failed = error_of(record)
    return failed is not None and cause(failed[1]).startswith("too heavy")


def summary(records: Sequence[Record]) -> dict[str, Any]:
    """Return the counts of each host and of all, and whether the goals are met."""
    hosts = {h: counts(r for r in records if r["host"] == h) for h in HOSTS}
    total = counts(records)
    shares = {name: total[name] / max(total["run"], 1) for name in GOALS}
    return {
        "hosts": {host: found for host, found in hosts.items() if found["models"]},
        "all": total,
        "shares_of_run": {name: round(share, 4) for name, share in shares.items()},
        "goals": GOALS,
        "met": {name: shares[name] >= goal for name, goal in GOALS.items()},
        "causes": _causes(records),
        "seconds": round(sum(record["seconds"] for record in records)),
    }


def _causes(records: Sequence[Record]) -> dict[str, list[str]]:
    """Group the models that do not run in their host by the cause."""
    grouped: dict[str, list[str]] = {}
    for record in records:
        failed = error_of(record)
        if failed and not passed(record, "forward"):
            grouped.setdefault(cause(failed[1]), []).append(record["name"])
    return grouped


def page(records: Sequence[Record], limits: str, machine: dict[str, Any]) -> str:
    """Return the page of the documentation, in Markdown."""
    versions = ", ".join(f"{name} {v}" for name, v in machine["versions"].items())
    where = f"{machine['cpu']}, {machine['cores']} cores, one thread each; {versions}."
    found = summary(records)
    parts = [
        "# Which models can be pruned",
        "Written by `python benchmarks/model_coverage.py`; do not edit.",
        _ABOUT,
        limits,
        where,
        _table(_summary_rows(found)),
        _goal_lines(found),
    ]
    for host in found["hosts"]:
        rows = [record for record in records if record["host"] == host]
        run = [record for record in rows if passed(record, "forward")]
        parts += [f"## {host}", _table([_HEADER, *map(_row, run)])]
        rest = [record for record in rows if not passed(record, "forward")]
        if rest:
            parts += [
                f"Not run ({host}):",
                _table([("model", "why"), *map(_why, rest)]),
            ]
    return "\n\n".join(parts) + "\n"


_ABOUT = """\
Fifteen models of torchvision, a small one of each of many families of timm, and the
smallest config of every model family (folder of configs) that mmpretrain, mmdet and
mmseg ship, random weights. Each is pruned to half
its multiply-accumulates (MACs) without a hint, or to the least that its prunable
channels allow; compared with the original in which the same channels are silenced;
saved, rebuilt from the subnet file and compared again, where the difference must be
exactly 0; differentiated; and trained for a step: train mode, two images, the host's
loss (of models that have none, the mean square of all outputs), backward, SGD. Where
the original does not take that step either (a loss that needs other labels than the
example has), the table says so.

Changed in their configs: two-stage detectors hand on 100 proposals, not 1000; weights
of teachers, which their constructors download, are left out; `MMSyncBN`, which needs a
process group, is `SyncBN`; an `eps` of 0 in a batch norm, which torch refuses, is
1e-5."""
_HEADER = (
    "model",
    "input",
    "GMACs",
    "M params",
    "MACs left",
    "difference",
    "backward",
    "reload",
    "trains",
    "seconds",
    "frozen, or what went wrong",
)


def _row(record: Record) -> tuple[str, ...]:
    pruned = passed(record, "prune")
    height, width = record["size"]
    return (
        record["config"].partition("::")[2].removesuffix(".py"),
        f"{height} x {width}, {record['mode']}",
        f"{record['macs'] / 1e9:.2f}",
        f"{record['params'] / 1e6:.1f}",
        _share(record) if pruned else "-",
        f"{record['difference']:.0e}" if pruned else "-",
        _yes(record, "backward"),
        f"{record['reload_difference']:g}" if "reload_difference" in record else "-",
        _trained(record),
        f"{record['seconds']:.0f}",
        _remarks(record),
    )


def _share(record: Record) -> str:
    least = " (the least)" if "least_macs" in record else ""
    return f"{100 * record['macs_share']:.0f} %{least}"


def _yes(record: Record, stage: str) -> str:
    if stage not in record["stages"]:
        return "-"
    return "yes" if passed(record, stage) else "no"


def _trained(record: Record) -> str:
    if "original_does_not_train" in record:
        return "nor does the original"
    return _yes(record, "train")


def _remarks(record: Record) -> str:
    failed = error_of(record)
    remarks = [f"{failed[0]}: {failed[1][:200]}"] if failed else []
    remarks += [f"{count} x {reason}" for reason, count in record.get("frozen", [])[:3]]
    return "; ".join(remarks).replace("|", "\\|").replace("\n", " ")


def _why(record: Record) -> tuple[str, str]:
    failed = error_of(record)
    return record["family"], cause(failed[1]) if failed else "-"


def _summary_rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    rows = [("", *(name.replace("_", " ") for name in found["all"]))]
    for host, of_host in {**found["hosts"], "all": found["all"]}.items():
        rows.append((host, *(str(number) for number in of_host.values())))
    return rows


def _goal_lines(found: dict[str, Any]) -> str:
    lines = []
    for name, goal in GOALS.items():
        share, met = found["shares_of_run"][name], found["met"][name]
        word = "met" if met else "not met"
        lines.append(
            f"- {name.replace('_', ' ')}: {100 * share:.1f} % of those that run "
            f"(goal {100 * goal:.0f} %, {word})"
        )
    return "\n".join(lines)


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    rule = "|" + "---|" * len(rows[0])
    return "\n".join([head, rule, *body])


def frozen_reasons(records: Sequence[Record]) -> list[tuple[str, int]]:
    """Count the models in which each reason froze something, the commonest first."""
    reasons = Counter(r for record in records for r, _ in record.get("frozen", []))
    return reasons.most_common()
