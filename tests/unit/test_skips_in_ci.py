"""With CI=true a skip because something is missing is a failure."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
import pytest

@pytest.mark.skipif(True, reason="needs Node")
def test_marked(): ...

def test_called():
    pytest.skip("needs PostgreSQL")

def test_otherwise():
    pytest.skip("set STRIPE_TEST_KEY to run this")

def test_environment():
    import os
    assert "DISPATCH_API_KEY" not in os.environ
    assert os.environ["STRIPE_TEST_KEY"] == "sk_test_x"
"""
MODULE = 'import pytest\npytest.skip("needs Redis", allow_module_level=True)\n'


LONG = """
import pytest

@pytest.mark.long
def test_of_minutes(): ...

def test_of_no_time(): ...
"""


def outcome(folder: Path, suite: str, ci: str, *options: str) -> str:
    shutil.copy(Path(__file__).parents[1] / "conftest.py", folder)
    (folder / "test_suite.py").write_text(suite)
    keys = {"DISPATCH_API_KEY": "sk_live_x", "STRIPE_TEST_KEY": "sk_test_x", "CI": ci}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(folder)],
        cwd=folder,
        env=os.environ | keys,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.splitlines()[-1].partition(" in ")[0]


@pytest.mark.parametrize(
    ("suite", "ci", "expected"),
    [
        (SUITE, "", "1 passed, 3 skipped"),
        (SUITE, "true", "1 failed, 1 passed, 1 skipped, 1 error"),
        (MODULE, "", "1 skipped"),
        (MODULE, "true", "1 error"),
    ],
)
def test_a_missing_tool_skips_here_and_fails_in_ci(
    tmp_path: Path, suite: str, ci: str, expected: str
) -> None:
    assert outcome(tmp_path, suite, ci) == expected


def test_what_takes_minutes_is_left_out_and_not_skipped(tmp_path: Path) -> None:
    known = ("-W", "ignore::pytest.PytestUnknownMarkWarning")
    assert outcome(tmp_path, LONG, "true", *known) == "1 passed, 1 deselected"
    assert outcome(tmp_path, LONG, "true", *known, "--long") == "2 passed"
