"""IBM Key Protect as the key manager, from ``keyrack init`` to a client's key; a real process plays IBM over HTTPS."""

import json
import os
import pty
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kmip.core import enums
from kmip.pie.client import ProxyKmipClient

from keyrack.testing.key_manager_process import KeyManagerProcess, key_manager_process
from keyrack.testing.process import Deployment

ELSEWHERE = "6dd8a2f1-8f12-4b6a-9c0e-3a1f3f6b7d21"
AES = enums.CryptographicAlgorithm.AES
BOTH = [enums.CryptographicUsageMask.ENCRYPT, enums.CryptographicUsageMask.DECRYPT]
CHECKS = [
    "address and TLS",
    "clock",
    "identity",
    "reading",
    "root key",
    "wrap and unwrap",
    "binding to strings",
    "policies",
    "standard key",
    "latency",
]


@dataclass(frozen=True, slots=True)
class Ibm:
    """What plays IBM, and what the customer has of it."""

    running: KeyManagerProcess
    root_key: str
    api_key: Path

    def options(self) -> list[str]:
        """What ``keyrack init`` is told of it."""
        url = self.running.address.url
        return [
            *("--key-manager", "key-protect", "--url", url, "--iam-url", url),
            *("--kms-instance", self.running.instance, "--api-key-file", str(self.api_key)),
            *("--ca-bundle", str(self.running.address.authority)),
        ]

    def standard_keys(self) -> list[str]:
        """The names of the standard keys that the customer sees."""
        address = self.running.address
        headers = {
            "Authorization": f"Bearer {address.login(self.api_key.read_text().strip())}",
            "Bluemix-Instance": self.running.instance,
        }
        told = address.ask("GET", "/api/v2/keys?extractable=true", headers=headers).json
        return sorted(each["name"] for each in told.get("resources", []))


@pytest.fixture(scope="module")
def ibm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ibm]:
    """A running key manager with a root key, and the API key of a Manager in a file."""
    directory = tmp_path_factory.mktemp("ibm")
    with key_manager_process(directory / "key-manager") as running:
        api_key = directory / "api.key"
        api_key.touch(mode=0o600)
        api_key.write_text(running.new_api_key("keyrack", "Manager") + "\n")
        yield Ibm(running, running.deployment.read("root-key", "create", "vmware")["identifier"], api_key)


