"""Makes fresh copies of this project in other folders, and runs its commands there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from filelock import FileLock
from tiny import OVERRIDES, ROOT, defaults, merged

from pipeline.store.layout import DEBRIS

SMALL = merged(
    OVERRIDES,
    {
        "partitions": 1,
        "frames": {
            "dataset": {"validation_clips": 12},
            "scales": {"n_max": 2},
            "accuracy": {"max_frames": 3},
            "coalitions": {"n": 4},
        },
        "baselines": {
            "surrogates": {"repeats": 1},
            "coalitions": {"explained": 2},
            "figures": {"pictures": 1},
        },
    },
)


def environment(**more):
    # Use this environment's `python`, `snakemake` and `dvc` even if it is not activated. Drop the
    # caller's git variables, which would point to another repository.
    others = ("DVC_", "GIT_", "SNAKEMAKE", "PIPELINE_", "PYTHONDONTWRITEBYTECODE")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(others)}
    names = {"GIT_AUTHOR_NAME": "a", "GIT_COMMITTER_NAME": "a"}
    mails = {"GIT_AUTHOR_EMAIL": "a@b.c", "GIT_COMMITTER_EMAIL": "a@b.c"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, **names, **mails, "PATH": path, "DVC_NO_ANALYTICS": "1", **more}


def run(folder, *command, check=True, limit=900, **more):
    """Call a command in a folder; it has this many seconds, and further environment variables."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    if check:
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def snakemake(folder, *arguments, **more):
    return run(folder, "snakemake", "--cores", "2", *arguments, **more)


def dvc(folder, *arguments, **more):
    return run(folder, "dvc", *arguments, **more)


def new_clone(folder, params):
    """What git would clone if all files were committed, with these parameters.

    Its dvc.yaml is the committed one; `snakemake` rewrites it if parameters require this.
    """
    listed = run(ROOT, "git", "ls-files", "-co", "--exclude-standard").stdout.splitlines()
    for name in filter(lambda name: (ROOT / name).is_file(), listed):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    if params:
        write_params(folder, params)
    run(folder, "git", "init", "-q")
    commit(folder)
    return folder


TOY = """
toy:
  vote:
    weights: [1, 1, 2, 3]
    quotas: [4, 5]
  values:
    digits: 6
"""


def new_toy(folder):
    """A clone with the toy study in addition; its parameters list only this study.

    It adds the study's folder, a section of params.yaml and a line of the registry.
    """
    new_clone(folder, {})
    shutil.copytree(ROOT / "tests/support/toy", folder / "pipeline/studies/toy")
    file = folder / "params.yaml"
    listed = r"^studies:.*\n(- \w+\n)+"
    asked = re.sub(listed, "studies:\n- toy\n", file.read_text(), flags=re.MULTILINE)
    file.write_text(asked + TOY)
    file = folder / "pipeline/studies/__init__.py"
    file.write_text(re.sub(r"^\)", '    "toy",\n)', file.read_text(), flags=re.MULTILINE))
    return folder


def once(tmp_path_factory, name, build):
    """A folder that is built once in a test run, by the first process that needs it.

    Args:
        tmp_path_factory: pytest's.
        name: of the folder.
        build: makes it, given its path.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, outcome = base / f"once/{name}", base / f"once/{name}.outcome"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(base / f"once/{name}.lock"):
        if not outcome.exists():
            outcome.write_text("it was built before, and that failed")
            build(folder)
            outcome.write_text("")
    assert not outcome.read_text(), f"{folder}: {outcome.read_text()}"
    return folder


def commit(folder):
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "as it is")


def copied(folder, to):
    """A copy with the files' times, which Snakemake considers."""
    run(folder.parent, "cp", "-a", "--reflink=auto", str(folder), str(to))
    return to


def write_params(folder, params):
    text = yaml.safe_dump(merged(defaults(), params), sort_keys=False)
    (folder / "params.yaml").write_text(text)


def change(folder, name, value):
    """Edit one parameter, given by its dotted name, in params.yaml."""
    file = folder / "params.yaml"
    content = yaml.safe_load(file.read_text())
    *parents, last = name.split(".")
    section = content
    for parent in parents:
        section = section[parent]
    section[last] = value
    file.write_text(yaml.safe_dump(content, sort_keys=False))


def processes(folder, *words):
    """Processes in a folder whose command line contains all these words."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().decode().split("\0")
            if (entry / "cwd").resolve() == folder.resolve() and set(words) <= set(command):
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


def rules_run(done):
    """Rules of the jobs that a command ran, or would run, according to its output."""
    found = re.findall(r"^(?:local)?rule (\w+):", done.stdout + done.stderr, re.MULTILINE)
    return {rule for rule in found if rule != "all" and not rule.endswith("_all")}


def stages_run(done):
    """Stages whose command DVC called."""
    return set(re.findall(r"Running stage '(\w+)'", done.stdout + done.stderr))


def has_nothing_to_do(done):
    return "Nothing to be done" in done.stdout + done.stderr


def shards(folder, *games):
    """Inode and time of every stored table's file; a new evaluation changes them.

    Args:
        folder: the clone.
        games: games whose stores are listed; all by default.
    """
    found = {}
    for path in sorted((folder / "results/coalitions").rglob("values/c.*")):
        store = path.parent.parent
        # Unfinished files of a killed process stay beside the shards until they are removed.
        is_shard = path.suffix != DEBRIS and "set-aside" not in path.parts
        if is_shard and (not games or store.stem in games):
            status = path.stat()
            found[str(path.relative_to(folder))] = (status.st_ino, status.st_mtime_ns)
    return found


TIMED = ("runtime", "runtime_grid", "claims", "index")
"""Results that hold measured times, without their suffixes."""


def contents(folder):
    """The bytes of all results except logs, hidden files and measured times."""
    found = {}
    for path in sorted((folder / "results").rglob("*")):
        name = path.relative_to(folder / "results")
        ignored = {"logs", "set-aside", "receipts"} & set(name.parts) or path.name[0] == "."
        ignored = ignored or name.stem in TIMED
        if path.is_file() and not ignored:
            found[str(name)] = path.read_bytes()
    return found
