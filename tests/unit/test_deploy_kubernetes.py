"""The manifests for Kubernetes agree with one another, with the configuration, and with what the server answers."""

import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from keyrack.shell.config.whole import Config, load
from keyrack.shell.rest.v1.health import opened

PLACE = Path(__file__).parents[2] / "deploy" / "kubernetes"
CONTAINERFILE = PLACE.parent / "container" / "Containerfile"
VALIDATOR = "kubernetes_validate"


def documents(name: str) -> Iterator[dict[str, Any]]:
    """What is in a file."""
    yield from yaml.safe_load_all((PLACE / name).read_text())


KUSTOMIZATION = next(documents("kustomization.yaml"))
FILES: list[str] = [*KUSTOMIZATION["resources"], "secrets.example.yaml"]
ALL = [each for name in FILES for each in documents(name)]


def of(kind: str) -> list[dict[str, Any]]:
    """All of a kind."""
    return [each for each in ALL if each["kind"] == kind]


SET = of("StatefulSet")[0]
POD = SET["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]
PORTS = {each["name"]: each["containerPort"] for each in CONTAINER["ports"]}


@pytest.fixture(scope="module")
def config() -> Config:
    """As a node loads it."""
    return load(PLACE / "keyrack.toml", {})


@pytest.mark.skipif(importlib.util.find_spec(VALIDATOR) is None, reason="needs kubernetes-validate: pip install")
@pytest.mark.parametrize("version", ["1.29", "1.34"])
def test_every_manifest_has_the_schema_of_kubernetes(version: str) -> None:
    """Strictly: a field that is not known would be dropped in silence."""
    validator = importlib.import_module(VALIDATOR)

    for each in ALL:
        validator.validate(each, version, strict=True)


def test_every_file_is_named() -> None:
    """In the kustomization, but for the examples of secrets."""
    assert {each.name for each in PLACE.glob("*.yaml")} == {*FILES, "kustomization.yaml"}
    assert KUSTOMIZATION["configMapGenerator"][0]["files"] == ["keyrack.toml"]
    assert {each["name"] for each in KUSTOMIZATION["images"]} == {CONTAINER["image"]}


def test_ports_are_those_of_the_configuration(config: Config) -> None:
    """Of the container, of its image, and of whatever leads to it."""
    assert PORTS == {"kmip": config.kmip.port, "api": config.api.port}
    assert f"EXPOSE {config.kmip.port} {config.api.port}\n" in CONTAINERFILE.read_text()
    for service in of("Service"):
        for port in service["spec"]["ports"]:
            assert (port["name"], port["targetPort"], port["port"]) == (port["name"], port["name"], PORTS[port["name"]])
    let_in = [port["port"] for rule in of("NetworkPolicy")[0]["spec"]["ingress"] for port in rule["ports"]]
    assert sorted(let_in) == sorted(PORTS)


def test_probes_ask_what_is_there(config: Config) -> None:
    """An end by liveness takes away keys that are served, so it asks for the process alone."""
    paths = {route.path for route in opened.routes if hasattr(route, "path")}
    probes = {name: CONTAINER[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}

    assert {each["httpGet"]["path"] for each in probes.values()} <= paths
    assert probes["liveness"]["httpGet"]["path"] == probes["startup"]["httpGet"]["path"] == "/health/live"
    assert probes["readiness"]["httpGet"]["path"] == "/health/ready"
    for probe in probes.values():
        assert (probe["httpGet"]["port"], probe["httpGet"]["scheme"]) == ("api", "HTTPS")
        # The kubelet would name the pod's address, and the API refuses names that it does not know.
        assert probe["httpGet"]["httpHeaders"] == [{"name": "Host", "value": "localhost"}]
    assert config.api.enabled
    assert config.api.host == "0.0.0.0"


def test_a_node_may_do_little() -> None:
    """Pod security "restricted", and a root that nothing is written to."""
    pod, container = POD["securityContext"], CONTAINER["securityContext"]

    assert of("Namespace")[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert (pod["runAsNonRoot"], pod["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    assert f"USER {pod['runAsUser']}:{pod['runAsGroup']}\n" in CONTAINERFILE.read_text()
    assert pod["fsGroup"] == pod["runAsGroup"]
    assert pod["fsGroupChangePolicy"] == "OnRootMismatch"
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["automountServiceAccountToken"] is False


def test_what_is_configured_is_mounted(config: Config) -> None:
    """Each file that the configuration names, from a Secret of that name, for the group alone."""
    volumes = {each["name"]: each for each in POD["volumes"]}
    mounts = {each["name"]: each["mountPath"] for each in CONTAINER["volumeMounts"]}
    projected = volumes["configuration"]["projected"]
    secrets = {each["metadata"]["name"]: set(each["stringData"]) for each in of("Secret")}
    there = set()
    for source in projected["sources"]:
        if "secret" in source:
            for item in source["secret"]["items"]:
                assert item["key"] in secrets[source["secret"]["name"]]
                there.add(f"{mounts['configuration']}/{item['path']}")
    cloud = config.of_ibm["cloud"]
    assert config.integrity is not None
    named = {config.kmip.certificate, config.kmip.key, config.integrity.key_file, config.catalog.password_file}

    assert projected["defaultMode"] == 0o440
    assert {str(each) for each in {*named, cloud.iam.api_key_file}} | {"/etc/keyrack/database/ca.crt"} == there
    assert "sslrootcert=/etc/keyrack/database/ca.crt" in config.catalog.url
    assert str(config.directory) == mounts["state"]
    assert {*volumes, *(each["metadata"]["name"] for each in SET["spec"]["volumeClaimTemplates"])} == set(mounts)
    assert KUSTOMIZATION["configMapGenerator"][0]["name"] == projected["sources"][0]["configMap"]["name"]


def test_nodes_have_names_and_endpoints_of_their_own() -> None:
    """vCenter lists each; none is chosen for a client because it came before."""
    replicas = SET["spec"]["replicas"]
    services = {each["metadata"]["name"]: each["spec"] for each in of("Service")}
    variables = {each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"] for each in CONTAINER["env"]}

    assert variables == {"KEYRACK_DEPLOYMENT__NODE": "metadata.name"}
    assert replicas == 2
    assert SET["spec"]["serviceName"] in services
    for number in range(replicas):
        endpoint = services[f"keyrack-{number}"]
        assert endpoint["selector"] == {"statefulset.kubernetes.io/pod-name": f"keyrack-{number}"}
        assert endpoint["publishNotReadyAddresses"] is True
        assert endpoint["externalTrafficPolicy"] == "Local"
    assert {each["sessionAffinity"] for name, each in services.items() if name != "keyrack-nodes"} == {"None"}
    labels = SET["spec"]["template"]["metadata"]["labels"]
    for chosen in (SET["spec"]["selector"], of("PodDisruptionBudget")[0]["spec"]["selector"]):
        assert chosen["matchLabels"].items() <= labels.items()
    assert of("NetworkPolicy")[0]["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


def test_the_environment_is_known(config: Config) -> None:
    """A variable of a wrong name would be refused at the start."""
    given = {each["name"]: "keyrack-0" for each in CONTAINER["env"]}

    assert load(PLACE / "keyrack.toml", given).deployment.node == "keyrack-0"


def test_the_network_policy_leads_to_database_and_key_manager(config: Config) -> None:
    """As the configuration says."""
    ports = {port["port"] for rule in of("NetworkPolicy")[0]["spec"]["egress"] for port in rule["ports"]}

    assert {53, 443, 5432} == ports
    assert config.of_ibm
    assert config.catalog.url.startswith("postgresql://")
