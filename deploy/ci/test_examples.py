"""The chart accepts the values in examples/, and the examples do what their READMEs promise."""

import kubernetes_validate
import pytest
import yaml
from chart import HERE, container, objects, pod
from test_rendered import KUBERNETES

EXAMPLES = HERE.parent.parent / "examples"
# Velero's values are for its own chart.
VALUES = sorted(path for path in EXAMPLES.glob("*/values*.yaml") if path.parent.name != "velero")
# The quickstart's seed is a file of the emulator.
OTHERS = {*EXAMPLES.glob("*/values*.yaml"), EXAMPLES / "quickstart" / "seed.yaml"}
MANIFESTS = sorted({*EXAMPLES.glob("*/*.yaml")} - OTHERS)


def rendered(folder):
    return objects(f"--values={EXAMPLES / folder / 'values.yaml'}")


@pytest.mark.parametrize("path", VALUES, ids=lambda path: path.parent.name)
def test_the_chart_accepts_the_values(path):
    assert container(objects(f"--values={path}"))["args"]


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_kubernetes_accepts_the_manifests(path, version):
    for one in yaml.safe_load_all(path.read_text()):
        # The schemas of Kubernetes do not contain the driver's resources; tests/it/docs.rs checks those.
        if one["kind"] != "SecretProviderClass":
            kubernetes_validate.validate(one, version, strict=True)


def test_kinds_provider_reaches_the_emulator_on_its_node():
    provider = pod(rendered("kind"))
    (only,) = provider["containers"]
    environment = {pair["name"]: pair["value"] for pair in only["env"]}
    documents = yaml.safe_load_all((EXAMPLES / "kind" / "emulator.yaml").read_text())
    emulator = next(one for one in documents if one["kind"] == "DaemonSet")["spec"]["template"]["spec"]
    arguments = dict(argument.split("=", 1) for argument in emulator["containers"][0]["args"])
    assert provider["hostNetwork"] and emulator["hostNetwork"]
    assert environment["HTTPS_PROXY"] == "http://" + arguments["--proxy-listen"]
    host_path = {volume["name"]: volume["hostPath"] for volume in emulator["volumes"] if "hostPath" in volume}
    assert host_path["shared"] in [volume.get("hostPath") for volume in provider["volumes"]]


def test_the_canary_uses_no_port_of_the_node_and_no_driver_of_its_own():
    everything = rendered("canary")
    assert not pod(everything).get("hostNetwork")
    assert [one for one in everything if one["kind"] == "CSIDriver"] == []
    assert "--endpoint=unix:///provider/canary.sock" in container(everything)["args"]


def test_rotation_and_sync_are_the_drivers():
    drivers = [one for one in rendered("rotation") if one["kind"] == "CSIDriver"]
    assert drivers[0]["spec"]["requiresRepublish"] is True
    roles = [one["metadata"]["name"] for one in rendered("environment-variables") if one["kind"] == "ClusterRole"]
    assert "secretprovidersyncing-role" in roles
