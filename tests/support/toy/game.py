"""The game of the toy study."""

import numpy as np

from pipeline.core.files import array_digest
from pipeline.shapley.coalitions import to_bool
from pipeline.store.opening import OpenGame
from pipeline.store.record import GameRecord
from pipeline.studies.toy.params import VoteParams

VERSION = 1


def open_game(name: str, *, device: str, vote: VoteParams) -> OpenGame:
    """Whether a coalition's weight reaches the quota."""
    weights = np.array(vote.weights)
    record = GameRecord(
        study="toy",
        game=name,
        n_players=len(weights),
        player="a voter",
        outputs=("wins",),
        value="1 if the coalition's weight reaches the quota",
        specification={"weights": vote.weights},
        weights_sha256=array_digest([]),
        evaluator_version=VERSION,
        versions={},
    )

    def tables(instances, classes):
        members = to_bool(np.arange(2 ** len(weights), dtype=np.uint64), len(weights))
        quotas = np.array(vote.quotas)[list(instances)]
        return (members @ weights >= quotas[:, None])[:, :, None].astype(np.float32)

    return OpenGame(
        record=record,
        instances=tuple(f"quota {quota}" for quota in vote.quotas),
        digest=lambda i, classes: array_digest([np.array([vote.quotas[i]])]),
        tables=tables,
    )
