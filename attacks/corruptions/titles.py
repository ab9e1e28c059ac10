"""What tables and figures call the corruptions."""

from collections.abc import Mapping
from types import MappingProxyType

from attacks.corruptions import CORRUPTIONS

_UNLIKE = {"jpeg_compression": "JPEG", "elastic_transform": "Elastic"}

TITLES: Mapping[str, str] = MappingProxyType(
    {name: _UNLIKE.get(name, name.replace("_", " ").capitalize()) for name in CORRUPTIONS}
)
"""Name → title, in the order of tables."""
