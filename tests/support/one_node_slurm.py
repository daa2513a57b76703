"""A real Slurm of one node on this machine, with accounting, for the time of a test.

Its configuration, state and sockets are in a folder of their own, and its ports are free ones, so a
Slurm of this machine is left alone. The node claims more memory and cores than the machine has, and
two GPUs that are not there, so that the profile's requests can be granted as they stand.
"""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PACKAGES = {
    "munged": "munge",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "slurmdbd": "slurmdbd",
    "sbatch": "slurm-client",
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
    "setpriv": "util-linux",
}
"""Debian's package of each program."""

PATH = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"

CORES, MEGABYTES, GPUS = 16, 72_000, 2
"""Of the node: enough for the largest job of profiles/slurm, and for two of its jobs with a GPU."""

ACCOUNT, PARTITION = "lab", "short"

SLURM = """
ClusterName=tiny
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/node
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
# Containers have neither systemd nor control groups.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
# Seconds between SIGTERM and SIGKILL.
KillWait=3
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1
# The node is believed to be as large as its line says.
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={ports[2]}
AccountingStoragePass={folder}/munge/socket
AccountingStorageEnforce=associations
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={megabytes} Gres=gpu:{gpus}
PartitionName={partition} Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""

ACCOUNTING = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={ports[2]}
SlurmUser={user}
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser={user}
StorageLoc=accounting
"""

GENERIC_RESOURCES = (
    "NodeName={host} Name=gpu File=/dev/null\nNodeName={host} Name=gpu File=/dev/zero\n"
)


def missing():
    """What Slurm lacks here, with the command that installs it; empty if it can be started."""
    absent = [program for program in PACKAGES if shutil.which(program, path=PATH) is None]
    if not absent:
        return ""
    packages = " ".join(sorted({PACKAGES[program] for program in absent}))
    return (
        f"NO SLURM: there is no {', no '.join(absent)}. Install them (Debian, Ubuntu) by "
        f"`apt-get install --no-install-recommends {packages}`"
    )


