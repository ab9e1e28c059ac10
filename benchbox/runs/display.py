"""What a person sees of an executor's events."""

from benchbox.files.watch import Watch
from benchbox.runs.executors.events import Done, Event, Failed, LeftOut, Moved, Noticed, Started


def show(event: Event, watch: Watch) -> None:
    """Show one event of an executor.

    Args:
        event: what happened to a stage.
        watch: over the costs of all stages that are to be done, by their keys.
    """
    stage = event.stage
    match event:
        case Started():
            watch.begin(stage.key, stage.title)
        case Moved(share=share, text=text):
            watch.move(stage.key, share, text)
        case Noticed(text=text):
            watch.line(f"{stage.title}: {text}", style="yellow")
        case Done(seconds=seconds):
            watch.end(stage.key)
            # Rankings take milliseconds; a line for each would bury the rest.
            if stage.kind != "rank":
                watch.counted_line(f"{seconds:7.1f} s  {stage.title}")
        case Failed(error=error):
            watch.end(stage.key)
            watch.line(f"failed: {error}", style="red")
        case LeftOut():
            watch.end(stage.key)
