"""`dev.py`: exit codes come through, nothing is installed twice, and the gate holds each folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import dev

CLEANS_UP = """
import pathlib, time
try:
    pathlib.Path("started").touch()
    time.sleep(60)
finally:
    pathlib.Path("cleaned up").touch()
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, whose environment is the one the tests run in."""
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    monkeypatch.setattr(dev, "VENV", tmp_path)
    monkeypatch.setattr(dev, "PYTHON", Path(sys.executable))
    (tmp_path / "pyproject.toml").write_text("[project]")
    return tmp_path


@pytest.mark.parametrize(
    ("code", "expected"),
    [("pass", 0), ("exit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 128 + 9)],
)
def test_the_programs_exit_code_comes_through(root: Path, code: str, expected: int) -> None:
    assert dev.run(sys.executable, "-c", code) == expected


def test_what_is_compiled_is_kept_for_the_programs_that_follow(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert dev.run(sys.executable, "-c", "import sys; exit(sys.dont_write_bytecode)") == 0


def test_the_first_failure_ends_a_list_of_steps(root: Path) -> None:
    last = [sys.executable, "-c", "open('ran', 'w')"]
    assert dev.all_of([sys.executable, "-c", "exit(4)"], last) == 4
    assert not (root / "ran").exists()
    assert dev.all_of(last) == 0
    assert (root / "ran").exists()


def run_under_signal(folder: Path, number: signal.Signals, whole_group: bool) -> int:
    script = f"import dev, sys; from pathlib import Path; dev.ROOT = Path({str(folder)!r});"
    script += f"dev.COMMANDS = (lambda _: dev.run(sys.executable, '-c', {CLEANS_UP!r}),);"
    script += "dev.COMMANDS[0].__name__ = 'it'; sys.argv = ['dev.py', 'it']; sys.exit(dev.main())"
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=Path(dev.__file__).parent, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 20
        while not (folder / "started").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (os.killpg if whole_group else os.kill)(process.pid, number)
        return process.wait(20)


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
def test_ctrl_c_lets_the_program_clean_up_and_ends_without_a_traceback(tmp_path: Path) -> None:
    assert run_under_signal(tmp_path, signal.SIGINT, whole_group=True) == 130
    assert (tmp_path / "cleaned up").exists()


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
def test_being_terminated_ends_the_program_too(tmp_path: Path) -> None:
    code = run_under_signal(tmp_path, signal.SIGTERM, whole_group=False)
    assert code == 128 + signal.SIGTERM


def test_the_same_project_is_installed_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[str] = []

    def record(*command: str, **_: object) -> int:
        installed.append(command[-1].rpartition("[")[2])
        return 0

    monkeypatch.setattr(dev, "run", record)
    monkeypatch.setattr(dev, "pip_of_venv", lambda: ["pip"])
    dev.install("demo")
    dev.install("demo")
    dev.install("dev")
    dev.install("demo")  # dev holds it
    assert installed == ["demo]", "dev]"]
    (root / "pyproject.toml").write_text("[project] # changed")
    dev.install("demo")
    assert installed == ["demo]", "dev]", "demo]"]


def test_a_failed_installation_is_not_remembered(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev, "run", lambda *_, **__: 1)
    monkeypatch.setattr(dev, "pip_of_venv", lambda: ["pip"])
    with pytest.raises(dev.SetupError, match="pip could not install"):
        dev.install("demo")
    assert list(root.glob(".installed-*")) == []


def test_a_python_that_can_make_no_environment_is_told_the_remedy(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev, "PYTHON", root / "none")
    for module in ("ensurepip", "pip"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(dev.SetupError, match="sudo apt install python3-venv"):
        dev.install("demo")


@pytest.mark.parametrize(("branches", "expected"), [(19, 0), (18, 1)])
def test_the_gate_holds_each_folder_and_its_branches(
    tmp_path: Path, branches: int, expected: int
) -> None:
    full = {"covered_lines": 900, "num_statements": 900, "covered_branches": 90, "num_branches": 90}
    bare = full | {"covered_branches": branches, "num_branches": 20}
    report = tmp_path / "coverage.json"
    files = {"src/dispatch_returns/refunds/a.py": full, "src/dispatch_returns/store/b.py": bare}
    report.write_text(json.dumps({"files": {k: {"summary": v} for k, v in files.items()}}))
    assert dev.coverage_gate(report) == expected


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([{"name": "a", "skip_reason": "not found"}], 0, "pip-audit DID NOT RUN"),
        ([], 0, "pip-audit DID NOT RUN"),
        (None, 0, "pip-audit DID NOT RUN"),
        ([{"name": "a", "version": "1", "vulns": []}], 0, "1 of 1 packages looked up, 0"),
        ([{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1"}]}], 1, "a 1: PYSEC-1"),
    ],
)
def test_an_audit_that_looked_at_nothing_says_so(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    packages: list[object] | None,
    code: int,
    said: str,
) -> None:
    report = tmp_path / "audit.json"
    if packages is not None:
        report.write_text(json.dumps({"dependencies": packages}))
    assert dev.audited(report) == code
    assert said in capsys.readouterr().err


def test_without_a_command_it_says_what_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["dev.py"])
    assert dev.main() == 0
    said = capsys.readouterr().out
    assert all(f" {command.__name__}" in said for command in dev.COMMANDS)


def test_what_the_quick_tests_name_is_there() -> None:
    root = Path(dev.__file__).parent
    for name in dev.QUICK:
        file, _, function = name.partition("::")
        assert (root / file).exists(), name
        assert not function or f"def {function}(" in (root / file).read_text(encoding="utf-8"), name
