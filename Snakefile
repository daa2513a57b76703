"""All results of the project. `snakemake --cores all` makes those missing or out of date."""

import importlib
import os
import sys

from snakemake.utils import min_version

min_version("9.0")
sys.path.insert(0, workflow.basedir)

from pipeline.core.errors import InputError
from pipeline.core.rules import STAGE, OfGame, but, given, needs_of
from pipeline.core import warm
from pipeline.core.stage import DEVICE, SCHEDULER
from pipeline.studies import STUDIES
from pipeline.workflow import bridge, internals, one_line
from pipeline.workflow.params import read_config
from pipeline.workflow.targets import CLAIMS, drawn, gpus, left_out
from pipeline.workflow.targets import reported, targets, vectors


configfile: "params.yaml"


report: "pipeline/workflow/report.rst"


try:
    PARAMS = read_config(config)
except InputError as error:
    raise WorkflowError(str(error))

ENVIRONMENT = workflow.source_path("pipeline/workflow/environment.yaml")
GPUS = gpus(PARAMS.device)
# Only measured times depend on the device.
DEVICE_USED = "cpu" if PARAMS.device == "auto" and not GPUS else PARAMS.device
needs = needs_of(PARAMS.model_dump(mode="json"))

# Jobs end when the process that started them ends, so no shell may stand between the two.
os.environ[SCHEDULER] = str(os.getpid())
os.environ[DEVICE] = PARAMS.device
shell.prefix("set -euo pipefail; exec ")


for study in STUDIES:

    include: f"pipeline/studies/{study}/rules.smk"


include: "pipeline/store/rules.smk"


# One target per rule (`frames_values_all`) and one per study (`frames_all`).
TARGETS = targets(workflow.rules, PARAMS)


include: "pipeline/studies/report/rules.smk"


TARGETS = targets(workflow.rules, PARAMS)


# Every command begins with its rule's name.
for each in workflow.rules:
    for line in each.params:
        line.rule = each.name


for name, files in TARGETS.items():

    rule:
        name:
            f"{name}_all"
        input:
            files,


rule all:
    default_target: True
    input:
        [TARGETS[study] for study in (*PARAMS.studies, "report")],


record = bridge.attach(workflow, PARAMS)


ENDED = []


onstart:
    # On a cluster a job must stay in its own allocation, even on the machine of this process.
    if not workflow.local_exec:
        internals.notice_cancelled_jobs()
    elif sum(1 for _ in workflow.dag.needrun_jobs()) >= warm.FEWEST:
        warm.start()
    ENDED.append(one_line.begin(workflow))
    for text in left_out(PARAMS):
        logger.info(text)


onsuccess:
    record()
    for tell in ENDED:
        tell()


onerror:
    record()
