"""`benchbox study`: questions that are no grid."""

from pathlib import Path
from typing import Annotated

import typer

from benchbox.cli.options import DataRoot, Device, Published, RunFolder, SidewalkSize
from benchbox.cli.present import require_run
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


@study_app.command("order")
def study_order(
    folder: RunFolder,
    published: Published = None,
) -> None:
    """Does a run order defenses as papers do? Kendall's tau, and the pairs that are otherwise."""
    require_run(folder)

    from benchbox.published.reading import read_published
    from benchbox.reports.tables.order import require_order_tables
    from benchbox.results.run_folder import read_run
    from benchbox.tables.as_rich import FittedTable
    from benchbox.tables.table_files import write_table

    console = make_console()
    tables = require_order_tables(read_run(folder), read_published(published))
    for name, table in tables.items():
        console.print(FittedTable(table))
        for path in write_table(table, folder / "tables", name):
            console.print(f"written: {path}", highlight=False, soft_wrap=True)


_CAMPAIGN_GRIDS = ("whitebox", "ablation", "blackbox", "transfer")
_CAMPAIGN_DATASETS = ("market1501", "dukemtmcreid", "msmt17-v2", "cuhk03-np-detected")


@study_app.command("campaign")
def study_campaign(
    grid: Annotated[
        list[Path] | None,
        typer.Option(help="Repeatable [default: the paper's Tables 2 to 5, in grids/]."),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="Instead of the grids' own; repeatable [default: four]."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many.")] = 3,
    trained: Annotated[float, typer.Option(min=1, help="Images/s in training.")] = 1_000,
    ascended: Annotated[float, typer.Option(min=1, help="Image-steps/s in attacks.")] = 1_500,
    embedded: Annotated[float, typer.Option(min=1, help="Images/s embedded.")] = 3_000,
    measure_only: Annotated[
        bool, typer.Option("--measure-only", help="The models are there: leave training out.")
    ] = False,
    out: Annotated[Path, typer.Option(help="The study's folder.")] = Path("runs/study-campaign"),
) -> None:
    """How long would a paper's tables take on 1 to 512 GPUs? Plays the stages' schedule through."""
    from benchbox.files.bundled import find_grid
    from benchbox.reports.figures.campaign import campaign_hours
    from benchbox.reports.figures.drawing import save_figure
    from benchbox.runs.sharding import in_shards
    from benchbox.studies.campaign import play
    from benchbox.studies.campaign_stages import campaign_stages
    from benchbox.studies.campaign_table import campaign_table
    from benchbox.studies.campaign_tasks import assumed, tasks_of
    from benchbox.tables.as_rich import FittedTable
    from benchbox.tables.table_files import write_table

    grids = [find_grid(path) for path in grid or map(Path, _CAMPAIGN_GRIDS)]
    datasets = tuple(dataset or _CAMPAIGN_DATASETS)
    console = make_console()
    with console.status("planning the stages"):
        stages = campaign_stages(grids, datasets=datasets, seeds=range(seeds))
    if measure_only:
        stages = tuple(stage for stage in stages if stage.kind not in {"train", "prepare"})
    rates = assumed(stages, trained=trained, ascended=ascended, embedded=embedded)
    whole = play(tasks_of(stages, rates))
    sharded = play(tasks_of([*in_shards(stages, queries=0, batch_size=256)], rates))
    about = (
        f"{', '.join(path.stem for path in grids)} with the worst case on {', '.join(datasets)}, "
        f"{seeds} seeds{' of models that are there' if measure_only else ''}; "
        f"{trained:,.0f} images/s in training, {ascended:,.0f} image-steps/s, "
        f"{embedded:,.0f} images/s embedded: given, not measured."
    )
    table = campaign_table(whole, sharded, about=about)
    console.print(FittedTable(table))
    write_table(table, out, "campaign")
    save_figure(campaign_hours(whole, sharded), out / "campaign.png")
    console.print(f"study: {out}", highlight=False, soft_wrap=True)
