"""Set this project up and run it, with nothing but Python 3.11.

Makes `.venv` beside this file, installs what the command needs there, and runs it.
What follows the command goes to the program that is run: `python3 dev.py test -x tests/unit`.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).resolve().parent
VENV = Path(os.environ.get("DEV_VENV") or ROOT / ".venv").resolve()
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")

GATED = ("refunds", "webhooks", "store")
COVERAGE_GATE = 95.0
# On 2 cores 595 seconds became 325. No more than 4: each process has databases open.
# Given out one by one: where whole files are, of tests with one id (Schemathesis') only one is run.
IN_PARALLEL = ("--numprocesses=auto", "--maxprocesses=4", "--dist=worksteal")


QUICK = (
    "tests/unit/client",
    "tests/unit/policy",
    "tests/unit/refunds_adapters",
    "tests/unit/webhooks",
    "tests/unit/refunds/test_transitions.py",
    "tests/unit/refunds/test_guard.py",
    "tests/unit/refunds/test_outcomes.py",
    "tests/unit/refunds/test_service.py",
    "tests/unit/returns/test_transitions.py",
    "tests/unit/test_diagrams.py",
    "tests/unit/test_errors.py",
    "tests/unit/test_layers.py",
    "tests/unit/test_money.py",
    "tests/unit/test_promises.py",
    "tests/unit/test_public_api.py",
    "tests/unit/test_settings.py",
    "tests/unit/test_settings_file.py",
    "tests/e2e/test_docs.py::test_the_links_lead_somewhere",
    "tests/e2e/test_docs.py::test_every_setting_is_documented",
    "tests/e2e/test_docs.py::test_the_code_of_the_quickstart_is_that_of_the_examples",
)
"""What a change breaks most often: less than a minute on two quiet processors, no server."""


class SetupError(Exception):
    """This machine lacks something; the message says what, and the remedy."""


# Commands: each takes what followed its name, and returns an exit code.


def demo(args: list[str]) -> int:
    """take 25 returns from request to refund, against local stand-ins"""
    install("demo")
    return run(str(BIN / "dispatch-returns"), "demo", *args)


def test(args: list[str]) -> int:
    """run the tests (`--quick`: in a minute, what breaks most often; `-n 0`: one by one)"""
    install("dev")
    if "--quick" in args:
        rest = [arg for arg in args if arg != "--quick"]
        return run(str(PYTHON), "-m", "pytest", "-q", *IN_PARALLEL, *QUICK, *rest)
    install_peers()
    return run(str(PYTHON), "-m", "pytest", *IN_PARALLEL, *args)


def lint(args: list[str]) -> int:
    """ruff (`--fix` goes to it), mypy and pyright"""
    install("dev")
    return all_of(
        [PYTHON, "-m", "ruff", "check", *args],
        [PYTHON, "-m", "ruff", "format", "--check"],
        [PYTHON, "-m", "mypy"],
        [PYTHON, "-m", "pyright", "--pythonpath", PYTHON],
    )


def check(args: list[str]) -> int:
    """lint, then the tests with branch coverage and its gate"""
    if code := lint([]):
        return code
    install_peers()
    code = all_of(
        [PYTHON, "-m", "coverage", "erase"],
        [PYTHON, "-m", "coverage", "run", "-m", "pytest", *args],
        [PYTHON, "-m", "coverage", "combine", "-q"],
        [PYTHON, "-m", "coverage", "report"],
        [PYTHON, "-m", "coverage", "json", "-q"],
    )
    return code or coverage_gate(ROOT / "coverage.json")


def audit(args: list[str]) -> int:
    """bandit over the code, and pip-audit over the installed packages"""
    install("dev")
    code = all_of([PYTHON, "-m", "bandit", "-q", "-c", "pyproject.toml", "-r", "src", *args])
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "audit.json")
        say("pip-audit")
        # Its own words are not shown: "no known vulnerabilities" is also said of nothing at all.
        options = ("--skip-editable", "-f", "json", "-o", str(report))
        command = [str(PYTHON), "-m", "pip_audit", *options]
        subprocess.run(command, env=environment(), capture_output=True, check=False)
        return code or audited(report)


def bench(args: list[str]) -> int:
    """measure against what one would otherwise use; writes docs/benchmarks.md"""
    install("dev")
    return run(str(PYTHON), "-m", "tests.benchmarks", *args)


def mutate(args: list[str]) -> int:
    """mutation testing of money, signatures and the refund service"""
    install("dev")
    shutil.rmtree(ROOT / "mutants", ignore_errors=True)  # its verdicts outlive a changed test
    return all_of([PYTHON, "-m", "mutmut", "run", *args], [PYTHON, "-m", "mutmut", "results"])


def crash(args: list[str]) -> int:
    """kill workers at every named point; each ticket still gets one refund"""
    install("dev")
    install_peers()
    return run(str(PYTHON), "-m", "pytest", "-m", "crash", "-v", *args)


def chaos(args: list[str]) -> int:
    """2,000 returns in a storm of faults: `--seed N`, `--returns N`; the books must agree"""
    install("dev")
    return run(str(PYTHON), "-m", "tests.e2e.chaos", *args)


def shape(args: list[str]) -> int:
    """count functions, files, circles; `--keep` keeps the table to compare with"""
    install("dev")
    return run(str(PYTHON), "-m", "tests.shape", *args)


def docs(args: list[str]) -> int:
    """build the documentation as a site in build/site; a dead link fails it"""
    install("docs")
    site = ["-q", "--strict", "-f", "docs/site/mkdocs.yml", *args]
    os.environ["NO_MKDOCS_2_WARNING"] = "1"  # the theme's advertisement for its successor
    return run(str(PYTHON), "-m", "mkdocs", "build", *site)


def screenshot(args: list[str]) -> int:
    """take the picture of the sandbox's page; `portal FOLDER` takes those of the portal"""
    install("dev")
    if args[:1] == ["portal"]:
        return run(str(PYTHON), "-m", "tests.portal_pictures", *args[1:])
    return run(str(PYTHON), "-m", "tests.screenshot", *args)