@pytest.fixture(scope="module")
def deployment(ibm: Ibm, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """One at IBM that does not serve; tests name their own instances and root keys."""
    return Deployment(directory=tmp_path_factory.mktemp("deployment") / "k").initialise(*ibm.options())


@pytest.fixture
def fresh(ibm: Ibm, tmp_path: Path) -> Iterator[Deployment]:
    """One of its own, which may serve."""
    made = Deployment(directory=tmp_path / "k").initialise(*ibm.options())
    yield made
    made.stop()


def changed(deployment: Deployment, **settings: str) -> Deployment:
    """The same with other settings of its key manager, by the environment."""
    names: Mapping[str, str] = {f"KEYRACK_KEY_MANAGERS__IBM__{name.upper()}": each for name, each in settings.items()}
    return Deployment(directory=deployment.directory, environment=names, authority=deployment.authority)


def told(done: "subprocess.CompletedProcess[str]") -> tuple[int, str]:
    """Exit code and what was told on standard error."""
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stderr.strip()


def checked(deployment: Deployment, *words: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """Exit code of a check, and each of its steps with its verdict and what was told."""
    done = deployment.run("key-manager", "check", *words, "--json", check=False)
    (found,) = json.loads(done.stdout)["key_managers"]
    return done.returncode, {each["what"]: (each["verdict"], each["told"]) for each in found["checks"]}


def client_of(deployment: Deployment, address: tuple[str, int], pair: Path) -> ProxyKmipClient:
    """PyKMIP's client with a pair that ``keyrack cert issue`` has made."""
    authority = deployment.directory / "trusted.pem"
    authority.write_bytes(deployment.authority.pem)
    (certificate,), (key,) = pair.glob("*.pem"), pair.glob("*.key")
    return ProxyKmipClient(
        hostname=address[0],
        port=address[1],
        cert=str(certificate),
        key=str(key),
        ca=str(authority),
        ssl_version="PROTOCOL_TLS",
        kmip_version=enums.KMIPVersion.KMIP_1_4,
    )


@pytest.mark.parametrize("hierarchy", ["direct", "two-level"])
def test_a_client_of_others_makes_a_key_that_the_customer_sees_at_ibm(
    ibm: Ibm, fresh: Deployment, tmp_path: Path, hierarchy: str
) -> None:
    """Create, Get, a restart, and Get again: each key is a standard key there, and its plaintext is nowhere."""
    before = ibm.standard_keys()
    created = fresh.read("instance", "create", "prod", "--root-key", ibm.root_key, "--hierarchy", hierarchy)
    fresh.run("cert", "issue", "prod", "--out", str(tmp_path / "pair"))
    with client_of(fresh, fresh.start(), tmp_path / "pair") as client:
        uid = client.create(AES, 256, cryptographic_usage_mask=BOTH)
        first = client.get(uid).value
    fresh.stop()
    with client_of(fresh, fresh.start(), tmp_path / "pair") as client:
        again = client.get(uid).value

    new = [name for name in ibm.standard_keys() if name not in before]
    assert ("key_manager", hierarchy, ibm.root_key) == (
        created["storage"],
        created["hierarchy"],
        created["root_key"],
    )
    assert (first, 32) == (again, len(first))
    assert f"vmware_kmip_{uid}" in new
    assert {"direct": 1, "two-level": 2}[hierarchy] == len(new)


def test_init_writes_no_secret_and_tells_what_comes_next(ibm: Ibm, tmp_path: Path) -> None:
    """No keystore is made here; the integrity root is, and only its owner reads it."""
    place = tmp_path / "k"
    made = Deployment(directory=place)

    said = made.run("init", "--directory", str(place), "--yes", *ibm.options(), configured=False)

    there = sorted(each.name for each in place.iterdir())
    assert there == ["catalog.db", "integrity.key", "journal", "keyrack.toml", "tls"]
    assert (32, 0o600) == (
        len((place / "integrity.key").read_bytes()),
        (place / "integrity.key").stat().st_mode & 0o777,
    )
    assert ibm.api_key.read_text().strip() not in made.configuration.read_text()
    steps = ("key-manager check", "root-key list", "instance create prod --root-key ID", "serve")
    assert [f"  keyrack {step} --config {made.configuration}" for step in steps] == said.stdout.splitlines()[-4:]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--key-manager", "key-protect", "--region", "eu-dd", "--kms-instance", ELSEWHERE], "region: 'eu-dd' cannot"),
        (["--key-manager", "key-protect", "--kms-instance", ELSEWHERE], "neither region nor url"),
        (["--key-manager", "hpcs", "--region", "eu-de"], "a key manager at IBM needs --kms-instance UUID"),
        (["--key-manager", "hpcs", "--region", "eu-de", "--kms-instance", "prod"], "it is not a UUID"),
        (["--key-manager", "hpcs", "--url", "http://x", "--kms-instance", ELSEWHERE], "speak https alone"),
        (["--region", "eu-de"], "--region goes with --key-manager key-protect or hpcs alone"),
        (["--key-manager", "hpcs", "--protect", "hsm"], "with --key-manager hpcs no keystore is made here"),
    ],
)
def test_what_cannot_be_a_key_manager_is_refused_before_anything_is_made(
    tmp_path: Path, options: list[str], what: str
) -> None:
    """With what IBM calls it."""
    place = tmp_path / "k"

    code, said = told(
        Deployment(directory=place).run("init", "-d", str(place), "--yes", *options, configured=False, check=False)
    )

    assert (2, False) == (code, place.exists())
    assert what in said


