"""Stage: a page of all results, to look at in a browser.

It opens from disk, without a server and without a network. Data, pictures and the charting library
are in the page. It links to figures and tables in the folders of the studies.
"""

from pathlib import Path
from typing import Any

from pipeline.core.files import replacing
from pipeline.studies.report.overview import overview
from pipeline.studies.report.page import rendered, view_of
from pipeline.studies.report.params import Params

VERSION = 1


def main(
    *, sections: dict[str, Any], files: dict[str, list[str]], params: Params, out: Path
) -> None:
    """Write the page ``out`` (HTML).

    Args:
        sections: the studies to show, with the parameters that their views need.
        files: figures (PNG), tables (CSV) and receipts (JSON) of each of them.
        params: what the page shows.
        out: the page.
    """
    views = {study: view_of(study, section, params) for study, section in sections.items()}
    page = rendered({"overview": overview(files), **views})
    with replacing(out) as temporary:
        temporary.write_text(page, encoding="utf-8")
