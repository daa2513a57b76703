"""Every result of the project. `snakemake --cores all` makes what is missing or out of date."""

import sys

from snakemake.utils import min_version

min_version("9.0")
sys.path.insert(0, workflow.basedir)

from pipeline import workflow as house
from pipeline.errors import InputError


configfile: "params.yaml"


report: "pipeline/rules/report/workflow.rst"


try:
    PARAMS = house.read_config(config)
except InputError as error:
    raise WorkflowError(str(error))


include: "pipeline/rules/frames.smk"


rule all:
    default_target: True
    input:
        rules.frames_all.input,
