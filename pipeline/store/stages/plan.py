"""Stage: plans the store of a game, that is, lists its instances before any is evaluated.

The plan keeps all values that are still good. After it, any process may evaluate any partition of
the instances, in any order.
"""

import logging
from pathlib import Path
from typing import Any

from pipeline.core.files import write_json
from pipeline.core.rules import store_of
from pipeline.store import plan as plan_store
from pipeline.store.opening import open_game

log = logging.getLogger(__name__)


def main(*, study: str, game: str, given: dict[str, Any], plan: Path, device: str = "auto") -> None:
    """Plan the store of ``game``; write its path, identity and size to ``plan`` (JSON)."""
    opened, store = open_game(study, game, given, device), store_of(study, game)
    classes = None if opened.output_classes is None else opened.output_classes()
    digests = [
        opened.digest(i, None if classes is None else classes[i])
        for i in range(len(opened.instances))
    ]
    planned = plan_store(
        store,
        opened.record,
        opened.instances,
        digests,
        output_classes=classes,
        coordinates=opened.coordinates,
    )
    done = int(planned.done().sum())
    log.info("%s: %d of %d instances are evaluated already", store, done, len(planned))
    identity = planned.record.identity
    write_json(plan, {"store": str(store), "identity": identity, "instances": len(planned)})
