"""What a site is: frozen models of a site's YAML, and nothing about where the values came from."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from rsdat.config.addresses import parse_pattern
from rsdat.config.possible import Impossible, contradictions
from rsdat.config.units import format_memory, format_walltime, parse_memory, parse_walltime

Memory = Annotated[
    int,
    BeforeValidator(parse_memory),
    PlainSerializer(format_memory, return_type=str),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["8GiB", "4G"]}),
]
Walltime = Annotated[
    timedelta,
    BeforeValidator(parse_walltime),
    PlainSerializer(format_walltime, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["10h", "90m", "1-12:00:00"]}),
]


class Model(BaseModel):
    """A frozen value without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _count(value: Any) -> Any:
    # pydantic takes true for 1.
    if isinstance(value, bool):
        raise ValueError(f"expected a whole number, got {str(value).lower()}")
    return value


def _word(value: str) -> str:
    if not value or re.search(r"[\s\"'`$;\\]", value):
        raise ValueError(f"expected one word as the queue knows it, got {value!r}")
    return value


def _name(value: str) -> str:
    # A name that begins with "-" would be an option to ssh.
    if not re.fullmatch(r"[^\s\-@'\"`$;\\][^\s@'\"`$;\\]*", value):
        raise ValueError(f"expected one name as ssh knows it, without user@, got {value!r}")
    return value


def _line(value: str) -> str:
    if "\n" in value or "\r" in value or "\0" in value:
        raise ValueError("expected one line")
    return value


def _directive(value: str) -> str:
    if value.lstrip().startswith("#"):
        raise ValueError(f"write the option alone, without #SBATCH, got {value!r}")
    if not value.startswith("-"):
        raise ValueError(f"expected an option such as --exclusive, got {value!r}")
    return _line(value)


def _directory(value: str) -> str:
    if not value.startswith(("/", "~/")):
        raise ValueError(f"expected a path that begins with / or ~/, got {value!r}")
    return _line(value)


def _argument(value: str) -> str:
    if re.match(r"--\w+\.\w*(token|password)\w*", value):
        raise ValueError("a secret does not belong in a site file; every session makes its own")
    return _line(value)


def _pool_name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", value):
        raise ValueError(
            f"expected a name of small letters, digits, - and _ (at most 32), got {value!r}"
        )
    return value


def _pattern(value: str) -> str:
    parse_pattern(value)
    return value


