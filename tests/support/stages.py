"""Runs stages by the names of their rules, with files below a given folder."""

import contextlib
import importlib

from pipeline.core.rules import store_of
from pipeline.core.stage import module_of
from pipeline.store.evaluation import read_receipt


def run(rule, folder=".", **options):
    """Run a rule's stage in the folder of its stores."""
    with contextlib.chdir(folder):
        importlib.import_module(module_of(rule)).main(**options)


def plan(folder, study, game, **given):
    """Plan the store of a game that is opened with the given arguments."""
    out = folder / f"plan_{game}.json"
    run(f"{study}_plan", folder, study=study, game=game, given=given, plan=out, device="cpu")


def evaluate(folder, study, game, receipt=None, part=0, parts=1, **given):
    """Evaluate a partition of a planned game; return its receipt."""
    out = receipt or folder / f"receipt_{game}.json"
    partition = {"part": part, "parts": parts, "receipt": out}
    run(f"{study}_evaluate", folder, study=study, game=game, given=given, device="cpu", **partition)
    return read_receipt(out)


def stored(folder, study, game):
    """Path of a game's store."""
    return folder / store_of(study, game)
