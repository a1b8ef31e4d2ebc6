"""Slurm's words in plain ones: states, reasons for waiting, refusals of sbatch, durations.

Taken from the tables of Slurm's own sources (``job_state_reason.c``, ``slurm_errno.c``), releases
22.05 to 25.05. Words that are not known are handed on as they are.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from rsdat.jobqueue.base import JobState

_STATES = {
    JobState.PENDING: "PENDING CONFIGURING REQUEUED REQUEUE_FED REQUEUE_HOLD RESV_DEL_HOLD "
    "SPECIAL_EXIT POWER_UP_NODE",
    # A suspended job keeps its nodes and goes on by itself.
    JobState.RUNNING: "RUNNING SUSPENDED STOPPED RESIZING SIGNALING EXPEDITING",
    JobState.ENDING: "COMPLETING STAGE_OUT UPDATE_DB",
    JobState.COMPLETED: "COMPLETED",
    JobState.FAILED: "FAILED NODE_FAIL BOOT_FAIL OUT_OF_MEMORY LAUNCH_FAILED RECONFIG_FAIL",
    JobState.CANCELLED: "CANCELLED PREEMPTED REVOKED",
    JobState.TIMEOUT: "TIMEOUT DEADLINE",
}
_STATE_OF = {word: state for state, words in _STATES.items() for word in words.split()}

# The first pattern that is found wins. \b keeps "Priority" from matching inside longer words.
_REASONS: tuple[tuple[str, str], ...] = (
    (
        r"launch failed requeued held|JobHoldMaxRequeue|RequeueLimit",
        "the job failed to start, and Slurm holds it; cancel it with `rsdat stop` and launch "
        "again; if it happens twice, tell the site's support",
    ),
    (
        r"^JobHeldUser$",
        "the job is held by its user; `scontrol release` lets it go",
    ),
    (
        r"^(JobHeldAdmin|JobHeld)$",
        "the job is held by an administrator; ask the site's support",
    ),
    (r"^Resources$", "it is the next in line and waits for cores, memory or a node to come free"),
    (r"^Priority$", "other jobs with a higher priority are before it"),
    (r"^None$|^$", "Slurm has not looked at it yet"),
    (
        r"^DependencyNeverSatisfied$",
        "the job that it waits for did not end as demanded, so it will never start; cancel it",
    ),
    (r"^Dependency$", "it waits for another job to end"),
    (r"^BeginTime$", "it is not to start before a given time, or Slurm tries again in a moment"),
    (r"^Prolog$|PrologSlurmctld", "the node is being prepared for it"),
    (r"^Cleaning$", "its last attempt is being cleaned up; it starts again after that"),
    (
        r"^PartitionDown$",
        "the partition is down and starts no jobs; choose another with --partition, or wait",
    ),
    (
        r"^PartitionInactive$",
        "the partition is inactive and starts no jobs; choose another with --partition, or wait",
    ),
    (
        r"^PartitionTimeLimit$",
        "it asks for more time than the partition allows; launch again with a shorter --walltime",
    ),
    (
        r"^(PartitionNodeLimit|PartitionConfig)$",
        "it asks for more than the partition has or allows and will not start; launch again with "
        "fewer --cores, less --memory or a shorter --walltime",
    ),
    (
        r"^ReqNodeNotAvail.*(Reserved|Maint)|^Reserved for maintenance|Maintenance",
        "maintenance is planned before it would end; a shorter --walltime may start sooner",
    ),
    (
        r"^ReqNodeNotAvail",
        "the nodes that it needs are down or reserved, often for planned maintenance; a shorter "
        "--walltime or another --partition may start sooner",
    ),
    (
        r"Nodes required for job are DOWN, DRAINED or reserved",
        "the nodes that it could use are down, drained or kept for jobs of higher priority; it "
        "starts when one comes back, or choose another --partition",
    ),
    (r"^NodeDown$|NODE_FAIL", "its node went down"),
    (r"^(Reservation|ReservationDeleted|ReservationInvalid)$", "it waits for a reservation"),
    (r"^Licenses$|License", "it waits for a licence to come free"),
    (
        r"^(BadConstraints|Constraints)$",
        "no node fulfils what it asks for; change constraint, gres, --cores or --memory",
    ),
    (
        r"^MaxMemPerLimit$|MaxMem.*PerJob|MaxMem.*PerNode|MaxMemory",
        "it asks for more memory than is allowed; launch again with less --memory",
    ),
    (
        r"^(Assoc|QOS)Max(Cpu|CPU)PerJob|QOSMaxCpuPerNode|AssocMaxCpuPerNode",
        "it asks for more cores than your account may use in one job; launch again with fewer "
        "--cores",
    ),
    (
        r"MaxWallDuration",
        "it asks for more time than your account or QOS allows; launch again with a shorter "
        "--walltime",
    ),
    (
        r"(Jobs?PerUser|JobsLimit|SubmitJob|MaxJobs|AssociationJobLimit|QOSJobLimit"
        r"|JobsPerAccount|JobArrayTaskLimit)",
        "as many jobs as you or your project may have are in the queue; it starts when one ends",
    ),
    (
        r"(Minutes|CPUMins|WallLimit|GrpWall|UsageThreshold|GrpBilling)",
        "the budget of the project is used up or nearly so; ask its owner, or use another "
        "--account",
    ),
    (
        r"^QOSMin",
        "it asks for less than the QOS demands at least; ask for more, or use another QOS",
    ),
    (
        r"^(AssocGrp|QOSGrp)",
        "your project already uses as much as it may at once; it starts when other jobs of the "
        "project end",
    ),
    (
        r"^(AssocMax|QOSMax|Max\w+PerAccount|Association\w+Limit|QOS\w+Limit|AccountingPolicy)",
        "you already use as much as you may at once; it starts when other jobs of yours end",
    ),
    (
        r"^(InvalidAccount|AccountNotAllowed)$",
        "the account may not be used here; choose another with --account",
    ),
    (
        r"^(InvalidQOS|QOSNotAllowed)$",
        "the QOS may not be used here; change it in the site's YAML",
    ),
    (
        r"^JobLaunchFailure$|LAUNCH_FAILED|BOOT_FAIL",
        "its node could not start it, or something ended its script; see its log, and launch again",
    ),
    (r"^(OutOfMemory|OUT_OF_MEMORY)$", "it used more memory than it asked for; give it more"),
    (r"^NonZeroExitCode$", "its program ended with an error; see its log"),
    (r"^RaisedSignal", "its program was ended by a signal; see its log"),
    (r"^(TimeLimit|DeadLine|DEADLINE)$", "its walltime was over"),
    (r"^InactiveLimit$", "it was idle for longer than the site allows"),
    (r"^PREEMPTED$", "a job of higher priority took its place"),
    (r"^SUSPENDED$|^STOPPED$", "Slurm has suspended it; it goes on by itself"),
    (r"^CONFIGURING$|^POWER_UP_NODE$|^PowerNotAvail$", "its nodes are being started"),
    (r"^COMPLETING$", "its last processes are being ended"),
    (r"^SystemFailure$", "Slurm itself failed; ask the site's support"),
    (r"^SchedDefer$", "Slurm defers scheduling for the moment"),
)

_REFUSALS: tuple[tuple[str, str], ...] = (
    (
        r"Unable to contact slurm controller|Unable to establish controller|"
        r"Socket timed out|Communication connection failure|Connection timed out|"
        r"Zero Bytes were transmitted|Could not establish a configuration source|"
        r"backup controller in standby",
        "the Slurm controller does not answer; try again in a few minutes",
    ),
    (
        r"Rate limit exceeded|Resource temporarily unavailable|Slurm temporarily unable to accept",
        "the Slurm controller is busy and accepts no job at this moment; try again in a minute",
    ),
    (
        r"Protocol authentication error|authentication.*(fail|invalid)|munge",
        "Slurm could not verify who you are on this login node (munge); ask the site's support",
    ),
    (
        r"Invalid account or account/partition combination",
        "the account is not known, or may not use this partition; choose with --account and "
        "--partition (`sacctmgr show associations user=$USER` lists yours)",
    ),
    (
        r"invalid partition specified: *(?P<what>\S+)",
        "there is no partition {what}; `sinfo -s` lists those of the site; choose one with "
        "--partition",
    ),
    (
        r"[Ii]nvalid partition",
        "there is no such partition; `sinfo -s` lists those of the site; choose one with "
        "--partition",
    ),
    (
        r"No partition specified or system default partition",
        "the site has no default partition; choose one with --partition (`sinfo -s` lists them)",
    ),
    (
        r"User's group not permitted to use this partition|Access/permission denied",
        "you may not use this partition; choose another with --partition or --account",
    ),
    (
        r"Required partition not available",
        "the partition accepts no jobs now (inactive or drained); choose another with --partition",
    ),
    (
        r"Requested partition configuration not available now",
        "the partition cannot run this job as it is set now; ask for less time, fewer cores, or "
        "choose another with --partition",
    ),
    (
        r"More processors requested than permitted|CPU count (per node )?(can not be satisfied|"
        r"specification invalid)",
        "no node has that many cores; ask for fewer with --cores",
    ),
    (
        r"Memory specification can not be satisfied|Memory required by task is not available|"
        r"Requested memory .*(exceed|more)",
        "no node has that much memory; ask for less with --memory",
    ),
    (
        r"Requested node configuration is not available",
        "no node of the partition fulfils the request; ask for fewer --cores, less --memory, or "
        "another --partition, gres or constraint",
    ),
    (
        r"Node count specification invalid",
        "the partition does not allow that number of nodes; choose another with --partition",
    ),
    (
        r"Requested time limit is invalid|Invalid time limit specification",
        "the walltime is more than the partition allows, or missing; give a shorter --walltime",
    ),
    (
        r"Invalid qos specification",
        "the QOS is not known or may not be used with this account; change it in the site's YAML",
    ),
    (
        r"QOSMaxSubmitJobPerUserLimit|AssocMaxSubmitJobLimit|SubmitJobs?\w*Limit|"
        r"MaxJobCount limit reached",
        "you, your project or the cluster have as many jobs in the queue as is allowed; wait for "
        "some to end, or stop a session",
    ),
    (
        r"QOSUsageThreshold|breached requested QOS usage|out of (budget|SBU|credit)",
        "the budget of the account is used up; ask its owner, or use another --account",
    ),
    (
        r"MaxWallDuration",
        "the walltime is more than your account or QOS allows; give a shorter --walltime",
    ),
    (
        r"(Assoc|QOS)\w*(Cpu|CPU|Mem|GRES|Node)\w*|Job violates accounting/QOS policy",
        "the request is over what your account or QOS allows; ask for fewer --cores, less "
        "--memory or a shorter --walltime",
    ),
    (
        r"Invalid generic resource|Invalid gres",
        "the gres is not known to this partition; `sinfo -o '%P %G'` lists them",
    ),
    (
        r"Invalid feature specification",
        "no node has the constraint that was asked for; `sinfo -o '%P %f'` lists them",
    ),
    (r"Job dependency problem|Circular job dependency", "the job that it depends on is not there"),
    (
        r"Required node not available",
        "the nodes asked for are down, drained or reserved; ask for others or wait",
    ),
    (
        r"[Ii]nvalid license",
        "the licence that was asked for is not known; `scontrol show licenses` lists them",
    ),
    (
        r"Requested reservation|Access denied to requested reservation",
        "the reservation is not known, not yours, or not now; `scontrol show reservation` lists "
        "them",
    ),
    (
        r"Invalid node name",
        "a node that was asked for is not part of the cluster; correct `directives` in the "
        "site's YAML",
    ),
    (
        r"Invalid (?P<what>--\S+) specification",
        "sbatch does not understand the value of {what}; correct it in the site's YAML",
    ),
    (
        r"unrecognized option '?(?P<what>[^'\n]*)|invalid option -- '?(?P<letter>[^'\n]*)",
        "sbatch does not know the option {what}; correct `directives` in the site's YAML",
    ),
    (
        r"Unable to open file|Batch script is empty|No such file or directory",
        "the job script could not be read on the site",
    ),
    (
        r"(I/O error|Disk quota exceeded|No space left on device)",
        "a disk is full on the site; make room in your home directory",
    ),
    (
        r"sbatch: (command )?not found|sbatch['\"]?: No such file",
        "there is no sbatch on this host; is it a login node of a SLURM cluster?",
    ),
)


def state(word: str) -> JobState:
    """Our state for one of Slurm's; UNKNOWN for a word that no release has used so far."""
    return _STATE_OF.get(word.strip().rstrip("+"), JobState.UNKNOWN)


