"""What was computed, and the claims of the papers with their verdicts."""

import importlib
import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.store import open_store
from pipeline.store.evaluation import read_receipt

RESULTS = Path("results")


def files_of(studies: Sequence[str]) -> dict[str, list[str]]:
    """The figures (PNG) and tables (CSV) of studies, relative to their folders."""
    found = {}
    for study in studies:
        source = RESULTS / study
        paths = [*source.glob("figures/*.png"), *source.glob("*.csv"), *source.glob("*/*.csv")]
        found[study] = [str(path.relative_to(source)) for path in sorted(paths)]
    return found


def copy_files(files: Mapping[str, Sequence[str]], folder: Path) -> None:
    """Copy what :func:`files_of` found into a folder, with one folder per study."""
    for study, paths in files.items():
        for path in paths:
            target = folder / study / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(RESULTS / study / path, target)


def overview(
    sections: Mapping[str, Any], copied: Mapping[str, Sequence[str]], folder: str
) -> dict[str, Any]:
    """Data of the first view, for JSON.

    Args:
        sections: parameters of the studies.
        copied: result of :func:`files_of`.
        folder: name of the folder of copies, beside the page.
    """
    return {
        "studies": list(sections),
        "games": [game for study in sections for game in _games(study)],
        "claims": [c for study in sections for c in _claims(study, copied.get(study, ()), folder)],
        "figures": {
            study: [
                {"name": _title(study, Path(path).stem), "file": f"{folder}/{study}/{path}"}
                for path in files
                if path.endswith(".png")
            ]
            for study, files in copied.items()
        },
    }


def _games(study: str) -> list[dict[str, Any]]:
    """What the receipts and stores of a study say of each game."""
    found = []
    for path in sorted((RESULTS / study / "receipts").glob("*.json")):
        receipt = read_receipt(path)
        store = open_store(receipt.store)
        record = store.record
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
                "weights": record.weights_sha256[:12],
                "torch": record.versions.get("torch", ""),
                "when": written.strftime("%Y-%m-%d %H:%M UTC"),
            }
        )
    return found


def _claims(study: str, files: Sequence[str], folder: str) -> list[dict[str, Any]]:
    """A study's claims, each with its figure and its table."""
    path = RESULTS / study / "claims.json"
    if not path.exists():
        return []
    links = importlib.import_module(f"pipeline.studies.{study}.view").LINKS
    found = []
    for claim in json.loads(path.read_bytes()):
        figure, table = links.get(claim["source"], (None, "claims.csv"))
        drawn = f"figures/{figure}.png"
        found.append(
            {
                "study": study,
                "source": claim["source"],
                "of": claim.get("of") or claim.get("model"),
                "claim": claim["claim"],
                "measured": claim["measured"],
                "shows": claim["shows"],
                "figure": f"{folder}/{study}/{drawn}" if drawn in files else None,
                "table": f"{folder}/{study}/{table}" if table in files else None,
            }
        )
    return found


def _title(study: str, name: str) -> str:
    """Title of a figure, from its caption."""
    studies = Path(__file__).parents[1]
    caption = studies / study / "captions" / f"{name}.rst"
    if not caption.exists():
        return name.replace("_", " ")
    return caption.read_text(encoding="utf-8").partition("\n")[0]
