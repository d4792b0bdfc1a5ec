"""What a rebuild finds and needs around it: key managers with all their instances, and a catalog to write to."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from keyrack.adapters.key_managers.registry import KeyManagers, name_for
from keyrack.embedded import tenancy
from keyrack.ports.key_manager import KeyManager
from keyrack.service.health.health import Level
from keyrack.service.office.refusals import NotThere, Refused
from keyrack.shell.config.whole import Config
from keyrack.shell.probe import look_at_listener


def searched(managers: KeyManagers, wanted: str | None) -> Mapping[str, KeyManager]:
    """Every configured key manager, an embedded one with each of its instances, by the names that instances bear.

    Or the ``wanted`` one alone; raises :class:`NotThere`.
    """
    names = list(managers)
    for configured, first in managers.embedded().items():
        found = [name_for(configured, first, each.identifier) for each in tenancy.instances(first.house)]
        names += [name for name in found if name not in names]
    if wanted is not None and wanted not in names:
        raise NotThere(f"there is no key manager {wanted!r}; use one of: {', '.join(names)}")
    return {name: managers[name] for name in names if wanted in {None, name}}


@contextmanager
def catalog_to_fill(*, dry_run: bool) -> Iterator[Callable[[Config], Path | None]]:
    """Tells, for a configuration, where the catalog is to be made; a dry run makes it where nobody keeps it.

    ``None``: it is there. Raises :class:`Refused` while a server serves from a file that has been taken away.
    """
    with TemporaryDirectory(prefix="keyrack-") as nowhere:

        def path(config: Config) -> Path | None:
            if config.catalog_path is None or config.catalog_path.is_file():
                return None
            if look_at_listener(config).level is not Level.FAILED:
                raise Refused(
                    f"{config.catalog_path} is not there, and a server serves from it still: it has all that was in "
                    "it until it stops. Copy it from the server's open file, /proc/<its number>/fd, or stop the server "
                    "and say this again"
                )
            return Path(nowhere) / "catalog.db" if dry_run else config.catalog_path

        yield path
