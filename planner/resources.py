"""What an op needs of the hardware, as a vector that any device can be asked to price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Resources:
    """FLOPs, and bytes per kind of traffic, of one execution of an op.

    A sum is of ops one after the other: traffic adds up, and the larger KV cache is what has to fit.
    """

    flops: float = 0.0
    bytes_read: float = 0.0
    """Read from device memory."""
    bytes_written: float = 0.0
    """Written to device memory."""
    kv_bytes: float = 0.0
    """KV cache resident when the op ends."""
    net_bytes: float = 0.0
    """Moved between devices or machines."""

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.flops + other.flops,
            self.bytes_read + other.bytes_read,
            self.bytes_written + other.bytes_written,
            max(self.kv_bytes, other.kv_bytes),
            self.net_bytes + other.net_bytes,
        )

    def as_attributes(self) -> dict[str, float]:
        """The form of the ``resources`` attribute of level-2 ops, in declaration order."""
        return {
            "flops": self.flops,
            "bytes_read": self.bytes_read,
            "bytes_written": self.bytes_written,
            "kv_bytes": self.kv_bytes,
            "net_bytes": self.net_bytes,
        }


NO_RESOURCES: Final = Resources()
"""These are the resources of what needs none, or of what nobody knows."""
