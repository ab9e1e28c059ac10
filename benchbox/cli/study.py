"""`benchbox study`: questions that are no grid."""

from pathlib import Path
from typing import Annotated

import typer

from benchbox.cli.options import DataRoot, Device, SidewalkSize
from benchbox.files.console import make_console

study_app = typer.Typer(help="Questions that are no grid.", no_args_is_help=True)


@study_app.command("classifier")
def study_classifier(
    cifar: Annotated[
        Path | None,
        typer.Option(help="Folder with cifar-10-batches-py [default: a rendered stand-in]."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="small or a timm ResNet; repeatable [default: small, or resnet18]."),
    ] = None,
    epochs: Annotated[
        int, typer.Option(min=0, help="Of adversarial training; 0: 10, or 30 on CIFAR-10.")
    ] = 0,
    dataset: Annotated[str, typer.Option(help="For identities, a ReID dataset.")] = "sidewalk-a",
    sidewalk_size: SidewalkSize = "tiny",
    seed: Annotated[
        list[int] | None, typer.Option(help="One model each; repeatable [default: 0].")
    ] = None,
    out: Annotated[Path, typer.Option(help="The study's folder.")] = Path("runs/study-classifier"),
    device: Device = "auto",
    data_root: DataRoot = None,
) -> None:
    """Does robustness live in the classifier? Train, re-fit the classifier, measure (Table 1)."""
    from benchbox.studies.classifier import study_classifier as study
    from benchbox.studies.classifier_options import StudyOptions
    from benchbox.tables.as_rich import FittedTable

    options = StudyOptions(
        cifar=cifar,
        models=tuple(model or ()),
        epochs=epochs,
        dataset=dataset,
        sidewalk_size=sidewalk_size,
        seeds=tuple(seed or (0,)),
        device=device,
        data_root=data_root,
    )
    console = make_console()
    try:
        table = study(out, options, console)
    except KeyboardInterrupt:
        make_console(stderr=True).print("stopped; the same command goes on from here.")
        raise typer.Exit(130) from None
    console.print(FittedTable(table))
    console.print(f"study: {out}", highlight=False, soft_wrap=True)
