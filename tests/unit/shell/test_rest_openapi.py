"""The document that the API serves of itself: whole, and about the calls that IBM's SDK makes."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from keyprotect import IbmKeyProtectApiV2

from keyrack.shell.rest.key_protect.app import KeyProtectFace
from keyrack.shell.rest.key_protect.premises import Premises
from keyrack.testing.key_houses import a_house
from keyrack.testing.key_protect import key_protect

OWN = {
    "get_token",
    "get_oidc_token",
    "get_keys_of_tokens",
    "get_openid_configuration",
    "get_openid_configuration_of_host",
    "health",
}
"""What is not of the Key Protect API."""


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    house = a_house(tmp_path_factory.mktemp("keyrack"))
    yield KeyProtectFace(Premises(house=house)).document()
    house.close()


def calls(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            yield method, path, call


def test_there_is_every_call_of_ibms_sdk_and_by_its_name(document: Any) -> None:
    methods = inspect.getmembers(IbmKeyProtectApiV2, inspect.isfunction)
    of_the_sdk = {name for name, method in methods if 'url = "/api' in inspect.getsource(method)}

    assert of_the_sdk == {call["operationId"] for _, _, call in calls(document)} - OWN


def test_each_call_goes_where_ibms_sdk_sends_it(document: Any) -> None:
    """Method and path, as they stand in the SDK's source."""
    here = {call["operationId"]: (method, re.sub(r"{.*?}", "{}", path)) for method, path, call in calls(document)}

    for name in here.keys() - OWN:
        source = inspect.getsource(getattr(IbmKeyProtectApiV2, name))
        url, method = re.search(r'url = "(.*?)"', source), re.search(r'method="(.*?)"', source)
        assert url is not None
        assert method is not None
        assert (method[1].lower(), re.sub(r"{.*?}", "{}", url[1])) == here[name]


def test_every_query_parameter_of_ibms_sdk_is_told(document: Any) -> None:
    for _, _, call in calls(document):
        if call["operationId"] not in OWN:
            source = inspect.getsource(getattr(IbmKeyProtectApiV2, call["operationId"]))
            params = re.search(r"params = {(.*?)}", source, re.DOTALL)
            wanted = set(re.findall(r'"(\w+)":', params[1])) if params else set()
            assert wanted <= {each.get("name") for each in call["parameters"]}, call["operationId"]


def test_every_answer_is_told_with_its_body(document: Any) -> None:
    for method, path, call in calls(document):
        assert {"429", "500"} <= set(call["responses"]), path
        assert "422" not in call["responses"] or "wrap" in path or "{id}" in path
        for status, answer in call["responses"].items():
            told = answer.get("content", {})
            assert all("schema" in each for each in told.values())
            assert told or status in ("200", "201", "204"), (method, path, status)
        if path.startswith("/api/v2"):
            assert [{"token": []}] == call["security"]
            assert {"400", "401", "403", "503"} <= set(call["responses"])


def test_no_schema_is_fastapis_own(document: Any) -> None:
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])
    assert "HTTPValidationError" not in str(document["paths"])


def test_every_reference_leads_somewhere(document: Any) -> None:
    for reference in set(re.findall(r"'#/components/(\w+/[\w-]+)'", str(document))):
        kind, name = reference.split("/")
        assert name in document["components"][kind]


def test_bodies_forbid_what_they_do_not_know(document: Any) -> None:
    for _, _, call in calls(document):
        for content in call.get("requestBody", {}).get("content", {}).values():
            schema = content["schema"]
            reference = schema.get("$ref") or next((each.get("$ref") for each in schema.get("anyOf", ())), None)
            if reference:
                assert document["components"]["schemas"][reference.rpartition("/")[2]]["additionalProperties"] is False


def test_it_is_served_without_a_token(document: Any, tmp_path: Path) -> None:
    house = a_house(tmp_path)
    try:
        with key_protect(house, tmp_path) as address:
            told = address.ask("GET", "/api/v2/openapi.json")
    finally:
        house.close()

    assert (200, "3.1.0") == (told.status, told.json["openapi"])
    assert set(document["paths"]) == set(told.json["paths"])
