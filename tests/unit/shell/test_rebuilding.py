"""Where a rebuild looks, and where it writes."""

from pathlib import Path

import pytest

from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.adapters.key_managers.registry import KeyManagers
from keyrack.embedded import tenancy
from keyrack.embedded.call import KEYRACK
from keyrack.embedded.root_keys.unlock import KeyFile
from keyrack.service.office.refusals import NotThere
from keyrack.shell.config.whole import load
from keyrack.shell.rebuilding import catalog_to_fill, searched
from keyrack.testing.process import Deployment


async def test_an_embedded_key_manager_is_searched_with_each_of_its_instances(tmp_path: Path) -> None:
    """Instances of Keyrack's bear their names: a wrapped key in the second one is an instance's of that one."""
    unlock = KeyFile(tmp_path / "keystore.key")
    unlock.create()
    first = EmbeddedKeyManager.create(tmp_path / "keystore", unlock)
    second = tenancy.create_instance(first.house, KEYRACK, "second")
    managers = KeyManagers({"embedded": first})
    try:
        found = searched(managers, None)
        alone = searched(managers, f"embedded/{second.identifier}")

        assert list(found) == ["embedded", f"embedded/{second.identifier}"]
        assert [each.instance for each in found.values()] == [first.instance, second.identifier]  # type: ignore[attr-defined]
        assert list(alone) == [f"embedded/{second.identifier}"]
        with pytest.raises(NotThere, match="use one of: embedded, embedded/"):
            searched(managers, "elsewhere")
    finally:
        await managers.close()


@pytest.mark.sqlite("it is about the file")
def test_a_dry_run_makes_its_catalog_where_nobody_keeps_it(tmp_path: Path) -> None:
    deployment = Deployment(directory=tmp_path).initialise()
    config = load(deployment.configuration)

    with catalog_to_fill(dry_run=False) as path:
        assert path(config) is None
        (config.directory / "catalog.db").unlink()
        assert path(config) == config.catalog_path
    with catalog_to_fill(dry_run=True) as path:
        scratch = path(config)
        assert scratch is not None
        assert scratch.parent.is_dir()
        assert tmp_path not in scratch.parents
    assert not scratch.parent.exists()
