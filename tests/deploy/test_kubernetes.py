"""The Kubernetes manifests: valid by the schemas of several versions, and true of what they speak of."""

import re
from typing import Any

import kubernetes_validate
import pytest
import yaml

from docs.pages import ROOT
from lineshaft.config import Flags, load_config

FOLDER = ROOT / "packaging" / "kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))


def documents(name: str) -> dict[str, Any]:
    """The documents of a file by their kind."""
    return {one["kind"]: one for one in yaml.safe_load_all((FOLDER / name).read_text())}


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = documents("lineshaft.yaml")["StatefulSet"]["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("version", ["1.29.0", kubernetes_validate.latest_version()])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_they_are_valid(path: Any, version: str) -> None:
    found = list(yaml.safe_load_all(path.read_text()))
    assert found
    for one in found:
        kubernetes_validate.validate(one, version, strict=True)


def test_a_wrong_manifest_is_not() -> None:
    one = documents("lineshaft.yaml")["Service"]
    one["spec"]["prots"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)


def test_the_probes_ask_what_the_server_answers() -> None:
    from lineshaft.web.pages.health import HEALTH  # noqa: PLC0415 - the web stack is slow to import

    (container,) = pod()["containers"]
    paths = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/health/live", "livenessProbe": "/health/live", "readinessProbe": "/health/ready"}
    assert set(paths.values()) <= set(HEALTH)


def test_there_is_one_and_it_has_time_to_stop() -> None:
    spec = documents("lineshaft.yaml")["StatefulSet"]["spec"]
    assert spec["replicas"] == 1
    (container,) = pod()["containers"]
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod()["terminationGracePeriodSeconds"] > pause + 10, "a stop takes ten seconds at most"


def test_ports_volumes_and_user_are_those_of_the_image() -> None:
    dockerfile = (ROOT / "packaging" / "docker" / "Dockerfile").read_text()
    (container,) = pod()["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"jobs": 7419, "web": 7420}
    assert [word for word in container["args"] if word.startswith(":")] == [":7419", ":7420"]
    assert f"USER {pod()['securityContext']['runAsUser']}:{pod()['securityContext']['runAsGroup']}" in dockerfile
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert f'VOLUME ["{mounted["data"]}"]' in dockerfile
    claims = {
        claim["metadata"]["name"]
        for claim in documents("lineshaft.yaml")["StatefulSet"]["spec"]["volumeClaimTemplates"]
    }
    assert set(mounted) == claims | {volume["name"] for volume in pod()["volumes"]}


def test_the_configuration_is_one(tmp_path: Any) -> None:
    (tmp_path / "conf.d").mkdir()
    for name, text in documents("lineshaft.yaml")["ConfigMap"]["data"].items():
        (tmp_path / "conf.d" / name).write_text(text)
    flags = Flags(config=str(tmp_path), data=str(tmp_path / "data"), environment="production", binding=":7419")
    config = load_config(flags, {"FAKTORY_PASSWORD": "x"})
    (container,) = pod()["containers"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert config.storage.backups == mounted["backups"]
    assert config.log_format == "json"
    limit = int(re.sub(r"Gi$", "", container["resources"]["limits"]["memory"])) << 30
    assert config.storage.memory_bytes * 2 < limit
