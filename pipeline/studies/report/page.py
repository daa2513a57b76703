"""Puts the data of all views into one page of HTML."""

import importlib
import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

import vl_convert
from jinja2 import Environment, FileSystemLoader, select_autoescape

from pipeline.core.embedding import Limits
from pipeline.studies.report.params import Params

FOLDER = Path(__file__).parent


def view_of(study: str, section: dict[str, Any], params: Params) -> dict[str, Any] | None:
    """Data of a study's view; see ``view.py`` in its folder. None if it has no view.

    Args:
        study: its name.
        section: its parameters that ``VIEW_NEEDS`` of its ``paths.py`` names.
        params: what the page shows.
    """
    if importlib.util.find_spec(f"pipeline.studies.{study}.view") is None:
        return None
    module = importlib.import_module(f"pipeline.studies.{study}.view")
    classes = None if params.classes is None else tuple(params.classes)
    limits = Limits(params.videos, classes, params.thumbnail)
    found: dict[str, Any] = module.view(section, limits)
    return found


def rendered(data: dict[str, Any]) -> str:
    """The page of these data.

    All texts are data: the page's script puts them in place as text, never as HTML.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "page"), autoescape=select_autoescape(["html", "j2"])
    )
    return environment.get_template("page.html.j2").render(
        data=as_script(data),
        style=(FOLDER / "page/page.css").read_text(encoding="utf-8"),
        script=(FOLDER / "page/page.js").read_text(encoding="utf-8"),
        charts=charts(),
    )


def as_script(data: Any) -> str:
    """JSON that a script element can hold, whatever texts are in it.

    HTML ends a script at ``</script``, and ``<!--`` changes how it is read. Neither occurs without
    a ``<``, which JSON may write as an escape. So are the line ends that JavaScript has and JSON
    has not.
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


@cache
def charts() -> str:
    """Vega-Lite, which draws the charts, as a script; it defines ``vegaEmbed``."""
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script.replace("</script", "<\\/script")
