"""The command ``keyrack``. Exit codes: 0 done, 1 failed, 2 wrong use or configuration, 3 unhealthy.

Nothing here imports the house before a command needs it, and a command does not import the others.
"""

import io
import sys
import time
from collections.abc import Sequence

STARTED = time.monotonic()
OK, FAILED, USAGE, UNHEALTHY = 0, 1, 2, 3
INTERRUPTED = 130


def main() -> None:
    """Run the command line of this process and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; answers the exit code. Whatever goes wrong is told in a line, never as a traceback."""
    from keyrack.shell.cli import failures

    for stream in (sys.stdout, sys.stderr):
        # A terminal that knows no ✓ shows a question mark, and nothing fails for it.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    debug = "--debug" in arguments
    words = [word for word in arguments if word != "--debug"]
    try:
        from keyrack.shell.cli.app import command_for

        code = command_for(words).main(args=words, prog_name="keyrack", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else OK
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return failures.broken_pipe()
    except Exception as error:  # the last door: what comes through is told in one line
        return failures.tell(error, debug=debug)