COMMANDS: tuple[Callable[[list[str]], int], ...] = (
    demo,
    test,
    lint,
    check,
    audit,
    bench,
    mutate,
    crash,
    chaos,
    shape,
    docs,
    screenshot,
)


# Setting up.


def install(extra: str) -> None:
    """Install the project with `extra`, unless this pyproject.toml was installed from here before.

    `dev` holds everything, so it stands for any other.
    """
    stamps = [VENV / f".installed-{name}" for name in dict.fromkeys((extra, "dev"))]
    content = str(ROOT).encode() + (ROOT / "pyproject.toml").read_bytes()
    wanted = hashlib.sha256(content).hexdigest()
    if any(stamp.is_file() and stamp.read_text() == wanted for stamp in stamps) and works():
        return
    pip = pip_of_venv()
    say(f"installing .[{extra}] into {VENV.name} (a minute or so; the next time it is at once)")
    source = f"{ROOT}[{extra}]"
    if code := run(*pip, "install", "-qq", "--editable", source, stdout=sys.stderr):
        raise SetupError(
            f"pip could not install the packages (exit code {code}; its own words are above)."
            " Check that this machine reaches the package index, then run the same command again."
        )
    stamps[0].write_text(wanted)


def works(*module: str) -> bool:
    """Whether the environment's Python starts (and has `module`)."""
    command = [str(PYTHON), "-c", f"import {','.join(('sys', *module))}"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def pip_of_venv() -> list[str]:
    """Make the environment if it is not there, and return the pip command that fills it."""
    if works("pip"):
        return [str(PYTHON), "-m", "pip"]
    if missing("venv") or (missing("ensurepip") and missing("pip")):
        raise SetupError(
            "this Python can neither make an environment with pip nor has pip itself."
            " On Debian or Ubuntu: sudo apt install python3-venv, then the same command again."
        )
    if not missing("ensurepip"):
        make_venv()
        return [str(PYTHON), "-m", "pip"]
    # Debian ships Python without ensurepip; its pip, if there, can fill another environment.
    if not works():
        make_venv("--without-pip")
    return [sys.executable, "-m", "pip", "--python", str(PYTHON)]


def make_venv(*options: str) -> None:
    say(f"making {VENV}")
    if run(sys.executable, "-m", "venv", "--clear", *options, str(VENV), stdout=sys.stderr):
        raise SetupError(f"could not make {VENV}: Python's own words are above.")


def missing(module: str) -> bool:
    return importlib.util.find_spec(module) is None


def install_peers() -> None:
    """Fetch the independent servers some tests run against; without them those are skipped."""
    run(str(PYTHON), "-m", "tests.support.peers", stdout=sys.stderr)


# Running.


def run(*command: str, stdout: TextIO | None = None) -> int:
    """Run in the project's folder and return the exit code, as a shell would give it."""
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=stdout) as process:
        signal.signal(signal.SIGTERM, lambda _number, _frame: process.terminate())
        interrupted = False
        while process.returncode is None:
            try:
                process.wait()
            except KeyboardInterrupt:
                interrupted = True  # the program got it from the terminal too, and ends its way
    if interrupted:
        raise KeyboardInterrupt
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def all_of(*commands: Iterable[str | Path]) -> int:
    """Run one after the other, up to the first that fails."""
    for parts in commands:
        command = [str(part) for part in parts]
        say(" ".join([Path(command[0]).name, *command[1:]]))
        if code := run(*command):
            return code
    return 0


