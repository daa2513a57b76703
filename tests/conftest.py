import os

# Results must not depend on how many cores the machine has, and small tests are faster on few.
os.environ.setdefault("OMP_NUM_THREADS", "2")

import clone
import pytest


@pytest.fixture(scope="session")
def built_once(tmp_path_factory):
    """A copy of the project with a small study built by one `snakemake`; not to be changed."""
    folder = clone.new_clone(tmp_path_factory.mktemp("once") / "clone", clone.SMALL)
    clone.snakemake(folder)
    return folder