def explain(reason: str) -> str:
    """The reason in plain words; as it is when it is not known."""
    text = reason.strip().strip("()")
    for pattern, words in _REASONS:
        if re.search(pattern, text):
            return words
    return f"Slurm says: {text}"


def refusal(stderr: str) -> str | None:
    """The cause of a refused submission in plain words; None when it is not known."""
    for pattern, words in _REFUSALS:
        match = re.search(pattern, stderr)
        if match:
            found = [value.strip(" .,") for value in match.groupdict().values() if value]
            return words.replace("{what}", found[0] if found else "given")
    return None


def unknown_job(stderr: str) -> bool:
    """Whether a command failed for no other reason than a job that Slurm has forgotten."""
    return "Invalid job id specified" in stderr


def expected_start(stderr: str) -> datetime | None:
    """The start that ``sbatch --test-only`` announces, with times printed as seconds since 1970."""
    match = re.search(r"\bJob \d+ to start at (\d+)\b(?!-)", stderr)
    return datetime.fromtimestamp(int(match[1]), UTC) if match else None


def duration(text: str) -> timedelta | None:
    """An elapsed time as squeue prints it: ``D-HH:MM:SS``, ``H:MM:SS`` or ``M:SS``."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text.strip())
    if not match:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def exit_code(text: str) -> int | None:
    """The exit status from ``STATUS:SIGNAL``, with 128 + signal for a signal, as a shell does."""
    match = re.fullmatch(r"(\d+):(\d+)", text.strip())
    if not match:
        return None
    return 128 + int(match[2]) if int(match[2]) else int(match[1])