def environment() -> dict[str, str]:
    """The caller's environment, less what leads the environment's Python elsewhere or slows it."""
    leading = {"PYTHONHOME", "PYTHONPATH", "PIP_USER", "PIP_TARGET", "PIP_PREFIX"}
    # The tests start hundreds of programs, and without it each would compile the package anew.
    leading.add("PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if name not in leading}
    kept["PATH"] = os.pathsep.join([str(BIN), kept.get("PATH", os.defpath)])
    return kept | {"VIRTUAL_ENV": str(VENV), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def coverage_gate(report: Path) -> int:
    """Hold lines and branches of each gated folder, each for itself, to the gate."""
    files = json.loads(report.read_text())["files"]
    failed = False
    for folder in GATED:
        path = f"dispatch_returns/{folder}/"
        inside = [file["summary"] for name, file in files.items() if path in name]
        lines = percent(inside, "covered_lines", "num_statements")
        branches = percent(inside, "covered_branches", "num_branches")
        failed |= min(lines, branches) < COVERAGE_GATE
        say(f"{folder:9} lines {lines:5.1f} %   branches {branches:5.1f} %")
    say(f"the gate is {COVERAGE_GATE:g} %: {'not reached' if failed else 'reached'}")
    return int(failed)


def audited(report: Path) -> int:
    """Say what pip-audit found out, and whether it could: it succeeds having looked at nothing."""
    packages: list[dict[str, Any]] = []
    with contextlib.suppress(OSError, ValueError, KeyError):
        packages = json.loads(report.read_text())["dependencies"]
    looked_at = [package for package in packages if "skip_reason" not in package]
    found = [(package, str(vuln["id"])) for package in looked_at for vuln in package["vulns"]]
    for package, vuln in found:
        say(f"{package['name']} {package['version']}: {vuln}")
    if not looked_at:
        say("pip-audit DID NOT RUN: no advisory database can be reached from here. Only bandit's")
        say("verdict counts; run this again where https://pypi.org can be reached.")
    else:
        say(
            f"pip-audit: {len(looked_at)} of {len(packages)} packages looked up,"
            f" {len(found)} advisories"
        )
    return int(bool(found))


def percent(summaries: Sequence[dict[str, int]], covered: str, total: str) -> float:
    of = sum(summary[total] for summary in summaries)
    return 100.0 * sum(summary[covered] for summary in summaries) / of if of else 100.0


def say(text: str) -> None:
    """A line about what is being done: on stderr, so that stdout is the program's alone."""
    print(f"dev: {text}", file=sys.stderr, flush=True)


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - this file alone is run by any Python
        say(f"Python 3.11 or later is needed, this is {sys.version.split()[0]}: try python3.11")
        return 2
    commands = {command.__name__: command for command in COMMANDS}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, command in commands.items():
        subparsers.add_parser(name, help=command.__doc__, add_help=False)
    chosen, rest = parser.parse_known_args()
    if chosen.command is None:
        parser.print_help()
        return 0
    try:
        return commands[chosen.command](rest)
    except SetupError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
