"""What a tool's output says."""

from __future__ import annotations


def error(output: str) -> str:
    """Return the tool's last words, which must not be a traceback."""
    assert "Traceback" not in output, output
    return output[output.index("error: ") :].strip()
