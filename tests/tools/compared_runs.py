"""Runs through the tools that end alike: killed or whole, on one process or two."""

import torch

NO_PARTS = {"dropout": 0.0, "norm": "Identity"}  # nothing depends on a part of a batch


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=0, atol=0, msg=name)


def dumped(folder, rank):
    """Return what ``DumpHook`` wrote, by kind and name."""
    content = torch.load(folder / f"rank{rank}.pt")
    return {f"{kind} {k}": v for kind, part in content.items() for k, v in part.items()}


def assert_close(found, expected, rtol, atol):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=rtol, atol=atol, msg=name)
