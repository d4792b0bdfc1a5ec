"""``python -m keyrack`` is the command ``keyrack``."""

from keyrack.shell.cli import main

if __name__ == "__main__":
    main()
