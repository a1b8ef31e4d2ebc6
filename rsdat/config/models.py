"""What a site is: frozen models of a site's YAML, and nothing about where the values came from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rsdat.config.units import Memory, Walltime


class Model(BaseModel):
    """A frozen value without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Connection(Model):
    """How the site is reached from a laptop."""

    host: str | None = Field(None, description="ssh host or alias; absent: this machine")
    user: str | None = Field(None, description="user there, where ssh's own configuration has none")
    ssh_config: str | None = Field(
        None, description="file given to ssh -F instead of ~/.ssh/config"
    )
    route: Literal["auto", "socket", "tcp"] = Field(
        "auto",
        description="how JupyterLab on a compute node is reached: a unix socket by ssh to the node, "
        "or one internal TCP address through the login host; auto probes once and remembers",
    )
    interface: str | None = Field(
        None,
        description="network interface (name or address prefix) of the compute nodes that workers use",
    )


class Job(Model):
    """What a job asks the queue for."""

    cores: Annotated[int, Field(ge=1)] = 1
    memory: Memory | None = Field(None, description="memory of the whole job, as 8GiB")
    walltime: Walltime | None = Field(None, description="as 10h, 90m, 1-12:00:00")
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    gres: str | None = None
    constraint: str | None = None
    directives: tuple[str, ...] = Field(
        (), description="further lines for the queue, as --exclusive (without #SBATCH)"
    )


class Head(Job):
    """The head job: JupyterLab and the Dask scheduler."""

    warn_before: Walltime = Field(
        "2m", validate_default=True, description="orderly shutdown starts this long before the end"
    )


class Pool(Job):
    """One kind of worker job."""

    processes: Annotated[int, Field(ge=1)] = Field(1, description="Dask workers in one job")
    worker_memory: Memory | None = Field(
        None, description="memory of one Dask worker; absent: memory / processes"
    )
    local_directory: str | None = Field(
        None, description="fast disk of the node for spilling, as $TMPDIR or /scratch/$USER"
    )

    @model_validator(mode="after")
    def _fits(self) -> Pool:
        if self.processes > self.cores:
            raise ValueError(
                f"processes: {self.processes} Dask workers do not fit on {self.cores} cores"
            )
        if self.worker_memory and self.memory and self.worker_memory * self.processes > self.memory:
            raise ValueError(
                f"worker_memory: {self.processes} × {self.worker_memory} bytes is more than the "
                f"pool's memory of {self.memory} bytes"
            )
        return self


class Container(Model):
    """An image to run the head and the workers in."""

    image: str
    runtime: Literal["apptainer", "singularity"] = "apptainer"
    binds: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


class Environment(Model):
    """The Python that the session's jobs run."""

    prologue: tuple[str, ...] = Field(
        (), description="shell lines before Python, as 'module load 2024'"
    )
    manager: Literal["venv", "conda", "mamba", "pixi"] = "venv"
    python: str | None = Field(
        None,
        description="the interpreter of a ready environment; absent: the one that "
        "`rsdat env install` makes below `directory`",
    )
    base_python: str = Field(
        "python3", description="the interpreter that the environment is made from"
    )
    container: Container | None = None


class Limits(Model):
    """What users may not exceed or change."""

    workers: Annotated[int, Field(ge=0)] | None = Field(
        None, description="most worker jobs × processes"
    )
    walltime: Walltime | None = None
    locked: tuple[str, ...] = Field(
        (), description="keys that users may not change, as head.partition or pools.*.account"
    )


class Jupyter(Model):
    """JupyterLab's own settings."""

    root_directory: str = Field("~", description="the folder the file browser shows")
    arguments: tuple[str, ...] = Field((), description="extra arguments, as --ServerApp.x=y")


class Site(Model):
    """A place where sessions run, as its admin describes it in one YAML file."""

    name: str
    description: str = ""
    queue: Literal["slurm", "local"] = "slurm"
    directory: str = Field(
        "~/.rsdat", description="sessions and environments live below it; on the shared file system"
    )
    connection: Connection = Connection()
    head: Head = Head()
    pools: dict[str, Pool] = Field(
        default_factory=lambda: {"default": Pool()},
        description="kinds of worker jobs; the first is what scaling means unless a pool is named",
    )
    environment: Environment = Environment()
    limits: Limits = Limits()
    jupyter: Jupyter = Jupyter()

    @model_validator(mode="after")
    def _possible(self) -> Site:
        if not self.pools:
            raise ValueError("pools: a site needs at least one worker pool")
        if self.limits.walltime:
            jobs: dict[str, Job] = {
                "head": self.head,
                **{f"pools.{k}": v for k, v in self.pools.items()},
            }
            for place, job in jobs.items():
                if job.walltime and job.walltime > self.limits.walltime:
                    raise ValueError(
                        f"{place}.walltime: {job.walltime} is over the limit of {self.limits.walltime}"
                    )
        return self
