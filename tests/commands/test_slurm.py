"""Tests the profile for Slurm: a dry run, and jobs submitted to a stand-in for Slurm's commands."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from tiny import OVERRIDES, ROOT, defaults, merged

from pipeline.core import warm
from pipeline.core.job import WARM
from pipeline.studies import STUDIES

PROFILE = ROOT / "profiles/slurm/config.yaml"

# All of srun's own options are written as --name=value. Jobs run while they are submitted, so
# there is nothing to wait for. Jobs that ask for a GPU are refused.
COMMANDS = {
    "sbatch": """
        printf '%s\\n' "$@" > "$FAKE_SLURM/$$.submitted"
        case "$*" in *--gpus*) echo 'no GPU here' >&2; exit 1 ;; esac
        for last; do :; done
        if SLURM_JOB_ID=$$ sh -c "${last#--wrap=}" > "$FAKE_SLURM/$$.log" 2>&1
        then echo "$$|COMPLETED"
        else echo "$$|FAILED"; cat "$FAKE_SLURM/$$.log" >&2
        fi >> "$FAKE_SLURM/states"
        echo $$
    """,
    "srun": """
        while case "$1" in -*) true ;; *) false ;; esac; do shift; done
        exec "$@"
    """,
    "sacct": 'case "$*" in *--name*) cat "$FAKE_SLURM/states" ;; esac',
    "sacctmgr": "echo lab",
    "scontrol": "echo 'MinJobAge = 300 sec'; echo 'MaxArraySize = 1001'",
    "sinfo": "echo 'PARTITION'; echo 'usual*'",
    "squeue": "true",
    "scancel": "true",
}


def snakemake(folder, *arguments, **environment):
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent)])
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{path}{os.pathsep}{os.environ['PATH']}",
            "FAKE_SLURM": str(folder / "slurm"),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def new_folder(folder, params):
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    (folder / "slurm").mkdir()
    (folder / "bin").mkdir()
    for name, script in COMMANDS.items():
        command = folder / "bin" / name
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
    return folder


def replaced(folder, command, script):
    """Replace one of Slurm's commands."""
    (folder / "bin" / command).write_text(f"#!/bin/sh\n{script}\n")


QUICK = (
    *("--workflow-profile", "profiles/slurm"),
    *("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1"),
    *("--latency-wait", "5", "--retries", "0"),
)


def test_a_cancelled_job_is_noticed(tmp_path):
    """Slurm's accounting says who cancelled it."""
    folder = new_folder(tmp_path, merged(defaults(), OVERRIDES))
    cancelled = """echo "$$|CANCELLED by 0" >> "$FAKE_SLURM/states"; echo $$"""
    replaced(folder, "sbatch", cancelled)
    done = snakemake(folder, *QUICK, "--", "frames_videos_all")
    assert done.returncode != 0
    assert "SLURM status is: 'CANCELLED'" in done.stderr


def test_jobs_are_not_handed_over_to_a_process_outside_their_allocation(tmp_path):
    folder = new_folder(tmp_path, merged(defaults(), OVERRIDES))
    replaced(folder, "sbatch", 'env > "$FAKE_SLURM/environment"; exit 1')
    done = snakemake(folder, *QUICK, "--", "frames_scales_all")
    assert "SLURM sbatch failed" in done.stderr
    jobs = int(re.search(r"^total +(\d+)$", done.stderr, flags=re.M)[1])
    assert jobs >= warm.FEWEST, "so few jobs would not be handed over on one machine either"
    variables = (folder / "slurm/environment").read_text()
    assert "FAKE_SLURM=" in variables
    assert f"{WARM}=" not in variables


def gpu_rules():
    """Rules that state how many GPUs they need; each study has its own rules of stores."""
    found = set()
    for study in STUDIES:
        files = (ROOT / "pipeline/studies" / study).glob("*.smk")
        own = "\n".join(file.read_text() for file in sorted(files))
        of_stores = (ROOT / "pipeline/store/rules.smk").read_text().replace("{study}", study)
        named = re.split(r"^ *rule ", own, flags=re.M)[1:]
        named += re.split(r"^ +name:\n +f\"", of_stores, flags=re.M)[1:]
        found |= {re.match(r"\w+", text)[0] for text in named if "gpu=" in text}
    return found


