"""The bytes of attachments, each in a file of its own."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path


class Blobs:
    """A folder of files by attachment; without one, a temporary folder that goes with it."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def path(self, attachment_id: str) -> Path:
        """Return the path of an attachment, which may not exist."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="dispatch-sandbox-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._folder.mkdir(exist_ok=True)
        return self._folder / attachment_id

    def size(self, attachment_id: str) -> int | None:
        """Return the number of bytes that arrived; None if none were sent."""
        path = self.path(attachment_id)
        return path.stat().st_size if path.is_file() else None

    def forget(self, attachment_id: str) -> None:
        """Delete the bytes of an attachment."""
        self.path(attachment_id).unlink(missing_ok=True)
