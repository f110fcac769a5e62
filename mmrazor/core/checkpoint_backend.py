# mmengine's LocalBackend opens the checkpoint's final name and writes into it: a run
# that is killed there leaves a torn file, which `last_checkpoint` may name.
"""A file backend of mmengine that never leaves half a checkpoint."""

from __future__ import annotations

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from .files import write_atomically

BACKEND_NAME = "mmrazor.atomic"


@register_backend(BACKEND_NAME, force=True)
class AtomicLocalBackend(LocalBackend):
    """Local files, written under a temporary name and renamed.

    Used as ``CheckpointHook(backend_args=dict(backend='mmrazor.atomic'))``.
    """

    def put(self, obj: bytes | memoryview, filepath: str | Path) -> None:
        """Write bytes to a file."""
        write_atomically(filepath, lambda path: path.write_bytes(obj))

    def put_text(self, obj: str, filepath: str | Path, encoding: str = "utf-8") -> None:
        """Write text to a file."""
        write_atomically(filepath, lambda path: path.write_text(obj, encoding))