@pytest.mark.parametrize("given", [(), ("--config", "partitions=16", "frames={tsn: {epochs: 2}}")])
def test_a_dry_run_shares_out_the_games_and_asks_for_gpus_where_they_are_used(tmp_path, given):
    """Also if ``--config`` replaces the profile's."""
    folder = new_folder(tmp_path, defaults())
    dry = snakemake(folder, "--workflow-profile", "profiles/slurm", "-n", *given)
    assert dry.returncode == 0, dry.stderr
    listed = r"^rule ((?:frames|baselines|neurons|shapnets|report)_\w+):\n((?: .*\n)+)"
    blocks = re.findall(listed, dry.stdout + dry.stderr, flags=re.M)
    assert Counter(rule for rule, _ in blocks) == {
        "report_page": 1,
        "frames_videos": 1,
        "frames_backbone": 2,
        "frames_features": 2,
        "frames_skipped": 1,
        "frames_priors": 1,
        "frames_scales": 8,
        "frames_joint": 1,
        "frames_tsn": 1,
        "frames_accuracy": 1,
        "frames_plan": 2 * 5,
        "frames_evaluate": 2 * 5 * 16,
        "frames_merge": 2 * 5,
        "frames_values": 2,
        "frames_gradients": 2,
        "frames_discard": 1,
        "frames_draw_discard": 1,
        "frames_patterns": 1,
        "frames_draw_patterns": 1,
        "frames_interactions": 1,
        "frames_localisation": 1,
        "frames_lengths": 1,
        "frames_draw_lengths": 1,
        "frames_shift": 1,
        "frames_draw_shift": 1,
        "frames_removal": 1,
        "frames_convergence": 1,
        "frames_draw_convergence": 1,
        "frames_runtime": 1,
        "frames_claims": 1,
        "frames_figures": 1,
        "baselines_surrogates": 4,
        "baselines_ratios": 1,
        "baselines_draw_ratios": 1,
        "baselines_replace": 1,
        "baselines_draw_replace": 1,
        "baselines_proportions": 1,
        "baselines_draw_proportions": 1,
        "baselines_classifier": 1,
        "baselines_embedding": 1,
        "baselines_plan": 4 + 2,
        "baselines_evaluate": (4 + 2) * 16,
        "baselines_merge": 4 + 2,
        "baselines_attributions": 2,
        "baselines_agreement": 1,
        "baselines_draw_agreement": 1,
        "baselines_figures": 1,
        "baselines_runtime": 1,
        "baselines_claims": 1,
        "neurons_networks": 4,
        "neurons_attacks": 2,
        "neurons_plan": 6,
        "neurons_evaluate": 6 * 16,
        "neurons_merge": 6,
        "neurons_values": 4,
        "neurons_removal": 1,
        "neurons_draw_removal": 1,
        "neurons_repair": 1,
        "neurons_draw_repair": 1,
        "neurons_vulnerable": 1,
        "neurons_draw_vulnerable": 1,
        "neurons_pictures": 1,
        "neurons_draw_pictures": 1,
        "neurons_weights": 1,
        "neurons_faces": 1,
        "neurons_draw_faces": 1,
        "neurons_spread": 1,
        "neurons_draw_spread": 1,
        "neurons_search": 1,
        "neurons_draw_search": 1,
        "neurons_claims": 1,
        "shapnets_networks": 3 * 3,
        "shapnets_consistent": 2,
        "shapnets_plan": 2,
        "shapnets_evaluate": 2 * 16,
        "shapnets_merge": 2,
        "shapnets_distances": 3,
        "shapnets_timing": 1,
        "shapnets_draw_tables": 1,
        "shapnets_image_networks": 5,
        "shapnets_image_explained": 1,
        "shapnets_draw_images": 1,
        "shapnets_claims": 1,
    }
    with_gpu = gpu_rules()
    assert len(with_gpu) == 13 + 6 + 10 + 4
    for rule, block in blocks:
        resources = dict(re.findall(r"(\w+)=([^,\n]+)", block.split("resources:")[1]))
        assert resources.get("gpu") == ("1" if rule in with_gpu else None), rule
        assert int(resources["runtime"]) > 0
        assert int(resources["mem_mb"]) > 0


def test_no_limit_of_one_machine_holds_on_the_cluster():
    profile = yaml.safe_load(PROFILE.read_text())
    assert profile["executor"] == "slurm"
    assert "resources" not in profile
    assert set(profile["set-resources"]) == gpu_rules()
    assert profile["rerun-incomplete"]


def options(submitted):
    """What sbatch was asked for, by the names of its options."""
    lines = submitted.read_text().split("\n--wrap=")[0].splitlines()
    found = {}
    for name, value in zip(lines, [*lines[1:], ""], strict=True):
        if name.startswith("-"):
            key, is_one, rest = name.partition("=")
            found[key] = rest if is_one else value
    return found


def test_jobs_are_submitted_with_what_they_need(tmp_path):
    folder = new_folder(tmp_path, merged(defaults(), OVERRIDES))
    profile = folder / "profiles/slurm/config.yaml"
    text = profile.read_text()
    for place, value in {
        "# slurm_account: <account>": "slurm_account: lab",
        "# slurm_partition: <partition>": "slurm_partition: short",
        "# slurm_partition: <partition with GPUs>": "slurm_partition: big",
    }.items():
        assert text.count(f"{place}\n") == 1
        text = text.replace(f"{place}\n", f"{value}\n")
    profile.write_text(text)
    # Values from the command line must arrive where a job runs, too.
    fewer = ["--config", "frames={videos: {train_clips: 17}}"]
    done = snakemake(folder, *QUICK, *fewer, "--", "frames_backbone_all")
    submitted = [options(file) for file in (folder / "slurm").glob("*.submitted")]
    (videos,) = (o for o in submitted if o["--comment"] == "rule_frames_videos")
    backbones = [o for o in submitted if o["--comment"].startswith("rule_frames_backbone")]
    assert len(submitted) == 1 + len(backbones)
    assert videos["-A"] == "lab"
    assert videos["-p"] == "short"
    assert videos["-t"] == "60"
    assert videos["--mem"] == "8000"
    assert videos["--cpus-per-task"] == "16"
    assert "--gpus" not in videos
    labels = folder / "data/frames/moving-digits/labels/train.json"
    assert labels.exists(), done.stderr
    assert len(json.loads(labels.read_text())) == 17
    assert backbones
    for backbone in backbones:
        assert backbone["-A"] == "lab"
        assert backbone["-p"] == "big"
        assert backbone["-t"] == "720"
        assert backbone["--gpus"] == "1"
        assert backbone["--cpus-per-task"] == "1"
    assert done.returncode != 0
    assert "no GPU here" in done.stderr
