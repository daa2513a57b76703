"""Stage: a page of all results, to look at in a browser.

It opens from disk, without a server and without a network. Data, pictures and the charting library
are in the page; the figures and tables that it links to lie in a folder beside it.
"""

from pathlib import Path
from typing import Any

from pipeline.core.files import replacing, replacing_directory
from pipeline.studies.report.overview import copy_files, files_of, overview
from pipeline.studies.report.page import rendered, view_of
from pipeline.studies.report.params import Params

VERSION = 1


def main(*, sections: dict[str, Any], params: Params, out: Path, files: Path) -> None:
    """Write the page ``out`` (HTML), and copies of figures and tables below ``files``.

    ``sections`` are the parameters of the studies to show.
    """
    copied = files_of(list(sections))
    page = rendered(
        {
            "overview": overview(sections, copied, files.name),
            **{study: view_of(study, section, params) for study, section in sections.items()},
        }
    )
    with replacing_directory(files) as folder:
        copy_files(copied, folder)
    with replacing(out) as temporary:
        temporary.write_text(page, encoding="utf-8")