def _argv(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError("expected a command and its arguments, as [get-token, --quiet]")
    return value


def _address(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/@]+(/\S*)?", value):
        raise ValueError(f"expected an address as https://s3.example.org, got {value!r}")
    return value


Count = Annotated[int, BeforeValidator(_count)]
Word = Annotated[str, AfterValidator(_word)]
Name = Annotated[str, AfterValidator(_name)]
Line = Annotated[str, AfterValidator(_line)]


class Connection(Model):
    """How the site is reached from a laptop."""

    host: Name | None = Field(None, description="ssh host or alias; absent: this machine")
    user: Name | None = Field(
        None, description="user there, where ssh's own configuration has none"
    )
    ssh_config: Line | None = Field(
        None, description="file given to ssh -F instead of ~/.ssh/config"
    )
    route: Literal["auto", "socket", "tcp"] = Field(
        "auto",
        description="how JupyterLab on a compute node is reached: a unix socket by ssh to the "
        "node, or one internal TCP address through the login host; auto probes and remembers",
    )
    interface: Word | None = Field(
        None,
        description="network interface (name or address prefix) of the compute nodes, for workers",
    )


class Job(Model):
    """What a job asks the queue for."""

    cores: Annotated[Count, Field(ge=1)] = 1
    memory: Memory | None = Field(None, description="memory of the whole job, as 8GiB")
    walltime: Walltime | None = Field(None, description="as 10h, 90m, 1-12:00:00")
    partition: Word | None = Field(None, description="the queue's partition; absent: its default")
    account: Word | None = Field(None, description="account the job is charged to")
    qos: Word | None = Field(None, description="quality of service")
    gres: Word | None = Field(None, description="generic resources, as gpu:1")
    constraint: Word | None = Field(None, description="features the nodes must have")
    directives: tuple[Annotated[str, AfterValidator(_directive)], ...] = Field(
        (), description="further lines for the queue, as --exclusive (without #SBATCH)"
    )


class Head(Job):
    """The head job: JupyterLab and the Dask scheduler."""

    warn_before: Walltime = Field(
        "2m", validate_default=True, description="orderly shutdown starts this long before the end"
    )


class Pool(Job):
    """One kind of worker job."""

    processes: Annotated[Count, Field(ge=1)] = Field(1, description="Dask workers in one job")
    worker_memory: Memory | None = Field(
        None, description="memory of one Dask worker; absent: memory / processes"
    )
    local_directory: Line | None = Field(
        None, description="fast disk of the node for spilling, as $TMPDIR or /scratch/$USER"
    )


class Container(Model):
    """An image to run the head and the workers in."""

    image: Line = Field(description="path of the image, or its address as docker://…")
    runtime: Literal["apptainer", "singularity"] = "apptainer"
    binds: tuple[Line, ...] = Field((), description="as /data or /data:/mnt:ro")
    arguments: tuple[Line, ...] = Field((), description="further arguments of `exec`, as --nv")


class Environment(Model):
    """The Python that the session's jobs run."""

    prologue: tuple[Line, ...] = Field(
        (), description="shell lines before Python, as 'module load 2024'"
    )
    manager: Literal["venv", "conda", "mamba", "pixi"] = "venv"
    python: Line | None = Field(
        None,
        description="the interpreter of a ready environment; absent: the one that "
        "`rsdat env install` makes below `directory`",
    )
    base_python: Line = Field(
        "python3", description="the interpreter that the environment is made from"
    )
    container: Container | None = None


class Limits(Model):
    """What users may not exceed or change."""

    workers: Annotated[Count, Field(ge=0)] | None = Field(
        None, description="most worker jobs × processes"
    )
    walltime: Walltime | None = None
    locked: tuple[str, ...] = Field(
        (), description="keys that users may not change, as head.partition or pools.*.account"
    )


class Jupyter(Model):
    """JupyterLab's own settings."""

    root_directory: Line = Field("~", description="the folder the file browser shows")
    arguments: tuple[Annotated[str, AfterValidator(_argument)], ...] = Field(
        (), description="extra arguments, as --ServerApp.x=y"
    )


class Access(Model):
    """How one server, or one bucket, is told who asks: references to secrets, never a secret."""

    token_file: Line | None = Field(
        None, description="file (0600) with a bearer token or a macaroon, read when it changes"
    )
    token_env: Word | None = Field(
        None, description="variable with a token; it has to be set on workers as well"
    )
    token_command: Annotated[tuple[Line, ...], AfterValidator(_argv)] | None = Field(
        None, description="command and arguments that print a token; run without a shell"
    )
    oidc_agent: Name | None = Field(None, description="account of oidc-agent (`oidc-token`)")
    username: Line | None = Field(None, description="user name, with one of the passwords")
    password_file: Line | None = Field(None, description="file (0600) with the password")
    password_env: Word | None = Field(None, description="variable with the password")
    netrc: bool | Line | None = Field(
        None, description="true for ~/.netrc, or the path of such a file"
    )
    proxy_file: Line | None = Field(
        None, description="X.509 proxy or certificate with its key, as /tmp/x509up_u1000"
    )
    ca_file: Line | None = Field(
        None, description="file, or hashed directory, of the authorities to trust"
    )
    key_file: Line | None = Field(None, description="private ssh key, for sftp://")
    known_hosts: Line | None = Field(
        None, description="file of host keys, for sftp://; absent: those of OpenSSH"
    )
    profile: Line | None = Field(None, description="profile of ~/.aws/credentials, for s3://")
    credentials_file: Line | None = Field(
        None, description="such a file elsewhere, instead of ~/.aws/credentials"
    )
    access_key_env: Word | None = Field(None, description="variable with the S3 access key")
    secret_key_env: Word | None = Field(None, description="variable with the S3 secret key")
    session_token_env: Word | None = Field(
        None, description="variable with the S3 session token, for temporary keys"
    )
    anonymous: bool | None = Field(None, description="ask an s3:// bucket without any key")
    endpoint: Annotated[str, AfterValidator(_address)] | None = Field(
        None, description="the S3 service, as https://s3.example.org; absent: AWS"
    )
    region: Word | None = Field(None, description="the S3 region")
    api: Annotated[str, AfterValidator(_address)] | None = Field(
        None,
        description="dCache's REST interface, as https://host:3880/api/v1, where it is on another "
        "host or port than the door announces",
    )
    addressing: Literal["path", "virtual"] | None = Field(
        None, description="bucket in the path or in the host name; absent: path at an endpoint"
    )
    sas: Annotated[str, AfterValidator(_address)] | None = Field(
        None,
        description="the service that gives SAS tokens for this blob storage, as "
        "https://planetarycomputer.microsoft.com/api/sas/v1/token",
    )
    login: Annotated[str, AfterValidator(_address)] | None = Field(
        None,
        description="where this server's redirects lead to for a login, as "
        "https://urs.earthdata.nasa.gov: it gets the user and password, this server cookies",
    )


class Site(Model):
    """A place where sessions run, as its admin describes it in one YAML file."""

    name: str = Field(description="the file's name without .yaml")
    description: str = Field("", description="one line for `rsdat site list`")
    queue: Literal["slurm", "local"] = Field("slurm", description="who starts the jobs")
    directory: Annotated[str, AfterValidator(_directory)] = Field(
        "~/.rsdat", description="sessions and environments live below it; on the shared file system"
    )
    connection: Connection = Connection()
    head: Head = Head()
    pools: dict[Annotated[str, AfterValidator(_pool_name)], Pool] = Field(
        default_factory=lambda: {"default": Pool()},
        description="kinds of worker jobs; the first is what scaling means unless a pool is named",
    )
    environment: Environment = Environment()
    limits: Limits = Limits()
    jupyter: Jupyter = Jupyter()
    credentials: dict[Annotated[str, AfterValidator(_pattern)], Access] = Field(
        default_factory=dict,
        description="how servers are told who asks, by address: [scheme://]host[:port][/path], "
        "the closest counts; references to secrets only",
    )

    @model_validator(mode="after")
    def _possible(self) -> Site:
        if found := tuple(contradictions(self)):
            raise Impossible(found)
        return self
