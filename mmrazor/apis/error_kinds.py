"""Say what an exception of Python, torch or a host library means for a run."""

from __future__ import annotations

import difflib
import errno
import inspect
import os
import pickle
import re
from collections.abc import Iterable
from typing import Any

import torch
from mmengine import registry as host_registry
from mmengine.registry import Registry

from .error_origin import buildings, called, config_key, local_value, location, places

_UNKNOWN_TYPE = re.compile(r"(\S+) is not in the (\S+)::(.+?) registry")
_UNKNOWN_KEY = re.compile(r"([\w.<>]+)\(\) got an unexpected keyword argument '(\w+)'")
_LACKS = re.compile(r"([\w.<>]+)\(\) missing \d+ required [\w-]+ arguments?: (.+)")
_FROM_WORKER = re.compile(r"Caught (\w+) in (DataLoader worker process \d+)")
_WORKER_DIED = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) "
    r"(exited unexpectedly|is killed by signal: [\w ]+)"
)
_LABEL = re.compile(
    r"Target (-?\d+) is out of bounds|Class values must be (?:smaller|non-negative)|"
    r"device-side assert|index (-?\d+) is out of bounds for dimension 1"
)
_OTHER_RANK = re.compile(
    r"Connection (?:closed|reset) by peer|Broken pipe|socketStartConnect|ncclRemote|"
    r"NCCL (?:communicator was aborted|error)|application timeout caused pair closure|"
    r"Timed out waiting \d+ms for (?:recv|send)|wait timeout after|"
    r"Monitored Barrier|Watchdog caught collective"
)
_PORT_TAKEN = re.compile(r"EADDRINUSE|address already in use", re.IGNORECASE)
_NO_MEMORY = re.compile(r"out of memory|can't allocate memory|Cannot allocate memory")
_DISK_FULL = re.compile(r"file write failed|unexpected pos \d+ vs \d+", re.IGNORECASE)
_DAMAGED = re.compile(
    r"PytorchStreamReader|not a ZIP archive|central directory|invalid load key|"
    r"pickle data was truncated|unexpected EOF|corrupt"
)
_SHAPES = re.compile(r"stack expects each tensor to be equal size, but got (.+)")
_PATHS = ("path", "filename", "filepath", "file", "checkpoint", "ckpt_path", "name")


def message(err: BaseException) -> str:
    """Return the text of an exception; a KeyError's without its quotes."""
    if isinstance(err, KeyError) and len(err.args) == 1:
        return str(err.args[0])
    return str(err)


def explained(err: BaseException) -> str:
    """Return a sentence for an exception of a known kind, '' for another."""
    for kind in _KINDS:
        found = kind(err)
        if found:
            return found
    return ""


def unknown_type(err: BaseException) -> str:
    """Say of a name that no registry knows which are near, '' of other errors."""
    found = _UNKNOWN_TYPE.search(message(err)) if isinstance(err, KeyError) else None
    if found is None:
        return ""
    name, scope, kind = found.groups()
    return (
        f"The config has type='{name}', which is no {kind} that '{scope}' knows."
        f"{near(name, _registered_names(kind))} A class of another library is written "
        "with its scope, such as 'mmdet.RetinaNet'; one of your own is imported by "
        "custom_imports."
    )


def near(name: str, known: Iterable[str]) -> str:
    """Return a sentence that names what is close to a word, after a space.

    Example:
        >>> near('taau', ['tau', 'weight'])
        ' Near names: tau.'
    """
    close = difflib.get_close_matches(name, sorted(set(known)), n=5, cutoff=0.6)
    return f" Near names: {', '.join(close)}." if close else ""


def _misspelt_key(err: BaseException) -> str:
    found = _UNKNOWN_KEY.search(str(err)) if isinstance(err, TypeError) else None
    if found is None:
        return ""
    name, key = found.groups()
    built = buildings(err)
    if built and key in built[0].spec and built[0].kind is not None:
        kind = built[0].kind
    else:
        kind = called(err, name)
    place = config_key(err, key)
    if kind is None:
        return ""
    place = place or "The config"
    known = _parameters(kind)
    hint = near(key, known) or (f" It takes {', '.join(known)}." if known else "")
    return f"{place} has the key '{key}', which {_name(kind)} does not take.{hint}"


def _missing_key(err: BaseException) -> str:
    found = _LACKS.search(str(err)) if isinstance(err, TypeError) else None
    built = buildings(err)
    if found is None or not built:
        return ""
    names = set(re.findall(r"'(\w+)'", found[2]))
    if not names <= set(_parameters(built[0].kind)) or names <= set(built[0].spec):
        return ""
    place = config_key(err)
    where = f"{place} lacks" if place else "The config lacks"
    return f"{where} {found[2]}, which {_name(built[0].kind)} needs. Add it."


