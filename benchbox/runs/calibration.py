"""How fast a machine is, as ``benchbox calibrate`` measured it, and how long stages then take."""

import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_cache_dir
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError

from benchbox.errors import BenchboxError
from benchbox.files.atomic import write_json
from benchbox.files.bounded import read_at_most
from benchbox.runs.cost import DIFFUSION, Cost

SCHEMA: Literal[1] = 1

_MOST = 4_000_000
"""Bytes of a calibration at most."""


class Rates(BaseModel):
    """What a second gives of one network, its image size and its guard.

    Attributes:
        trained: images that pass forward and backward with the weights' gradients; None where the
            network was not trained, such as behind a guard.
        ascended: images that pass forward and backward to their pixels.
        embedded: images that pass forward.
        load_seconds: how long it takes to build the network and make it ready.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    trained: PositiveFloat | None
    ascended: PositiveFloat
    embedded: PositiveFloat
    load_seconds: float = Field(ge=0)


class Provenance(BaseModel):
    """What rates were measured on; rates of different provenance are not mixed.

    Attributes:
        machine: its name in the network.
        device: with its model, such as ``cpu (AMD EPYC)``.
        threads: of torch in the measuring process, as in a stage's.
        clock: ``process`` is the CPU time of the process, which other processes do not disturb;
            ``wall`` is that of the wall, after the device has finished.
        versions: of Python and the packages that compute.
        commit: of benchbox, where it runs from a checkout.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    machine: str
    device: str
    threads: int
    clock: Literal["process", "wall"]
    versions: dict[str, str]
    commit: str | None


class Calibration(BaseModel):
    """A machine's rates.

    Attributes:
        calibration_schema: version of this record's layout.
        provenance: what they were measured on.
        measured: when, as ISO 8601 has it.
        pairs: of a query and a gallery image that are ranked in a second.
        networks: name, as `network_in_words` has it → its rates.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    calibration_schema: Literal[1] = SCHEMA
    provenance: Provenance
    measured: str
    pairs: PositiveFloat
    networks: dict[str, Rates]

    def lacks(self, costs: Iterable[Cost]) -> list[str]:
        """Return the networks that the work passes through and that were not measured."""
        lacking: dict[str, None] = {}
        for cost in costs:
            rates = self.networks.get(cost.network)
            if cost.network and (rates is None or (cost.trained and rates.trained is None)):
                lacking[cost.network] = None
        return list(lacking)

    def seconds(self, cost: Cost) -> float:
        """Return how long some work takes; its network must not be one that it `lacks`.

        What is trained of a network that nobody names, such as a diffusion model, is counted in
        images of the recipe's network: the slowest one that was trained here stands for that.
        """
        ranked = cost.pairs / self.pairs
        if not cost.network:
            trained = [
                rates.trained
                for name, rates in self.networks.items()
                if rates.trained and not name.startswith(DIFFUSION)
            ]
            return ranked + (cost.trained / min(trained) if trained else 0.0)
        rates = self.networks[cost.network]
        return (
            ranked
            + (cost.trained / rates.trained if rates.trained else 0.0)
            + cost.ascended / rates.ascended
            + cost.embedded / rates.embedded
            + cost.loads * rates.load_seconds
        )

    def joined_by(self, newer: "Calibration") -> "Calibration":
        """Return a newer calibration with this one's networks, if both are of one provenance."""
        if newer.provenance != self.provenance:
            return newer
        return newer.model_copy(update={"networks": {**self.networks, **newer.networks}})


def machine_name() -> str:
    """Return what this machine is called in its network, in characters that a file may have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", platform.node()) or "machine"


def calibration_file(device: str) -> Path:
    """Return where this machine's calibration lies: in the user's cache, beside its name.

    Args:
        device: ``cpu``, or ``cuda`` with or without a number.
    """
    folder = Path(user_cache_dir("benchbox", appauthor=False)) / "calibrations"
    return folder / f"{machine_name()}-{device.partition(':')[0]}.json"


def read_calibration(file: Path) -> Calibration | None:
    """Return a calibration; None where there is none.

    Raises:
        BenchboxError: the file is none, or one of another version.
    """
    try:
        return Calibration.model_validate_json(read_at_most(file, size=_MOST))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise BenchboxError(
            f"{file}: cannot be read as a calibration; remove it and measure again with "
            "benchbox calibrate."
        ) from error


def write_calibration(file: Path, calibration: Calibration) -> Calibration:
    """Write a calibration, atomically, beside what the file says of other networks already.

    Returns:
        What was written.
    """
    try:
        earlier = read_calibration(file)
    except BenchboxError:
        earlier = None
    whole = earlier.joined_by(calibration) if earlier else calibration
    content: dict[str, Any] = whole.model_dump(mode="json")
    write_json(file, content)
    return whole
