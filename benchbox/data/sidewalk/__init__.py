"""Sidewalk: rendered pedestrians in the Market-1501 protocol, the embedded default dataset.

``sidewalk-a`` is like Market-1501 (6 cameras, summer), ``sidewalk-b`` like DukeMTMC-reID (8
cameras, winter). The same version, domain, size and seed give the same pixels on any machine.
"""

from benchbox.data.sidewalk.sizes import DOMAINS, SIZES, VERSION, spec_of
from benchbox.data.sidewalk.store import make, manifest, recorded_digest

__all__ = ["DOMAINS", "SIZES", "VERSION", "make", "manifest", "recorded_digest", "spec_of"]
