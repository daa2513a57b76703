"""Every result of the project. `snakemake --cores all` makes what is missing or out of date."""

import os
import sys

from snakemake.utils import min_version

min_version("9.0")
sys.path.insert(0, workflow.basedir)

from pipeline.workflow import provenance
from pipeline.workflow import tracking
from pipeline.studies.frames import paths as house
from pipeline.core.errors import InputError
from pipeline.core.stage import SCHEDULER
from pipeline.workflow.versions import version


configfile: "params.yaml"


report: "pipeline/rules/report/workflow.rst"


try:
    PARAMS = house.read_config(config)
except InputError as error:
    raise WorkflowError(str(error))


# Jobs end with the process that started them: no shell stands between the two.
os.environ[SCHEDULER] = str(os.getpid())
shell.prefix("set -euo pipefail; exec ")


include: "pipeline/rules/frames.smk"
include: "pipeline/rules/baselines.smk"


rule all:
    default_target: True
    input:
        [getattr(rules, f"{study}_all").input for study in PARAMS.studies],


# One target a stage that DVC tracks, also of studies that are not asked for here: `dvc repro` makes
# all that dvc.yaml lists.
for stage, tracked in tracking.stages(PARAMS, every=True).items():

    rule:
        name:
            f"{stage}_all"
        input:
            tracked.files,


# Before anything is planned, what is known of the results from DVC is told to Snakemake; after it,
# DVC is told what was made.
provenance.attach(workflow, PARAMS, config)


onsuccess:
    provenance.record(workflow, PARAMS, config)


onerror:
    provenance.record(workflow, PARAMS, config)
