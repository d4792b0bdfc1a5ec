"""What a client is told while the catalog takes nothing."""

import pytest

from keyrack.ports.catalog import CatalogUnavailable, OutcomeUnknown, RollbackMode
from keyrack.service.answers import busy


@pytest.mark.parametrize("error", [CatalogUnavailable(), RollbackMode()])
def test_who_is_refused_is_told_that_nothing_was_changed(error: CatalogUnavailable) -> None:
    assert "nothing was changed" in busy(error)


def test_nobody_is_told_that_nothing_was_changed_where_that_is_not_known() -> None:
    """The commit may have been kept: a key that is told to live on may be destroyed."""
    told = busy(OutcomeUnknown())

    assert "nothing was changed" not in told
    assert "look what is there" in told
