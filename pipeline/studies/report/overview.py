"""What was computed, and the claims of the papers with their verdicts."""

import hashlib
import importlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.store import open_store
from pipeline.store.evaluation import read_receipt

RESULTS = Path("results")

NO_WEIGHTS = hashlib.sha256().hexdigest()
"""What games without a network state in place of its digest."""


def overview(files: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Data of the first view, for JSON.

    Args:
        files: by study, the receipts of its games, and the figures and tables that the page links
            to. Other files of an earlier run are not looked at. The page lies in the folder
            ``report`` beside the studies' folders.
    """
    return {
        "studies": list(files),
        "games": [game for study, known in files.items() for game in _games(study, known)],
        "claims": [claim for study, known in files.items() for claim in _claims(study, known)],
        "figures": {
            study: [
                {"name": _title(study, Path(path).stem), "file": _link(path)}
                for path in known
                if path.endswith(".png")
            ]
            for study, known in files.items()
        },
    }


def _games(study: str, files: Sequence[str]) -> list[dict[str, Any]]:
    """What the receipts and stores of a study say of each game."""
    found = []
    for path in sorted(Path(file) for file in files if "/receipts/" in file):
        receipt = read_receipt(path)
        store = open_store(receipt.store)
        record = store.record
        digest = record.weights_sha256
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        found.append(
            {
                "study": study,
                "game": record.game,
                "player": record.player,
                "value": record.value,
                "players": record.n_players,
                "outputs": len(record.outputs),
                "instances": len(store),
                "evaluated": receipt.evaluations_made,
                "reused": receipt.evaluations_reused,
                "seconds": receipt.seconds,
                "device": receipt.device,
                "weights": "none" if digest == NO_WEIGHTS else digest[:12],
                "torch": record.versions.get("torch", ""),
                "when": written.strftime("%Y-%m-%d %H:%M UTC"),
            }
        )
    return found


def _claims(study: str, files: Sequence[str]) -> list[dict[str, Any]]:
    """A study's claims, each with its figure and its table."""
    if f"{RESULTS}/{study}/claims.csv" not in files:
        return []
    has_view = importlib.util.find_spec(f"pipeline.studies.{study}.view") is not None
    view = importlib.import_module(f"pipeline.studies.{study}.view") if has_view else None
    links = getattr(view, "LINKS", {})
    found = []
    for claim in json.loads((RESULTS / study / "claims.json").read_bytes()):
        figure, table = links.get(claim["source"], (None, "claims.csv"))
        drawn, table = f"{RESULTS}/{study}/figures/{figure}.png", f"{RESULTS}/{study}/{table}"
        found.append(
            {
                "study": study,
                "source": claim["source"],
                "of": claim.get("of") or claim.get("model"),
                "claim": claim["claim"],
                "measured": claim["measured"],
                "shows": claim["shows"],
                "figure": _link(drawn) if drawn in files else None,
                "table": _link(table) if table in files else None,
            }
        )
    return found


def _link(path: str) -> str:
    """A path below the folder of results, from the page's folder."""
    return f"../{Path(path).relative_to(RESULTS)}"


def _title(study: str, name: str) -> str:
    """Title of a figure, from its caption."""
    studies = Path(__file__).parents[1]
    caption = studies / study / "captions" / f"{name}.rst"
    if not caption.exists():
        return name.replace("_", " ")
    return caption.read_text(encoding="utf-8").partition("\n")[0]