def _no_type(err: BaseException) -> str:
    text = message(err)
    if isinstance(err, KeyError) and 'must contain the key "type"' in text:
        built = buildings(err)
        keys = ", ".join(map(str, built[0].spec)) if built else ""
        return (
            f"A part of the config with the keys ({keys}) has no 'type'. Add the name "
            "of its class: dict(type='...', ...)."
        )
    if isinstance(err, TypeError) and "cfg should be a dict" in text:
        value = local_value(err, ["cfg"], object)
        return (
            f"The config has {value!r} where a dict(type='...', ...) belongs"
            f"{_in_line(err)}. Write it as a dict."
        )
    return ""


def _sample_of_a_worker(err: BaseException) -> str:
    text = str(err)
    found = _FROM_WORKER.match(text)
    if found is None:
        return ""
    last = text.rstrip().splitlines()[-1].strip()
    kind, _, said = last.partition(": ")
    if kind.endswith("SampleError"):
        return said
    if "collate" in text:
        return _not_together(last)
    lines = re.findall(r'File "([^"]+)", line (\d+)', text)
    at = f" at {lines[-1][0]}:{lines[-1][1]}" if lines else ""
    return (
        f"{found[2]} failed{at}: {last}. num_workers=0 in the loader reads the data in "
        "this process."
    )


def _dead_worker(err: BaseException) -> str:
    found = _WORKER_DIED.search(str(err))
    if found is None:
        return ""
    return (
        f"The process {found[1]} that reads data {found[2]}. Most often the machine "
        "ran out of memory, or a library crashed on a file: set fewer num_workers or a "
        "smaller batch_size; num_workers=0 shows an error of the data itself."
    )


def _collate(err: BaseException) -> str:
    calls = [place.frame.f_code.co_name for place in places(err)]
    if not any("collate" in text for text in (*calls, str(err))):
        return ""
    return _not_together(str(err))


def _not_together(said: str) -> str:
    found = _SHAPES.search(said)
    why = f"their sizes are {found[1]}" if found else said
    return (
        f"The samples of one batch cannot be put together: {why}. Bring them to one "
        "size in the pipeline (Resize, RandomCrop, Pad), set collate_fn="
        "dict(type='pseudo_collate'), or batch_size=1."
    )


def _label_out_of_range(err: BaseException) -> str:
    if not isinstance(err, (IndexError, RuntimeError)):
        return ""
    found = _LABEL.search(str(err))
    if found is None:
        return ""
    label = found[1] or found[2]
    said = f"The label {label} of a sample" if label else "A label of a sample"
    logits = _logits(err)
    has = f", which has {logits} outputs (0 to {logits - 1})" if logits else ""
    return (
        f"{said} is no class of the model{has}. Set num_classes of the model's head to "
        "that of the data set, or correct the annotations; see the data with "
        "tools/print_config.py."
    )


def _logits(err: BaseException) -> int | None:
    value = local_value(err, ["input", "logits", "pred", "cls_score"], torch.Tensor)
    return int(value.shape[1]) if value is not None and value.ndim > 1 else None


def _memory(err: BaseException) -> str:
    known = isinstance(err, (MemoryError, torch.OutOfMemoryError))
    no_room = isinstance(err, OSError) and err.errno == errno.ENOMEM
    if not (known or no_room or (_NO_MEMORY.search(str(err)))):
        return ""
    said = " ".join(str(err).split())[:200] or "the machine has no more"
    return (
        f"Out of memory ({said}). Make the batch_size or the images smaller, or use "
        "fewer num_workers."
    )


def _disk(err: BaseException) -> str:
    if isinstance(err, OSError) and err.errno is not None:
        file = err.filename or _file_in(err)
        named = f" '{os.fspath(file)}'" if isinstance(file, (str, os.PathLike)) else ""
        return _DISK_WORDS.get(err.errno, "{error}:{file}. Check the path.").format(
            file=named, error=err.strerror
        )
    if isinstance(err, RuntimeError) and _DISK_FULL.search(str(err)):
        file = _file_in(err)
        return _DISK_WORDS[errno.ENOSPC].format(file=f" '{file}'" if file else "")
    if isinstance(err, RuntimeError) and "Parent directory" in str(err):
        return f"{err} Make the folder, or choose another."
    return ""


_DISK_WORDS = {
    errno.ENOENT: "There is no file or folder{file}. Check the path.",
    errno.ENOSPC: "No space is left on the disk for{file}. Free some, or choose a "
    "folder of another disk.",
    errno.EDQUOT: "The disk quota is used up; could not write{file}. Free some space, "
    "or choose another folder.",
    errno.EROFS: "{file} lies on a disk that can only be read. Choose another folder.",
    errno.EACCES: "No permission for{file}. Change its rights, or choose another "
    "folder.",
    errno.EPERM: "No permission for{file}. Change its rights, or choose another "
    "folder.",
    errno.EISDIR: "{file} is a folder, where a file is meant. Name a file.",
    errno.ENOTDIR: "A part of the path{file} is a file, where a folder is meant. "
    "Choose another folder.",
    errno.EEXIST: "{file} is there already, and is no folder. Choose another name.",
    errno.ENAMETOOLONG: "The name{file} is too long. Choose a shorter one.",
    errno.EMFILE: "Too many files are open; could not open{file}. Raise the limit "
    "(ulimit -n), or use fewer num_workers.",
}


