"""Fresh copies of this project in folders of their own, and its commands run there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from tiny import OVERRIDES, ROOT, defaults, merged

from pipeline.workflow import tracking
from pipeline.workflow.params import validate

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
    # `python`, `snakemake` and `dvc` must be those of this environment, also when it was not
    # started through it; and a caller's repository is not the copy's.
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "GIT_", "SNAKEMAKE"))}
    names = {"GIT_AUTHOR_NAME": "a", "GIT_COMMITTER_NAME": "a"}
    mails = {"GIT_AUTHOR_EMAIL": "a@b.c", "GIT_COMMITTER_EMAIL": "a@b.c"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, **names, **mails, "PATH": path, "DVC_NO_ANALYTICS": "1", **more}


def run(folder, *command, check=True, **more):
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=900,
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
    """What git would clone if all were committed, with these parameters."""
    listed = run(ROOT, "git", "ls-files", "-co", "--exclude-standard").stdout.splitlines()
    for name in filter(lambda name: (ROOT / name).is_file(), listed):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    write_params(folder, params)
    # As `python -m pipeline dvc-yaml` writes it there, for the studies asked for.
    text = tracking.dvc_yaml_text(validate(merged(defaults(), params)))
    (folder / "dvc.yaml").write_text(text)
    run(folder, "git", "init", "-q")
    commit(folder)
    return folder


def commit(folder):
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "as it is")


def copied(folder, to):
    # The times are kept: they are part of what Snakemake goes by.
    shutil.copytree(folder, to, symlinks=True)
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


def rules_run(done):
    """Rules of the jobs that a command ran, or would run, by what it printed."""
    found = re.findall(
        r"^(?:local)?rule ((?:frames|baselines)_\w+):", done.stdout + done.stderr, re.MULTILINE
    )
    return {rule for rule in found if not rule.endswith("_all")}


def stages_run(done):
    """Stages whose command DVC called."""
    return set(re.findall(r"Running stage '(\w+)'", done.stdout + done.stderr))


def has_nothing_to_do(done):
    return "Nothing to be done" in done.stdout + done.stderr


def shards(folder):
    """For every stored table its file's number and time: what is evaluated again gets others."""
    found = {}
    for path in sorted((folder / "results/coalitions").rglob("values/c.*.0.0")):
        if path.parent.parent.name in ("trn.zarr", "tsn.zarr") and "set-aside" not in path.parts:
            status = path.stat()
            found[str(path.relative_to(folder))] = (status.st_ino, status.st_mtime_ns)
    return found


TIMED = ("runtime", "runtime_grid", "claims")
"""Results that tell how long something took, without their suffixes."""


def contents(folder):
    """The bytes of all results but logs, hidden files, and what tells how long something took."""
    found = {}
    for path in sorted((folder / "results").rglob("*")):
        name = path.relative_to(folder / "results")
        ignored = {"logs", "set-aside", "receipts"} & set(name.parts) or path.name[0] == "."
        ignored = ignored or name.stem in TIMED
        if path.is_file() and not ignored:
            found[str(name)] = path.read_bytes()
    return found
