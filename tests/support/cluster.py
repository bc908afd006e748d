"""A PostgreSQL server of a test's own, which may be restarted at will."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.support.ports import free_port


class Cluster:
    """A server in a folder of its own. PostgreSQL refuses to run as root, so it does not."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    def make(self) -> None:
        """Make the files and start the server."""
        options = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
        self._run("initdb", *options, "-D", str(self._folder / "data"))
        with (self._folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write(
                f"port = {self._port}\nlisten_addresses = '127.0.0.1'\n"
                f"unix_socket_directories = ''\nmax_connections = 200\nshared_buffers = 64MB\n"
            )
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._control("start", "-l", str(self._folder / "log"))

    def stop(self, mode: str = "fast") -> None:
        """Stop it: ``fast`` ends its sessions, ``immediate`` is as when its machine fails."""
        self._control("stop", "-m", mode)

    def cut_sessions(self) -> None:
        """End every session but the one that does it."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-w", "-D", str(self._folder / "data"), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        done = subprocess.run(
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a pipe would be kept open by the server
            stderr=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
        if done.returncode:
            log = self._folder / "log"
            said = log.read_text()[-2000:] if log.exists() else ""
            raise RuntimeError(f"{program} failed ({done.returncode}): {said}")


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Run a server while the block lasts."""
    programs = _programs()
    if programs is None:
        pytest.skip("needs PostgreSQL's own programs (initdb, pg_ctl)")
    folder = Path(tempfile.mkdtemp(prefix="dispatch-returns-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    running = Cluster(programs, folder)
    try:
        running.make()
        try:
            yield running
        finally:
            running.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path | None:
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda it: it.parent.name)
    found = shutil.which("initdb")
    return Path(found).parent if found else next(iter(reversed(debian)), None)
