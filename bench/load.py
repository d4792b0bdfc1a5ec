"""Runs of the load generator, and what they answer."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.servers import BUILD, CannotMeasure, Server

Result = dict[str, Any]
"""What ``kmipload --json`` prints: one run."""


def arguments(server: Server, pki: Path, mode: Sequence[str], tls: str, *, measure: bool = True) -> list[str]:
    """The command line of one run."""
    client = [f"--{name}={pki / f'{server.kind}-{file}'}" for name, file in _FILES]
    measured = ["--server-pid", str(server.process.pid)] if measure else []
    common = ["--port", str(server.port), "--tls", tls, "--json", "-", "--quiet"]
    return [str(BUILD / "kmipload"), *mode, *client, *common, *measured]


_FILES = (("ca", "ca.pem"), ("cert", "client.pem"), ("key", "client.key"))


def start(command: Sequence[str]) -> "subprocess.Popen[str]":
    """Begin a run."""
    return subprocess.Popen(list(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: "subprocess.Popen[str]", what: str) -> Result:
    """Wait for a run; its answer. Ends the benchmark where the server gave wrong answers: such figures mean nothing."""
    out, err = process.communicate(timeout=400)
    if not out:
        raise CannotMeasure(f"bench: {what}: {err.strip()}")
    result: Result = json.loads(out)
    if result["errors_total"] or not result["units"]:
        raise CannotMeasure(
            f"bench: {what}: {result['units']} units, errors {result['errors']} {result['error_sample']}"
        )
    return result


def run(server: Server, pki: Path, mode: Sequence[str], tls: str) -> Result:
    """One run, from its start to its answer."""
    return finish(start(arguments(server, pki, mode, tls)), f"{server.name}-{server.kind} TLS {tls} {' '.join(mode)}")


def make_keys(server: Server, pki: Path, count: int, path: Path) -> None:
    """Create, activate and get keys, so that later Gets can be held against the very bytes."""
    # With tens of thousands only the first thousand are checked by hash: the flow would take minutes.
    tls = server.tls[-1]
    first = min(count, 1000)
    flow = ["create", "--flow", "create,activate,get", "-c", "8", "-w", "0", "-n", str(first), "--uid-out", str(path)]
    run(server, pki, flow, tls)
    if count > first:
        many = ["create", "-c", "64", "-w", "0", "-n", str(count - first), "--uid-out", str(path), "--timeout", "60"]
        run(server, pki, many, tls)
    server.keys = ["--uid-file", str(path)]


def touch_keys(server: Server, pki: Path, count: int) -> None:
    """Get every key once: what is measured is the steady state, not the first unwrapping."""
    run(
        server, pki, ["get", *server.keys, "--uid-order", "seq", "-c", "8", "-w", "0", "-n", str(count)], server.tls[-1]
    )
