"""Ray clusters of several nodes on this machine, bound to 127.0.0.1."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Ray would look for the machine's outer address; read when it is imported, and off Linux only.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

NODE: dict[str, Any] = {
    "num_cpus": 1,
    "node_ip_address": "127.0.0.1",
    "object_store_memory": 80_000_000,
}
"""A node with one core."""


@contextmanager
def cluster_of(nodes: int) -> Iterator[Any]:
    """Yield a ``ray.cluster_utils.Cluster`` of a head and further nodes, a core each."""
    from ray.cluster_utils import Cluster

    # Nodes import the stages of tests as tests do.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    made = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    try:
        for _ in range(nodes - 1):
            made.add_node(**NODE)
        yield made
    finally:
        made.shutdown()
