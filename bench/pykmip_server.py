"""PyKMIP's own server as a process of its own: something to compare with, and something to check the rigs against.

PyKMIP is not imported by anything else of the benchmark. It speaks TLS 1.2 alone and keeps keys unencrypted.
"""

import argparse
import ssl
import sys
import threading
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

from kmip.services.server import KmipServer  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="where its database and log go")
    parser.add_argument("--port", type=int, required=True)
    for name in ("certificate", "key", "ca"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--max-seconds", type=int, default=3600, help="end by itself after this time")
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    policies = given.directory / "policies"
    policies.mkdir(exist_ok=True)
    server = KmipServer(
        hostname="127.0.0.1",
        port=given.port,
        certificate_path=str(given.certificate),
        key_path=str(given.key),
        ca_path=str(given.ca),
        auth_suite="TLS1.2",
        config_path=None,
        log_path=str(given.directory / "pykmip.log"),
        policy_path=str(policies),
        enable_tls_client_auth=True,
        logging_level="ERROR",
        database_path=str(given.directory / "pykmip.db"),
    )
    ending = threading.Timer(given.max_seconds, sys.exit)
    ending.daemon = True
    ending.start()
    server.start()
    print(f"ready on {given.port}, {ssl.OPENSSL_VERSION}", flush=True)
    server.serve()
    # Its orderly end joins every session thread for ten seconds each; nothing here needs that.
    server.policy_monitor.stop()
    server.manager.shutdown()


if __name__ == "__main__":
    main()
