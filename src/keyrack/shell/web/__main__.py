"""``python -m keyrack.shell.web CONFIGURATION``, as ``keyrack serve`` starts it: it ends with its standard input."""

import logging
import sys
from pathlib import Path

from keyrack.ports.catalog import CatalogUnavailable
from keyrack.shell import telemetry
from keyrack.shell.config.problems import ConfigError
from keyrack.shell.config.whole import load
from keyrack.shell.web.process import serve

log = logging.getLogger("keyrack.web")


def main(arguments: list[str]) -> int:
    """Serve until told to end; the exit code."""
    (file,) = arguments
    try:
        config = load(Path(file))
        telemetry.configure(config.log.level, config.log.format)
        return serve(config, lambda opened: None, lifeline=sys.stdin.fileno())
    except (ConfigError, CatalogUnavailable, OSError) as error:
        log.error("the administration API cannot start: %s", error)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
