"""Stage: render the default data set in the layout of Something-Something V2.

The clips are encoded as VP9 in webm. Encoding runs forward in time, so its (faint) artefacts are
the only trace of the direction of time in a clip.
"""

from pathlib import Path

from pipeline.core.files import replacing_directory
from pipeline.studies.frames.params import VideosParams
from pipeline.studies.frames.videos import write_dataset

VERSION = 1


def main(*, params: VideosParams, out: Path, threads: int = 1) -> None:
    """Render the clips of all splits into the directory ``out``, which is replaced."""
    with replacing_directory(out) as directory:
        write_dataset(params, directory, workers=threads)
