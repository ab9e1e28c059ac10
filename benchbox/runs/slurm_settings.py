"""What a grid's table ``[slurm]`` asks of the cluster; nothing in it changes a number."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class SlurmSettings(BaseModel):
    """Resources of a job; each does one stage on one torch thread.

    Attributes:
        partition: where jobs run; None: the cluster's default.
        account: that is charged; None: the user's default.
        qos: quality of service; None: the default.
        gpus: GPUs of a job when the run's device is CUDA.
        cpus: CPUs of a job; more than one helps the reading of images only.
        memory_gb: of a job.
        minutes: after which a job is stopped; it queues again and goes on from its checkpoint, up
            to three times.
        at_once: jobs of one array that run at a time.
        more: further options of sbatch, as ``{"constraint": "a100"}``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    gpus: int = Field(default=1, ge=1, le=64)
    cpus: int = Field(default=1, ge=1, le=1024)
    memory_gb: float = Field(default=16.0, gt=0)
    minutes: int = Field(default=240, ge=1)
    at_once: int = Field(default=256, ge=1)
    more: dict[str, str | int] = {}

    def parameters(self, *, gpu: bool) -> dict[str, Any]:
        """Return the settings as submitit names them.

        Args:
            gpu: whether the stages run on CUDA.
        """
        named = {"partition": self.partition, "account": self.account, "qos": self.qos}
        return {
            "timeout_min": self.minutes,
            "cpus_per_task": self.cpus,
            "mem_gb": self.memory_gb,
            "gpus_per_node": self.gpus if gpu else 0,
            "slurm_array_parallelism": self.at_once,
            **{f"slurm_{key}": value for key, value in named.items() if value is not None},
            "slurm_additional_parameters": {"requeue": True, **self.more},
        }
