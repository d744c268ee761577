"""The table of features; `feature` says what one is, and who calls its hooks.

The engine gives them to the state when it is built, so that a feature may itself use what `moves` offers.
"""

from typing import Final

from lineshaft.engine.feature import BATCHED, CALLBACK, EXPIRING, TRACKED, UNIQUE, UNIQUE_UNTIL_START, Feature, Features
from lineshaft.engine.features.batches import Callback, Member
from lineshaft.engine.features.expiring import Expiring
from lineshaft.engine.features.tracks import Tracked
from lineshaft.engine.features.unique import Unique, UniqueUntilStart

__all__ = ["FEATURES", "LISTENING"]

FEATURES: Final[dict[str, Feature]] = {
    EXPIRING: Expiring(),
    UNIQUE: Unique(),
    UNIQUE_UNTIL_START: UniqueUntilStart(),
    TRACKED: Tracked(),
    BATCHED: Member(),
    CALLBACK: Callback(),
}
"""Every feature by its letter in `Extras.uses`."""

LISTENING: Final = Features(FEATURES)
"""The same, as the state has them."""
