"""Stage: how close approximate values come to exact ones, and for how many evaluations.

Exact values come from stores of complete tables. The TRN's coalitions follow from those one player
smaller, so its sampled estimators read the complete tables as well. The TSN evaluates each
coalition independently: the coalitions that the estimators sample are kept in a store of samples,
as in games with too many players for complete tables. The next method, budget or run finds them
there.
"""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.tables import plain, write_table
from pipeline.models import devices
from pipeline.store.evaluation import write_receipt
from pipeline.store.vouching import believing
from pipeline.studies.frames.convergence import COLUMNS, METHODS_USED, try_sampled, try_stored
from pipeline.studies.frames.game import convergence_players, open_game
from pipeline.studies.frames.params import ConvergenceParams, ScoreName, ShortVideos
from pipeline.studies.frames.players import read_setting
from pipeline.studies.frames.values import unit_of

VERSION = 1


def main(
    *,
    receipts: list[Path],
    trn_features: Path,
    tsn_features: Path,
    scales: list[Path],
    tsn: Path,
    priors: Path,
    params: ConvergenceParams,
    score: ScoreName,
    short_videos: ShortVideos,
    out: Path,
    table: Path,
    sampled: Path,
    label: str | None = None,
    device: str = "auto",
) -> None:
    """Errors of Algorithm 1 over m × i, and of other estimators over budgets of evaluations.

    ``receipts`` belong to the games of TRN and TSN whose exact values are known. ``out`` is JSON
    and ``table`` CSV with one row per configuration; ``sampled`` is the receipt of the coalitions
    of the TSN that were evaluated.
    """
    of_trn, of_tsn = receipts
    with believing(of_trn) as store:
        setting = read_setting(
            "trn", trn_features, scales, priors, score, label=label, device=devices.resolve(device)
        )
        players = convergence_players(setting, params, short_videos)
        rows = try_stored(store, setting, players, params)
    with believing(of_tsn) as store:
        opened = open_game(
            "tsn_sampled",
            device=device,
            features=tsn_features,
            weights=[tsn],
            priors=priors,
            label=label,
            convergence=params,
            score=score,
            short_videos=short_videos,
        )
        more, receipt = try_sampled(store, opened, params)
    write_receipt(receipt, sampled)
    write_table(table, COLUMNS, rows + more)
    described = {"unit": unit_of(score), "methods": METHODS_USED, "rows": rows + more}
    write_json(out, plain(described))
