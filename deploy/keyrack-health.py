#!/usr/bin/env python3
"""Asks a Keyrack how it does; exit code 0 or 1. For container engines, keepalived and people; no more than Python.

keyrack-health.py live              the administration API answers: restart what is not
keyrack-health.py ready             a root key has unwrapped something a moment ago: prefer those that are
keyrack-health.py listening         KMIP connections are taken: a node that lost its database closes this port

A server whose key manager is away is not ready, and still serves what it holds: never end it for that.
"""

import argparse
import http.client
import socket
import ssl
import sys


def main() -> int:
    """Ask once."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("what", choices=["live", "ready", "listening"])
    asked.add_argument("--host", default="127.0.0.1")
    asked.add_argument("--port", type=int, help="8443, and 5696 for listening")
    asked.add_argument("--name", default="localhost", help="what the certificate and api.hosts call it")
    asked.add_argument("--ca", help="PEM file of its authority; without it whoever answers is believed")
    asked.add_argument("--seconds", type=float, default=3)
    chosen = asked.parse_args()
    try:
        if chosen.what == "listening":
            socket.create_connection((chosen.host, chosen.port or 5696), chosen.seconds).close()
            return 0
        status = _status(chosen)
    except (OSError, http.client.HTTPException) as error:
        print(f"{chosen.what}: no: {error}", file=sys.stderr)  # noqa: T201
        return 1
    if status == 200:
        return 0
    print(f"{chosen.what}: no: HTTP {status}", file=sys.stderr)  # noqa: T201
    return 1


def _status(chosen: argparse.Namespace) -> int:
    context = ssl.create_default_context(cafile=chosen.ca)
    if chosen.ca is None:
        # Nothing secret is said, and on this machine nobody else answers.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    raw = socket.create_connection((chosen.host, chosen.port or 8443), chosen.seconds)
    with context.wrap_socket(raw, server_hostname=chosen.name) as line:
        line.sendall(f"GET /health/{chosen.what} HTTP/1.1\r\nHost: {chosen.name}\r\nConnection: close\r\n\r\n".encode())
        with http.client.HTTPResponse(line) as answer:
            answer.begin()
            return answer.status


if __name__ == "__main__":
    sys.exit(main())