def test_an_api_key_that_is_not_there_yet_is_the_first_step(tmp_path: Path) -> None:
    """It is typed without echo into a file that only its owner reads, and never on a command line."""
    place = tmp_path / "k"
    made = Deployment(directory=place)

    options = ("--key-manager", "key-protect", "--region", "eu-de", "--kms-instance", ELSEWHERE)
    said = made.run("init", "-d", str(place), "--yes", *options, configured=False).stdout.splitlines()

    (at,) = (index for index, line in enumerate(said) if line == "Next:")
    assert f"  (umask 077; read -rsp 'API key: ' KEY; echo \"$KEY\" > {place}/ibm.key)" == said[at + 1]
    code, why = told(made.run("key-manager", "check", check=False))
    assert (2, f"key_managers.ibm.iam.api_key_file: {place}/ibm.key cannot be read: no such file or directory") == (
        code,
        why.partition(";")[0].removeprefix("keyrack: "),
    )


def test_a_check_proves_everything_that_keyrack_will_ask(ibm: Ibm, deployment: Deployment) -> None:
    """Step by step, and nothing stays behind."""
    before = ibm.standard_keys()

    code, steps = checked(deployment, "--root-key", ibm.root_key)

    assert (0, CHECKS) == (code, list(steps))
    assert {"well"} == {verdict for verdict, _ in steps.values()}
    assert before == ibm.standard_keys()


def test_hyper_protect_crypto_services_are_checked_by_the_same_steps(ibm: Ibm, deployment: Deployment) -> None:
    """As far as it has Key Protect's API."""
    code, steps = checked(changed(deployment, type="hpcs"), "--root-key", ibm.root_key)

    assert (0, CHECKS) == (code, list(steps))
    assert {"well"} == {verdict for verdict, _ in steps.values()}


def test_a_check_for_people_marks_each_step(deployment: Deployment) -> None:
    """With what was found behind it."""
    done = deployment.run("key-manager", "check", "ibm", "--no-write")

    heading, *lines = done.stdout.splitlines()
    assert heading.startswith("ibm, key_protect at https://127.0.0.1:")
    assert [f"  {'–' if what == 'standard key' else '✓'} {what}" for what in CHECKS] == [
        line[: 4 + len(what)] for line, what in zip(lines, CHECKS, strict=True)
    ]


@pytest.mark.parametrize(
    ("role", "found"),
    [("Reader", ({"standard key"}, {"policies"})), ("Writer", (set(), {"policies", "standard key"}))],
)
def test_a_check_finds_the_role_that_is_missing(
    ibm: Ibm, deployment: Deployment, tmp_path: Path, role: str, found: tuple[set[str], set[str]]
) -> None:
    """A Reader keeps no keys, a Writer deletes none."""
    api_key = tmp_path / "api.key"
    api_key.touch(mode=0o600)
    api_key.write_text(ibm.running.new_api_key(f"a {role}", role))

    code, steps = checked(changed(deployment, iam__api_key_file=str(api_key)), "--root-key", ibm.root_key)

    failed, remarked = (
        {what for what, (verdict, _) in steps.items() if verdict == wanted} for wanted in ("failed", "remark")
    )
    assert (3 if failed else 0, *found) == (code, failed, remarked)
    assert "Manager" in steps["standard key"][1]