@dataclass(frozen=True)
class Slurm:
    """A Slurm: its folder, and the variables that its users need in their environment."""

    folder: Path
    environment: dict[str, str]

    def ask(self, *command, check=True):
        """What one of Slurm's commands prints."""
        done = subprocess.run(
            command,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def queued(self):
        """The ids of pending and running jobs by their comment, which names rule and wildcards."""
        lines = self.ask("squeue", "-h", "--states=PENDING,RUNNING", "--format=%i|%k").splitlines()
        return {comment: number for number, _, comment in (line.partition("|") for line in lines)}

    def accounted(self):
        """All jobs that accounting knows: dicts with comment, state and what they were granted."""
        names = ("JobIDRaw", "State", "AllocTRES", "Account", "Partition", "Comment")
        query = ("sacct", "--allusers", "-X", "--parsable2", "--noheader", "--starttime=now-1days")
        lines = self.ask(*query, f"--format={','.join(names)}").splitlines()
        return [dict(zip(names, line.split("|"), strict=True)) for line in lines]


@contextmanager
def one_node_slurm():
    """Start Slurm, wait until its node is idle, and stop it again, whatever happens.

    Every daemon also ends if this process is killed. Nothing of it may be left afterwards.
    """
    with tempfile.TemporaryDirectory(prefix="slurm-") as name, ExitStack() as stack:
        folder = Path(name)
        # Others must be able to reach munged's socket, and only the user the keys.
        folder.chmod(0o755)
        stack.callback(end_what_is_left, folder)
        slurm = configured(folder)
        began = {}

        def start(program, *options, until):
            log = stack.enter_context((folder / f"{program}.log").open("w"))
            began[program] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", shutil.which(program, path=PATH), *options],
                env={**os.environ, **slurm.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            stack.callback(stop, began[program])
            wait_for(until, began, folder)

        munge, data, user = folder / "munge", folder / "database", getpass.getuser()
        start(
            "munged",
            "--foreground",
            f"--key-file={folder}/keys/munge",
            *(f"--{kind}-file={munge}/{kind}" for kind in ("pid", "log", "seed")),
            f"--socket={munge}/socket",
            "--num-threads=4",
            until=(munge / "socket").exists,
        )
        subprocess.run(
            [
                shutil.which("mariadb-install-db", path=PATH),
                "--no-defaults",
                "--auth-root-authentication-method=socket",
                f"--auth-root-socket-user={user}",
                f"--user={user}",
                f"--datadir={data}",
                "--skip-test-db",
            ],
            capture_output=True,
            check=True,
        )
        start(
            "mariadbd",
            "--no-defaults",
            f"--user={user}",
            f"--datadir={data}",
            f"--socket={folder}/mariadb",
            f"--pid-file={data}/pid",
            "--skip-networking",
            "--innodb-flush-log-at-trx-commit=0",
            until=(folder / "mariadb").exists,
        )
        start("slurmdbd", "-D", until=lambda: answers(slurm, "sacctmgr", "-n", "list", "cluster"))
        for added in (
            ("cluster", "tiny"),
            ("account", ACCOUNT, "Description=lab", "Organization=lab"),
            ("user", user, f"Account={ACCOUNT}"),
        ):
            slurm.ask("sacctmgr", "--immediate", "add", *added)
        start("slurmctld", "-D", until=lambda: answers(slurm, "scontrol", "ping"))
        stack.callback(end_jobs, slurm)
        start("slurmd", "-D", until=lambda: "idle" in slurm.ask("sinfo", "-h", "-o", "%T"))
        yield slurm


def configured(folder):
    """Write the files of a Slurm into its folder."""
    for name in ("munge", "keys", "database", "controller", "node", "bin"):
        (folder / name).mkdir(mode=0o755 if name in ("munge", "bin") else 0o700)
    facts = {
        "folder": folder,
        "host": socket.gethostname().partition(".")[0],
        "user": getpass.getuser(),
        "ports": free_ports(3),
        "cores": CORES,
        "megabytes": MEGABYTES,
        "gpus": GPUS,
        "partition": PARTITION,
    }
    for name, text in {
        "slurm.conf": SLURM,
        "slurmdbd.conf": ACCOUNTING,
        "gres.conf": GENERIC_RESOURCES,
        "cgroup.conf": "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n",
    }.items():
        (folder / name).write_text(text.format(**facts))
    (folder / "slurmdbd.conf").chmod(0o600)
    key = folder / "keys/munge"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    # Snakemake's plugin drops SLURM_CONF before it calls srun in a job; on a real cluster srun
    # finds its configuration without it.
    srun = folder / "bin/srun"
    conf = folder / "slurm.conf"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {shutil.which("srun", path=PATH)} "$@"\n')
    srun.chmod(0o755)
    environment = {
        "SLURM_CONF": str(conf),
        "MYSQL_UNIX_PORT": str(folder / "mariadb"),
        "PATH": f"{folder}/bin{os.pathsep}{PATH}",
    }
    return Slurm(folder, environment)


def free_ports(count):
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]


def answers(slurm, *command):
    done = subprocess.run(
        command, env={**os.environ, **slurm.environment}, capture_output=True, check=False
    )
    return done.returncode == 0


def wait_for(condition, began, folder, seconds=60):
    """Wait for a daemon; fail with all logs if one of them has ended."""
    deadline = time.monotonic() + seconds
    while not condition():
        ended = [name for name, process in began.items() if process.poll() is not None]
        if ended or time.monotonic() > deadline:
            logs = "\n".join(
                f"{file.name}: {file.read_text(errors='replace')[-2000:]}"
                for file in folder.glob("*.log")
            )
            raise AssertionError(f"Slurm did not start; ended: {ended}\n{logs}")
        time.sleep(0.1)


def end_jobs(slurm):
    """Cancel all jobs, and wait for their processes, which daemons leave behind."""
    slurm.ask("scancel", "--user", getpass.getuser(), check=False)
    deadline = time.monotonic() + 20
    while slurm.ask("squeue", "--noheader", check=False) and time.monotonic() < deadline:
        time.sleep(0.1)


def stop(process):
    """Stop a daemon with all processes of its session."""
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def end_what_is_left(folder):
    """Kill what outlived the daemons: jobs that were cancelled while they were being started."""
    deadline = time.monotonic() + 20
    while left := of_folder(folder):
        assert time.monotonic() < deadline, f"Slurm's processes live on: {left}"
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.1)


def of_folder(folder):
    """Command lines of the processes that name this folder, or were started with it, by id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                said = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in said:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[int(entry.name)] = command
    return found