def _damaged(err: BaseException) -> str:
    kinds = (EOFError, pickle.UnpicklingError, RuntimeError)
    if not isinstance(err, kinds) or not (
        isinstance(err, EOFError) or _DAMAGED.search(str(err))
    ):
        return ""
    file = _file_in(err)
    if file is None:
        return ""
    said = str(err).splitlines()[0] if str(err) else "it ends too early"
    return (
        f"The file '{file}' is damaged or of another format ({said}). Take an earlier "
        "checkpoint, or make it anew."
    )


def _other_process(err: BaseException) -> str:
    distributed = isinstance(err, torch.distributed.DistError) or (
        isinstance(err, RuntimeError) and "distributed" in _files(err)
    )
    if not distributed:
        return ""
    text = str(err)
    if _PORT_TAKEN.search(text):
        return (
            f"The port for the processes of this run is taken ({_first(text)}). Choose "
            "another: PORT=29501 in front of tools/dist_*.sh, or MASTER_PORT."
        )
    if _OTHER_RANK.search(text):
        return (
            "Another process of this run ended or does not answer; its own error line "
            f"says why ({_first(text)[:200]})."
        )
    return ""


def _not_installed(err: BaseException) -> str:
    if not isinstance(err, ModuleNotFoundError) or not err.name:
        return ""
    if str(err) != f"No module named '{err.name}'":
        return str(err)
    package = err.name.partition(".")[0]
    return (
        f"The package '{package}' is not installed, or '{err.name}' is no module of "
        "it. Install it, or add its folder to PYTHONPATH."
    )


def _assertion(err: BaseException) -> str:
    if not isinstance(err, AssertionError) or str(err):
        return ""
    innermost = places(err)[-1:]
    said = inspect.getframeinfo(innermost[0].frame).code_context if innermost else None
    what = said[0].strip() if said else "an assertion"
    return (
        f"A check failed: {what}{_in_line(err)}. MMRAZOR_DEBUG=1 shows the traceback."
    )


def _metric(err: BaseException) -> str:
    if not isinstance(err, KeyError) or not isinstance(
        known := local_value(err, ["metrics"], dict), dict
    ):
        return ""
    name = message(err)
    if name in known or not known:
        return ""
    return (
        f"save_best='{name}' is no metric of the validation.{near(name, known)} It "
        f"gives {', '.join(map(str, known))}. Correct default_hooks.checkpoint."
    )


def _recursion(err: BaseException) -> str:
    if not isinstance(err, RecursionError):
        return ""
    return (
        f"Something contains or calls itself without end{_in_line(err)}. Look for a "
        "part of the config or of the model that holds itself."
    )


# The first that has words for an error is taken.
_KINDS = (
    _sample_of_a_worker,
    unknown_type,
    _misspelt_key,
    _missing_key,
    _no_type,
    _dead_worker,
    _other_process,
    _memory,
    _collate,
    _label_out_of_range,
    _disk,
    _damaged,
    _not_installed,
    _metric,
    _assertion,
    _recursion,
)


def _file_in(err: BaseException) -> str | None:
    """Return the innermost path that a frame of an error holds."""
    found = local_value(err, _PATHS, str, os.PathLike)
    handle = local_value(err, ("f", "file", "stream", "fp", "opened_file"), object)
    name = getattr(handle, "name", None)
    if found is None and isinstance(name, str):
        return name
    return None if found is None else os.fspath(found)


def _files(err: BaseException) -> str:
    return " ".join(place.file for place in places(err)[-4:])


def _first(text: str) -> str:
    return " ".join((text.strip().splitlines() or [""])[0].split())


def _in_line(err: BaseException) -> str:
    return f" (at {location(err)})"


def _name(kind: Any) -> str:
    """Return the name of a class, or of a method with its class."""
    return getattr(kind, "__qualname__", None) or str(kind)


def _parameters(kind: Any) -> list[str]:
    """Return the settings of a class or function, those of bases behind its own."""
    found: dict[str, None] = {}
    for base in inspect.getmro(kind) if inspect.isclass(kind) else (kind,):
        call = vars(base).get("__init__") if inspect.isclass(base) else base
        try:
            parameters = inspect.signature(call).parameters.values()  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
        for one in parameters:
            if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL):
                found[one.name] = None
    return [name for name in found if name != "self"]


def _registered_names(kind: str) -> list[str]:
    """Return all names in the registries of one kind, with the scope of children."""
    names: list[str] = []
    for root in vars(host_registry).values():
        if not isinstance(root, Registry) or root.name != kind:
            continue
        names += list(root.module_dict)
        for scope, child in root.children.items():
            for name in child.module_dict:
                names += [name, f"{scope}.{name}"]
    return names