def test_a_wrong_api_key_is_told_by_everyone_who_meets_it(ibm: Ibm, deployment: Deployment, tmp_path: Path) -> None:
    """And nothing is entered."""
    api_key = tmp_path / "api.key"
    api_key.touch(mode=0o600)
    api_key.write_text("not-a-key-of-anybody\n")
    wrong = changed(deployment, iam__api_key_file=str(api_key))
    refused = "IAM gives no token for this identity: Provided API key could not be found (400 BXNIM0415E)"

    code, steps = checked(wrong)
    listing = told(wrong.run("root-key", "list", check=False))
    creating = told(wrong.run("instance", "create", "nobodys", "--root-key", ibm.root_key, check=False))

    assert (3, "failed", True) == (code, steps["identity"][0], steps["identity"][1].startswith(refused))
    assert {"skipped"} == {verdict for what, (verdict, _) in steps.items() if CHECKS.index(what) > 2}
    assert (1, True) == (listing[0], refused in listing[1])
    assert creating == (
        1,
        f"keyrack: key manager 'ibm' refuses to tell of root key '{ibm.root_key}' ({refused}); correct who asks in the "
        "configuration, or renew the API key or token there",
    )
    assert [] == deployment.read("instance", "list")


def test_another_instance_or_region_is_told_from_a_missing_role_as_well_as_ibm_tells_it(
    ibm: Ibm, deployment: Deployment
) -> None:
    """Key Protect answers 401 for all of them: what is told names them all."""
    wrong = changed(deployment, instance=ELSEWHERE)

    code, steps = checked(wrong)
    creating = told(wrong.run("instance", "create", "nobodys", "--root-key", ibm.root_key, check=False))

    verdict, why = steps["reading"]
    assert (3, "failed") == (code, verdict)
    assert "401" in why
    assert "region, `url` or `instance` (the GUID) are another instance's" in why
    assert (1, True) == (
        creating[0],
        "correct region and instance: Key Protect refuses all of these alike" in creating[1],
    )


def test_a_key_manager_that_cannot_be_reached_keeps_nothing_from_starting(ibm: Ibm, fresh: Deployment) -> None:
    """The server serves what else it has; the commands say where nobody answers."""
    fresh.run("instance", "create", "prod", "--root-key", ibm.root_key)
    away = changed(fresh, url="https://127.0.0.1:9", iam__url="https://127.0.0.1:9")
    nobody = "the connection to 127.0.0.1:9 fails"

    away.start()
    try:
        status = away.run("status", "--json", check=False)
        creating = told(away.run("instance", "create", "second", "--root-key", ibm.root_key, check=False))
        code, steps = checked(away)
    finally:
        away.stop()

    found = {each["what"]: each for each in json.loads(status.stdout)["findings"]}
    assert (3, "ok", "failed") == (status.returncode, found["listener"]["level"], found["root key of prod"]["level"])
    assert nobody in found["root key of prod"]["told"]
    assert (1, True) == (creating[0], nobody in creating[1])
    assert (3, "failed", True) == (code, steps["address and TLS"][0], nobody in steps["address and TLS"][1])


def test_a_certificate_of_somebody_else_is_not_trusted(ibm: Ibm, deployment: Deployment) -> None:
    """Whoever answers there, no API key is sent to it."""
    other = deployment.directory / "tls" / "ca.pem"

    code, steps = checked(changed(deployment, ca_bundle=str(other)))

    assert (3, "failed", "failed") == (code, steps["address and TLS"][0], steps["identity"][0])
    assert "is not trusted" in steps["identity"][1]


