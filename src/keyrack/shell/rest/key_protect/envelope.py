"""Key Protect's envelope: collections of resources, and errors in the same form.

Branch on ``reasons[0].code``: the texts are for people. An empty collection leaves ``resources`` out.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

JSON: Final = "application/json"
MORE: Final = "https://cloud.ibm.com/apidocs/key-protect"
"""Where the API is described by whoever has made it."""
_PLAIN: Final = frozenset({401, 403, 404, 410, 413, 429})
"""Statuses whose text is whole in itself; the others lead to the reasons."""


def vendor(kind: str) -> str:
    """A media type of Key Protect: ``vendor("key")`` is ``application/vnd.ibm.kms.key+json``."""
    return f"application/vnd.ibm.kms.{kind}+json"


def collection(
    kind: str, resources: Sequence[Any], *, total: int | None = None, also: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Resources of one kind; ``total`` is how many there are beyond this page, ``also`` goes into the metadata."""
    metadata: dict[str, Any] = {"collectionType": vendor(kind), "collectionTotal": len(resources)}
    if total is not None:
        metadata["totalCount"] = total
    answer: dict[str, Any] = {"metadata": metadata | dict(also or {})}
    if resources:
        answer["resources"] = list(resources)
    return answer


def error(
    status: int, text: str, *, code: str = "", failure: str = "", target: tuple[str, str] | None = None
) -> dict[str, Any]:
    """An error: ``text`` says what is wrong, ``failure`` what could not be done for it, ``code`` is for programs."""
    phrase = HTTPStatus(status).phrase
    whole = text if status in _PLAIN or not failure else f"{failure}: Please see `reasons` for more details ({code})"
    resource: dict[str, Any] = {"errorMsg": f"{phrase}: {whole}"}
    if code:
        reason: dict[str, Any] = {"code": code, "message": text, "status": status, "moreInfo": MORE}
        if target is not None:
            reason["target"] = {"type": target[0], "name": target[1]}
        resource["reasons"] = [reason]
    return {"metadata": {"collectionType": vendor("error"), "collectionTotal": 1}, "resources": [resource]}
