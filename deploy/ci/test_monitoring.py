"""The chart's objects for Prometheus and Grafana."""

import json
import os
from pathlib import Path

import jsonschema
import pytest
import yaml
from chart import CHART, OPERATOR, container, daemonset, named, objects, of_set

NAME = "csi-csi-secrets-store-provider-azure"
ALL = "--set=monitoring.scrape=podMonitor,monitoring.alerts.enabled=true,monitoring.dashboard.enabled=true"
ALERTS = "--set=monitoring.alerts.enabled=true"


def strict(schema):
    """The schema with unknown fields refused, which the API server would prune."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = "properties" in schema and schema.get("type") == "object" and "additionalProperties" not in schema
    # Only Go allows flags in the middle of a pattern.
    kept = {name: strict(one) for name, one in schema.items() if (name, "(?i)" in str(one)) != ("pattern", True)}
    return kept | ({"additionalProperties": False} if closed else {})


def validate(one):
    """Validates an object against the schema of the Prometheus operator."""
    folder = Path(os.environ["PROMETHEUS_OPERATOR_CRDS"])
    crd = yaml.safe_load((folder / f"monitoring.coreos.com_{one['kind'].lower()}s.yaml").read_text())
    (version,) = (version for version in crd["spec"]["versions"] if version["name"] == "v1")
    jsonschema.validate(one["spec"], strict(version["schema"]["openAPIV3Schema"]["properties"]["spec"]))


def test_monitoring_objects_are_off_by_default():
    rendered = objects()
    assert not [one for one in rendered if one["apiVersion"] == OPERATOR or "dashboard" in one["metadata"]["name"]]
    annotations = daemonset(rendered)["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"kubectl.kubernetes.io/default-container": "provider-azure-installer"}


def test_every_object_is_valid_for_the_prometheus_operator():
    mine = [one for one in objects(ALL) if one["apiVersion"] == OPERATOR]
    assert [one["kind"] for one in mine] == ["PodMonitor", "PrometheusRule"]
    for one in mine:
        validate(one)


def test_an_unknown_field_of_a_monitoring_object_is_refused():
    wrong = named(objects(ALL), "PrometheusRule", NAME)
    wrong["spec"]["groups"][0]["rules"][1]["severity"] = "critical"
    with pytest.raises(jsonschema.ValidationError, match="severity"):
        validate(wrong)


def test_the_pod_monitor_finds_the_pods_and_their_port():
    rendered = objects(ALL)
    spec = named(rendered, "PodMonitor", NAME)["spec"]
    labels = daemonset(rendered)["spec"]["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    (endpoint,) = spec["podMetricsEndpoints"]
    assert endpoint["port"] in [one["name"] for one in container(rendered)["ports"]]


def test_the_objects_have_the_labels_that_the_operator_selects():
    rendered = of_set("everything")
    for kind in ("PodMonitor", "PrometheusRule"):
        assert named(rendered, kind, "vaults-on-nodes")["metadata"]["labels"]["release"] == "prometheus"


def test_annotations_have_the_metrics_port_and_the_users_values_win():
    own = r"--set=linux.podAnnotations.prometheus\.io/path=/other"
    rendered = objects("--set=monitoring.scrape=annotations,metricsAddr=:9898", own)
    assert daemonset(rendered)["spec"]["template"]["metadata"]["annotations"] == {
        "kubectl.kubernetes.io/default-container": "provider-azure-installer",
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "9898",
        "prometheus.io/path": "/other",
    }


def test_the_rules_are_those_of_the_file_except_for_the_age_of_stale_values():
    def rules(*values):
        return yaml.safe_dump(named(objects(ALERTS, *values), "PrometheusRule", NAME)["spec"])

    written = yaml.safe_dump(yaml.safe_load((CHART / "files" / "alerts.yaml").read_text()))
    assert "0.8 * 86400" in written and rules() == written
    assert rules("--set=staleIfError=1h30m") == written.replace("0.8 * 86400", "0.8 * 5400")


def test_grafana_gets_the_dashboard_of_the_file():
    dashboard = named(objects(ALL), "ConfigMap", f"{NAME}-dashboard")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    (given,) = dashboard["data"].values()
    assert json.loads(given) == json.loads((CHART / "files" / "dashboard.json").read_text())