def test_root_keys_are_looked_after_at_ibm_with_the_same_commands(ibm: Ibm, deployment: Deployment) -> None:
    """Made, rotated, disabled, deleted; what is done is written down here as well."""
    made = deployment.read("root-key", "create", "passing")
    rotated = deployment.read("root-key", "rotate", "passing")
    asked = told(deployment.run("root-key", "disable", "passing", check=False))
    disabled = deployment.read("root-key", "disable", "passing", "--yes", "passing")
    early = told(deployment.run("root-key", "enable", made["identifier"][:8], check=False))
    deleted = deployment.read("root-key", "delete", "passing", "--yes", made["identifier"])
    listed = {row["name"]: row["state"] for row in deployment.read("root-key", "list")}
    gone = {row["name"]: row["state"] for row in deployment.read("root-key", "list", "--state", "deleted")}
    journal = deployment.read("audit", "list", "--key", made["identifier"])

    assert (["active", "active", "disabled", "deleted"], True) == (
        [each["state"] for each in (made, rotated, disabled, deleted)],
        made["version_identifier"] != rotated["version_identifier"],
    )
    assert (
        2,
        "keyrack: nobody is at a terminal to be asked; say --yes passing to disable it. Nothing was changed",
    ) == asked
    assert (1, True) == (early[0], "REQ_TOO_EARLY_ERR" in early[1])
    assert ("active", "deleted", False) == (listed["vmware"], gone["passing"], "passing" in listed)
    assert [f"vmware-solutions.kmip-root-key.{act}" for act in ("create", "rotate", "disable", "delete")] == [
        each["action"] for each in journal
    ]
    assert "passing" in {row["name"] for row in ibm.running.deployment.read("root-key", "list", "--state", "deleted")}


def test_a_person_reads_whom_it_concerns_and_types_the_name(ibm: Ibm, fresh: Deployment) -> None:
    """Another name changes nothing."""
    fresh.run("instance", "create", "prod", "--root-key", ibm.root_key)
    terminal, line = pty.openpty()
    with os.fdopen(terminal, "wb", buffering=0) as keyboard, os.fdopen(line, "rb", buffering=0) as stdin:
        keyboard.write(b"another\n")
        done = subprocess.run(
            [*fresh.command, "root-key", "disable", "vmware", "--config", str(fresh.configuration)],
            stdin=stdin,
            env=fresh.served_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    code, said = told(done)
    assert code == 1
    assert "wraps the keys of:" in said
    assert "prod" in said
    assert "A running ESXi host keeps its keys until it restarts." in said
    assert said.endswith("that is not its name; nothing was changed, and vmware is as it was")
    assert "active" == fresh.read("root-key", "show", "vmware")["state"]


def test_a_root_key_of_ones_own_material_travels_encrypted_to_ibm(deployment: Deployment, tmp_path: Path) -> None:
    """By an import token, as IBM documents it."""
    material = tmp_path / "material"
    material.touch(mode=0o600)
    material.write_bytes(bytes(range(32)))

    made = deployment.read("root-key", "import", "mine", "--material", str(material))
    _, steps = checked(deployment, "--root-key", made["identifier"], "--no-write")

    assert "it was imported, so rotating it needs new key material" in steps["root key"][1]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["root-key", "purge", "x"], "'ibmcloud kp key purge' does the same there"),
        (["root-key", "restore", "x"], "'ibmcloud kp key restore' does the same there"),
        (["keystore", "export", "--directory", "shares"], "this is about a keystore, a database and an API of this"),
        (["iam", "service-id", "list"], "it is IBM Key Protect"),
        (["key-manager", "instance", "list"], "it is IBM Key Protect"),
        (["key-manager", "serve"], "it is IBM Key Protect"),
        (["root-key", "create", "x", "--alias", "y"], "--alias is about embedded key managers, and 'ibm' is IBM Key"),
    ],
    ids=lambda each: " ".join(each[:2]) if isinstance(each, list) else "",
)
def test_what_an_embedded_key_manager_alone_can_do_is_told_so(
    deployment: Deployment, words: list[str], why: str
) -> None:
    """And where IBM has it."""
    code, said = told(deployment.run(*words, check=False))

    assert code == 2
    assert why in said


def test_the_list_of_key_managers_asks_nobody(deployment: Deployment, ibm: Ibm) -> None:
    """What is configured, and who asks; without the secret."""
    (row,) = changed(deployment, url="https://127.0.0.1:9").read("key-manager", "list")
    expected: dict[str, Any] = {
        "name": "ibm",
        "type": "key_protect",
        "address": "https://127.0.0.1:9",
        "instance": ibm.running.instance,
        "key_ring": "default",
        "identity": "API key in a file",
    }

    assert expected == row
