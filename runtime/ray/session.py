"""Ray on demand: nothing is started until something needs it, and only what was started here is stopped here.

A local instance listens on the loopback interface only, has no dashboard, writes no file outside Ray's own session
directory, and prints nothing. Four settings make that so, all read by Ray when it starts:

- ``RAY_AUTH_TOKEN``, drawn at random: Ray switches on token authentication for local instances, and would otherwise
  write ``~/.ray/auth_token`` and say so. The token keeps other users of the machine out.
- ``RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0``: Ray's switch for "one machine, use 127.0.0.1", the default on those systems.
- ``RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0``: a task that asks for no GPU does not have the user's devices hidden.
- ``RAY_worker_niceness=0``: Ray runs workers at a low priority, and here they are what the user waits for.

>>> with connect() as session:                                                          # doctest: +SKIP
...     session.owned
True
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from orchestrator.runtime.engines import errors
from orchestrator.runtime.ray.code_paths import job_config

OBJECT_STORE_BYTES = 256 * 2**20
"""Prompts and replies are small; tools that exchange large arrays can start Ray themselves with more."""
REACH_TIMEOUT_S = 5.0
HEALTH_TIMEOUT_S = 20.0
LOOPBACK = "127.0.0.1"
JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""It is set where ``ray job submit`` has started this process."""

_log = logging.getLogger(__name__)


@dataclass
class RaySession:
    """A connection of this process to a Ray instance."""

    address: str
    owned: bool
    """Started by :func:`connect`, so :meth:`close` stops it."""
    cleanup: ExitStack = field(default_factory=ExitStack, repr=False)
    """What else ends with it."""
    _closed: bool = False

    def resources(self) -> dict[str, float]:
        """What the instance has in all: ``CPU``, ``GPU``, ``memory`` …"""
        import ray

        return dict(ray.cluster_resources())

    def close(self) -> None:
        """Stop the instance if it is ours; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        if self.owned:
            import ray

            ray.shutdown()
            _environment.restore()
        self.cleanup.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def connect(
    address: str | None = None,
    *,
    num_cpus: int | None = None,
    working_dir: Path | None = None,
    without: Iterable[Path] = (),
) -> RaySession:
    """Join the Ray cluster at ``address`` (``host:port`` or ``auto``), or start a local instance.

    A Ray that this process already uses is taken as it is, whoever started it. ``working_dir`` is sent to the workers
    of a cluster and is their current folder, but for what ``.gitignore`` and ``.rayignore`` name there, and the files
    and folders ``without`` which they are to be. Raises ORCH-E007, and ORCH-E030 for a folder that cannot be sent.
    """
    import_settings = address is None and "ray" not in sys.modules
    if import_settings:
        _environment.apply()
    import ray

    if ray.is_initialized():
        found = str(ray.get_runtime_context().gcs_address)
        if address not in (None, "auto", found):
            raise errors.ray_unreachable(str(address), f"this process already uses the Ray at {found}")
        return RaySession(found, owned=False)
    if address is None:
        return _start_local(num_cpus)
    return _join(address, None if working_dir is None else _sent(working_dir, without))


def _start_local(num_cpus: int | None) -> RaySession:
    import ray

    _environment.apply()
    cleanup = ExitStack()
    try:
        with _signal_handlers_kept():
            context = ray.init(
                address="local",
                job_config=job_config(cleanup),
                num_cpus=num_cpus,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except Exception as error:  # Ray raises plain ``Exception`` where its processes are too slow to start
        ray.shutdown()
        _environment.restore()
        cleanup.close()
        raise errors.ray_not_started(_last_line(error)) from error
    where = context.address_info
    if where["node_ip_address"] != LOOPBACK:
        _log.warning("the local Ray listens on %s, not only on this machine", where["node_ip_address"])
    return RaySession(str(where["gcs_address"]), True, cleanup)


def _sent(folder: Path, without: Iterable[Path]) -> dict[str, Any] | None:
    """The runtime environment that has a folder; a job that was submitted to the cluster with one has that."""
    if JOB_CONFIG in os.environ:
        return None
    left_out = [each.resolve() for each in without if each.exists()]
    inside = [each.relative_to(folder) for each in left_out if each != folder and each.is_relative_to(folder)]
    return {"working_dir": str(folder), "excludes": [f"/{each.as_posix()}" for each in inside]}


def _join(address: str, runtime_env: dict[str, Any] | None) -> RaySession:
    import ray

    if address != "auto" and "://" not in address:
        _check_reachable(address)
    try:
        with _signal_handlers_kept():
            context = ray.init(
                address=address, log_to_driver=False, logging_level=logging.ERROR, runtime_env=runtime_env
            )
    except ray.exceptions.RuntimeEnvSetupError as error:
        ray.shutdown()
        raise errors.folder_not_sent(str(runtime_env and runtime_env["working_dir"]), _last_line(error)) from error
    except (RuntimeError, ConnectionError, TimeoutError, ValueError, ray.exceptions.RayError) as error:
        raise errors.ray_unreachable(address, _last_line(error)) from error
    return RaySession(str(context.address_info.get("gcs_address", address)), owned=True)


def _check_reachable(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise errors.ray_unreachable(address, "an address looks like 10.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_TIMEOUT_S).close()
    except OSError as error:
        raise errors.ray_unreachable(address, str(error)) from error
    _check_is_ray(address)


def _check_is_ray(address: str) -> None:
    """Ask with Ray's own command first: joining something that is not Ray keeps ``ray.init`` trying for minutes."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        asked = subprocess.run(command, capture_output=True, timeout=HEALTH_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise errors.ray_unreachable(address, f"no answer within {HEALTH_TIMEOUT_S:g} s") from error
    if asked.returncode != 0:
        raise errors.ray_unreachable(address, "something listens there, but it does not answer as Ray does")


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """``ray.init`` replaces the SIGTERM handler; a server that drains on SIGTERM needs its own back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before not in (signal.SIG_DFL, None):
            signal.signal(signal.SIGTERM, before)


class _Environment:
    """The settings of a local instance, in force from its start to its end; the user's own values win."""

    def __init__(self) -> None:
        self._set: list[str] = []
        self._token = secrets.token_hex(32)
        """One per process: Ray caches the first token it reads, also across instances."""

    def apply(self) -> None:
        wanted = {
            "RAY_AUTH_TOKEN": self._token,
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "RAY_worker_niceness": "0",
        }
        if "RAY_AUTH_MODE" not in os.environ:
            self._set.append("RAY_AUTH_MODE")  # set by Ray itself, to "token"
        for name, value in wanted.items():
            if name not in os.environ:
                os.environ[name] = value
                self._set.append(name)
        self._single_machine(True)

    def restore(self) -> None:
        for name in self._set:
            os.environ.pop(name, None)
        self._set.clear()
        self._single_machine(False)

    @staticmethod
    def _single_machine(on: bool) -> None:
        """Ray reads the loopback switch once, when it is imported: tell a Ray that already was."""
        constants: Any = sys.modules.get("ray._private.ray_constants")
        if constants is not None and hasattr(constants, "ENABLE_RAY_CLUSTER"):
            constants.ENABLE_RAY_CLUSTER = not on


_environment = _Environment()
