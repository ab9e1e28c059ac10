"""Options that several commands share, each defined once."""

from pathlib import Path
from typing import Annotated

import typer

DataRoot = Annotated[
    Path | None,
    typer.Option(help="Folder with the datasets [default: $BENCHBOX_DATA or the user's cache]."),
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help="A Python file with your own defenses, attacks, datasets."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Workers = Annotated[
    int,
    typer.Option(min=0, help="Processes, or processes a GPU; 0: one per core, or one a GPU."),
]
BatchSize = Annotated[
    int, typer.Option(min=0, help="Images at a time in attacks; 0: 64, or 256 on a GPU.")
]
Executor = Annotated[
    str, typer.Option(help="Who does the stages: local, ray, slurm or an installed one.")
]
RayAddress = Annotated[
    str, typer.Option(help="The Ray cluster: auto, HOST:PORT, or local to start one here.")
]
GpusPerStage = Annotated[
    float, typer.Option(min=0.01, help="GPUs set aside for a stage under Ray; 0.5: two share one.")
]
StageMemory = Annotated[
    float, typer.Option(min=0, help="Gigabytes set aside for a stage under Ray; 0: not counted.")
]
Store = Annotated[
    Path | None,
    typer.Option(help="Folder of finished stages, which runs may share [default: OUT/store]."),
]
ShardQueries = Annotated[
    int, typer.Option(min=0, help="Queries in a piece of a large attack; 0: minutes' worth.")
]
ShardImages = Annotated[
    int, typer.Option(min=0, help="Images in a piece of a large embedding; 0: 100,000.")
]
DeviceHours = Annotated[
    float, typer.Option(min=0, help="Do not start a run that would take more; 0: any.")
]
CalibrationFile = Annotated[
    Path | None,
    typer.Option(help="How fast the device is [default: what calibrate measured here]."),
]
BOARDS = Path("leaderboards")
"""Where boards are looked for, from the folder a command is given in."""

Boards = Annotated[Path, typer.Option(help="The folder that holds the boards.")]
Pattern = Annotated[
    str | None,
    typer.Option(help="Of a folder's image names, such as '{pid}_c{camid}s{*}_{*}.jpg'."),
]
Zero = Annotated[
    str | None,
    typer.Option(help="What identity 0 is: distractor, or identity [default: distractor]."),
]
SameCamera = Annotated[
    str | None,
    typer.Option(help="Gallery images of a query's own camera: ignore or keep [default: ignore]."),
]
SidewalkSize = Annotated[str, typer.Option(help="tiny, small or full.")]
RunFolder = Annotated[Path, typer.Argument(help="A run's folder.")]
Published = Annotated[
    Path | None,
    typer.Option(help="Folder of published numbers [default: those benchbox comes with]."),
]
