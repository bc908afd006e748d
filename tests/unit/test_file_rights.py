"""Files that hold customers' data are made for their owner only."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatch_returns.cli import common
from dispatch_returns.client import transfer

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")


@pytest.fixture(autouse=True)
def generous_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_a_command_writes_is_its_owners_only(tmp_path: Path) -> None:
    common.write(tmp_path / "labels" / "label.pdf", b"%PDF")
    assert rights(tmp_path / "labels" / "label.pdf") == 0o600


def test_the_rights_of_a_file_that_is_there_are_left(tmp_path: Path) -> None:
    (tmp_path / "story.html").touch()
    common.write(tmp_path / "story.html", "<p>")
    assert rights(tmp_path / "story.html") == 0o644


def test_a_downloaded_attachment_is_its_owners_only(tmp_path: Path) -> None:
    with transfer.writing(tmp_path / "photo.jpg") as file:
        file.write(b"jpeg")
    assert rights(tmp_path / "photo.jpg") == 0o600


def test_no_command_writes_files_past_the_one_place_that_does() -> None:
    commands = Path(common.__file__).parent
    for path in commands.rglob("*.py"):
        text = path.read_text()
        for call in ("write_text(", "write_bytes("):
            assert call not in text, f"{path.name}: use cli.common.write"
