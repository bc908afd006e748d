"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
import sqlite3
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

PACKAGES = (
    *("httpx", "pydantic", "sqlalchemy", "fastapi", "uvicorn"),
    *("stripe", "svix", "standardwebhooks", "openai"),
)


def describe() -> dict[str, str]:
    """What someone needs to know to compare the numbers with their own."""
    return {
        "Processor": f"{_processor()}, {os.cpu_count()} cores",
        "System": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "One flush to disk": f"{_flush_seconds() * 1e3:.2f} ms (4 kB and fsync, median)",
        "Load": f"{os.getloadavg()[0]:.1f} when it began (average of a minute)",
        "Packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _flush_seconds() -> float:
    taken: list[float] = []
    with tempfile.TemporaryFile() as file:
        for _ in range(20):
            file.write(b"x" * 4096)
            file.flush()
            start = time.perf_counter()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - start)
    return median(taken)
