"""A SQLite database of real tables about the machine it is built on.

``distributions`` and ``requirements`` are the installed Python distributions and what they require; ``packages`` are
the installed Debian packages, and the table exists only where ``dpkg-query`` does. Everything is read locally::

    distributions(id int, name text, version text, files int, bytes int, dependencies int)
    requirements(name text, kind text [required, optional], distribution_id int)
    packages(name text, version text, section text, size_kb int, priority text [optional, required, ...])
    requirements.distribution_id = distributions.id
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

_CREATE = """
CREATE TABLE distributions (
    id INTEGER PRIMARY KEY, name TEXT, version TEXT, files INTEGER, bytes INTEGER, dependencies INTEGER);
CREATE TABLE requirements (
    name TEXT, kind TEXT, distribution_id INTEGER, FOREIGN KEY (distribution_id) REFERENCES distributions (id));
"""
_CREATE_PACKAGES = "CREATE TABLE packages (name TEXT, version TEXT, section TEXT, size_kb INTEGER, priority TEXT)"
_DPKG_FORMAT = "${Package}\t${Version}\t${Section}\t${Installed-Size}\t${Priority}\t${db:Status-Status}\n"
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_EXTRA_MARKER = re.compile(r"\bextra\s*[=<>!]")

PackageRow = tuple[str, str, str, int, str]


@dataclass(frozen=True)
class MachineDatabase:
    """What was built: ``packages`` is 0 where the machine has no Debian packages, and the table is then missing."""

    path: Path
    distributions: int
    requirements: int
    packages: int


@dataclass(frozen=True)
class InstalledDistribution:
    """One installed Python distribution; ``requirements`` are (name, "required" or "optional")."""

    name: str
    version: str
    files: int
    bytes: int
    requirements: tuple[tuple[str, str], ...]


def build(path: Path) -> MachineDatabase:
    """Write the database to ``path``, a new file. Raises ``OSError`` or ``sqlite3.OperationalError`` if it cannot."""
    installed = sorted(installed_distributions(), key=lambda each: each.name)
    packages = debian_packages()
    connection = sqlite3.connect(path)
    try:
        connection.executescript(_CREATE)
        for ident, each in enumerate(installed, 1):
            needed = sum(kind == "required" for _, kind in each.requirements)
            connection.execute(
                "INSERT INTO distributions VALUES (?, ?, ?, ?, ?, ?)",
                (ident, each.name, each.version, each.files, each.bytes, needed),
            )
            rows = [(name, kind, ident) for name, kind in each.requirements]
            connection.executemany("INSERT INTO requirements VALUES (?, ?, ?)", rows)
        if packages:
            connection.execute(_CREATE_PACKAGES)
            connection.executemany("INSERT INTO packages VALUES (?, ?, ?, ?, ?)", packages)
        connection.commit()
    finally:
        connection.close()
    return MachineDatabase(path, len(installed), sum(len(each.requirements) for each in installed), len(packages))


def installed_distributions() -> Iterator[InstalledDistribution]:
    """Every distribution ``importlib.metadata`` finds, each name once (the first on the path wins)."""
    seen: set[str] = set()
    for each in distributions():
        name = each.metadata["Name"]
        if not name:
            continue
        canonical = _canonical(name)
        if canonical in seen:
            continue
        seen.add(canonical)
        files = each.files or []
        size = sum(file.size or 0 for file in files)
        yield InstalledDistribution(canonical, each.version, len(files), size, _requirements(each))


def _requirements(distribution: Distribution) -> tuple[tuple[str, str], ...]:
    """Distinct requirements; one that is needed without any extra counts as required."""
    kinds: dict[str, str] = {}
    for text in distribution.requires or []:
        match = _REQUIREMENT.match(text)
        if match is None:
            continue
        kind = "optional" if _EXTRA_MARKER.search(text) else "required"
        name = _canonical(match[1])
        if kinds.get(name) != "required":
            kinds[name] = kind
    return tuple(sorted(kinds.items()))


def debian_packages() -> list[PackageRow]:
    """(name, version, section, KiB, priority) of each installed Debian package; empty where there is no dpkg."""
    program = shutil.which("dpkg-query")
    if program is None:
        return []
    listed = subprocess.run([program, "-W", f"-f={_DPKG_FORMAT}"], capture_output=True, text=True, check=False)
    rows: dict[str, PackageRow] = {}
    for line in listed.stdout.splitlines():
        name, version, section, size, priority, status = line.split("\t")
        if status == "installed":
            rows.setdefault(name, (name, version, section or "unknown", int(size or 0), priority or "unknown"))
    return list(rows.values())


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
