"""More nodes for the Ray of the session: raylets on this machine, with custom resources, that can be killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from orchestrator.runtime.ray.session import RaySession

MOST_S = 60.0


class Raylet:
    """A node of its own."""

    def __init__(self, session: RaySession, **resources: float) -> None:
        from ray._private.node import Node
        from ray._private.parameter import RayParams

        parameters = RayParams(
            gcs_address=session.address,
            redis_address=session.address,
            node_ip_address="127.0.0.1",
            resources=resources,
            num_cpus=1,
            num_gpus=0,
            memory=2**30,
            object_store_memory=80 * 2**20,
            min_worker_port=0,
            max_worker_port=0,
            include_log_monitor=False,
            node_manager_port=0,
        )
        parameters.dashboard_agent_listen_port = None
        self._node: Any = Node(parameters, head=False, shutdown_at_exit=False, spawn_reaper=False)
        self.id = self._node._node_id
        self.is_up = True
        until(self._is_alive)

    def _is_alive(self) -> bool:
        import ray

        return any(each["Alive"] for each in ray.nodes() if each["NodeID"] == self.id)

    def kill(self) -> None:
        """End it as a power cut does."""
        self._end(allow_graceful=False)

    def stop(self) -> None:
        """Let it say goodbye, so that the cluster knows at once."""
        self._end(allow_graceful=True)
        until(lambda: not self._is_alive())

    def _end(self, *, allow_graceful: bool) -> None:
        if self.is_up:
            self.is_up = False
            self._node.kill_all_processes(check_alive=False, allow_graceful=allow_graceful, wait=True)


@contextmanager
def raylets(session: RaySession, *resources: dict[str, float]) -> Iterator[list[Raylet]]:
    """A node for each of ``resources``."""
    made: list[Raylet] = []
    try:
        made += [Raylet(session, **each) for each in resources]
        yield made
    finally:
        for each in made:
            each.stop()


def until(is_so: Any, most_s: float = MOST_S) -> None:
    """Wait for something that other processes do."""
    deadline = time.monotonic() + most_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not become so"
        time.sleep(0.1)
