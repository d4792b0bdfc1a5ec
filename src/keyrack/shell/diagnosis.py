"""The doctor's look at everything, with causes: configuration, catalog, journal, key managers, instances, certificates.

It needs no server. What is not well comes first, each with what to do.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keyrack.domain.instances import Instance
from keyrack.ports.catalog import CatalogUnavailable
from keyrack.ports.key_manager import Checked, ChecksItself, TellsCondition, Verdict
from keyrack.service.health.findings import Finding, Level
from keyrack.service.health.health import Health
from keyrack.service.health.mishaps import Mishap, mishaps, told
from keyrack.service.health.trial import trial
from keyrack.service.office.administration import Administrator
from keyrack.shell.config.problems import ConfigError
from keyrack.shell.config.whole import Config
from keyrack.shell.inspection import Inspection, inspection, now
from keyrack.shell.nodes.database_findings import look_at_database
from keyrack.shell.probe import look_at_api, look_at_certificate, look_at_listener, look_at_processes, look_at_web

PATIENCE: Final = 30.0
"""Seconds for the look at one key manager."""
LEAST_ROOM: Final = 512 * 2**20
"""Bytes that should be free where the catalog is."""
_ORDER: Final = (Level.FAILED, Level.WARNING, Level.OK)
_LEVELS: Final[Mapping[Verdict, Level]] = {
    Verdict.WELL: Level.OK,
    Verdict.SKIPPED: Level.OK,
    Verdict.REMARK: Level.WARNING,
    Verdict.FAILED: Level.FAILED,
}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was found, the worst first."""

    findings: Sequence[Finding]
    mishaps: Sequence[Mishap] = ()
    instances: Sequence[Mapping[str, object]] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return all(each.level is not Level.FAILED for each in self.findings)


def misconfigured(error: ConfigError) -> Diagnosis:
    """What there is to say where the configuration does not load: nothing else can be looked at."""
    return Diagnosis([Finding("configuration", Level.FAILED, str(each)) for each in error.problems])


async def diagnose(config: Config, file: Path, administrator: Administrator) -> Diagnosis:
    """Look at everything that ``file`` configures; nothing is written, neither here nor in a key manager."""
    at = now()
    findings = [_configuration(config, file), *_outside(config, at), *await look_at_processes(config)]
    findings += await look_at_database(config)
    try:
        async with inspection(config, administrator) as opened:
            health = await opened.health(at)
            instances = await opened.office.catalog.instances()
            failures = await mishaps(opened.office.catalog)
            names = {each.identifier: each.name for each in instances}
            findings += [*_room(config), *opened.closed]
            findings += [each async for each in _key_managers(opened, instances)]
            findings += [*health.findings, *(told(each, names, at) for each in failures)]
            return _sorted(findings, failures, health)
    except (CatalogUnavailable, ConfigError) as error:
        findings.append(Finding("catalog", Level.FAILED, str(error), _mending(config)))
    return _sorted(findings, (), None)


def _mending(config: Config) -> str:
    if config.catalog_path is None:
        return "see with 'keyrack database check' what is in the way"
    return "put the file back, or see whether its disk answers"


def _sorted(findings: Sequence[Finding], failures: Sequence[Mishap], health: Health | None) -> Diagnosis:
    ordered = sorted(findings, key=lambda each: _ORDER.index(each.level))
    return Diagnosis(ordered, failures, health.numbers["instances"] if health else ())


def _configuration(config: Config, file: Path) -> Finding:
    kinds = ", ".join(f"{name} ({config.key_managers[name].type})" for name in config.key_managers)
    return Finding("configuration", Level.OK, f"{file}: deployment {config.deployment.id}, key managers {kinds}")


def _outside(config: Config, at: int) -> Iterator[Finding]:
    """What a client meets. That the server does not run is no failure of what the doctor looks at."""
    for finding in (look_at_listener(config), *look_at_web(config), *look_at_api(config)):
        level = Level.WARNING if finding.level is Level.FAILED else finding.level
        yield Finding(finding.what, level, finding.told, finding.act)
    yield look_at_certificate(config.path(config.kmip.certificate), at)


def _room(config: Config) -> Iterator[Finding]:
    path = config.catalog_path
    if path is None:
        return
    free, size = shutil.disk_usage(path.parent).free, path.stat().st_size
    said = f"{path}, {size / 2**20:.1f} MiB; {free / 2**30:.1f} GiB are free there"
    if free < LEAST_ROOM:
        yield Finding("disk", Level.WARNING, said, "make room: when the disk is full every request is refused")
    else:
        yield Finding("disk", Level.OK, said)


async def _key_managers(opened: Inspection, instances: Sequence[Instance]) -> AsyncIterator[Finding]:
    """Each that is open, step by step, with a root key that an instance uses; nothing is written there."""
    for name, manager in opened.key_managers.items():
        in_use = next((each.root_key for each in instances if each.key_manager == name), None)
        steps = (
            manager.check(in_use, write=False)
            if isinstance(manager, ChecksItself)
            else trial(manager, in_use, write=False)
        )
        try:
            async with asyncio.timeout(PATIENCE):
                async for checked in steps:
                    if checked.verdict is not Verdict.SKIPPED:
                        yield _checked(name, checked)
        except TimeoutError:
            yield Finding(name, Level.FAILED, f"it was not looked at to the end within {PATIENCE:.0f} s")
        if isinstance(manager, TellsCondition):
            seen = manager.condition()
            calls = f"{seen.calls} calls here, {seen.retries} repeated, {seen.failures} failed"
            yield Finding(f"{name}: calls", Level.OK, f"{calls}; the last answer took {seen.latency * 1000:.0f} ms")


def _checked(name: str, checked: Checked) -> Finding:
    return Finding(f"{name}: {checked.what}", _LEVELS[checked.verdict], checked.told)
