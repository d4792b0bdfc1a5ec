"""FastAPI and uvicorn over TLS as they come, with one canned answer for each call: the floor of the REST face.

    python -m bench.bare_face CERTIFICATE KEY ANSWERS.json

``ANSWERS.json`` lists method, path, status and text of each answer. The port is printed once it listens.
"""

import asyncio
import json
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response


def app_of(answers: list[tuple[str, str, int, str]]) -> FastAPI:
    """An application that reads each body whole, and answers."""
    app = FastAPI(openapi_url=None)
    for method, path, status, text in answers:
        app.add_api_route(path, _canned(text.encode(), status), methods=[method])
    return app


def _canned(body: bytes, status: int) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        await request.body()
        return Response(body, status, media_type="application/json")

    return answer


def main() -> None:
    certificate, key, answers = sys.argv[1:]
    config = uvicorn.Config(
        app_of(json.loads(Path(answers).read_text())),
        ssl_certfile=certificate,
        ssl_keyfile=key,
        http="h11",
        loop="asyncio",
        access_log=False,
        log_level="warning",
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print(listening.getsockname()[1], flush=True)
        asyncio.run(uvicorn.Server(config).serve([listening]))


if __name__ == "__main__":
    main()
