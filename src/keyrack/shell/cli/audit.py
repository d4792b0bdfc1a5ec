"""``keyrack audit``: the journal, and whether anybody has changed it."""

import typer

app = typer.Typer(
    name="audit", help="The journal of every operation and every administrative act.", no_args_is_help=True
)
