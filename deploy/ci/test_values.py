"""Every value has an effect, and values that cannot work are refused with a message."""

import functools
import json
import re

import pytest
import yaml
from chart import CHART, helm, notes, refusal, text, values_file


def leaves(values, above=()):
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*above, name))
        else:
            yield (*above, name), value


DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
POLICY_SCHEMA = CHART.parents[2] / "docs" / "policy.schema.json"
EVERYTHING = yaml.safe_load(open(values_file("everything"), encoding="utf-8"))


# Values that cannot be left out alone: the value to leave out with it, or another value for it.
TOGETHER = {("linux", "kubeletRootDir"): ("secrets-store-csi-driver", "linux", "kubeletRootDir")}
OTHERWISE = {("serviceAccountJwks",): "/keys/others.json", ("serviceAccountIssuer",): "https://others.example"}
OWN = [path for path, _ in leaves(EVERYTHING) if path[0] != "secrets-store-csi-driver"]


def without(path):
    """The values of everything.yaml except one."""
    values = json.loads(json.dumps(EVERYTHING))
    for gone in filter(None, [path, TOGETHER.get(path)]):
        *above, last = gone
        inner = functools.reduce(dict.__getitem__, above, values)
        del inner[last]
        if path in OTHERWISE:
            inner[last] = OTHERWISE[path]
    return values


@pytest.mark.parametrize("path", OWN, ids=".".join)
def test_every_value_changes_what_is_rendered(path, tmp_path):
    fewer = tmp_path / "values.yaml"
    fewer.write_text(yaml.safe_dump(without(path)))
    assert text(f"--values={fewer}") != text(f"--values={values_file('everything')}")


def test_every_value_is_tested():
    known = {path for path, _ in leaves(DEFAULTS) if path[0] != "secrets-store-csi-driver"}
    known = {path for path in known if path[:2] != ("linux", "affinity")}
    tried = set(OWN) | {path[:-1] for path in OWN}
    tested_by_name = {("linux", "enabled"), ("linux", "image", "tag"), ("rbac", "install"), ("windows", "enabled")}
    tested_by_name |= {("policy", "configMap")}
    assert known - tried == tested_by_name


RULE = "policy.rules[0].namespaces[0]=team-a,policy.rules[0].vaults[0]=shared"
REFUSED = [
    ("windows.enabled=true", "windows.enabled: there is no provider for Windows nodes"),
    ("enableArcExtension=true", "enableArcExtension: the Azure Arc extension installs its own provider"),
    ("rbac.pspEnabled=true", "rbac.pspEnabled: Kubernetes removed PodSecurityPolicy"),
    ("cloud.environment.name=x", "cloud.environment: not supported; set the parameter cloudEnvFileName"),
    (
        "linux.image.repository=mirror.example/oss/v2/azure/secrets-store/provider-azure",
        "is the Go provider's image; set the repository of this provider's image",
    ),
    ("providerName=Azure", 'providerName: "Azure" cannot be the name of a socket'),
    ("providerName=" + 31 * "a", "use 1 to 30 characters of a-z, 0-9 and -"),
    ("metricsAddr=localhost:8898", 'metricsAddr: "localhost:8898" is not a port'),
    ("metricsAddr=65536", 'metricsAddr: "65536" is not a port'),
    ("metricsAddr=8989", "metricsAddr and linux.healthzPort: both have the same port"),
    ("drainTimeout=soon", 'drainTimeout: "soon" is not a duration; use one such as 30s'),
    ("linux.healthzTimeout=1.5s", 'linux.healthzTimeout: "1.5s" is not a duration'),
    ("rotationMaxAge=-1m", 'rotationMaxAge: "-1m" is not a duration'),
    ("rotationMaxAgeLimit=1d", 'rotationMaxAgeLimit: "1d" is not a duration'),
    ("rotationMaxAge=25h", "rotationMaxAge: 25h exceeds rotationMaxAgeLimit (24h)"),
    ("linux.healthzPath=live", 'linux.healthzPath: "live" is not an absolute path'),
    ("linux.providersDir=sockets", 'linux.providersDir: "sockets" is not an absolute path'),
    ("linux.providersDir=/sockets", "linux.providersDir: the driver looks for sockets in"),
    (
        "fileWriter=provider,linux.kubeletRootDir=/kubelet",
        "linux.kubeletRootDir: /kubelet differs from /var/lib/kubelet in",
    ),
    ("linux.image.tag=v1.8.2", "linux.image.tag: v1.8.2 is a version of the Go provider"),
    ("cloud.name=AzureMarsCloud", 'cloud.name: "AzureMarsCloud" is not a cloud'),
    ("defaultTenantID=a/b", 'defaultTenantID: "a/b" is not a tenant'),
    ("allowedVaultSuffixes={https://vault.example}", "is not a DNS suffix; use one such as vault.azure.net"),
    ("tokenProxy.url=http://proxy.example", 'tokenProxy.url: "http://proxy.example" is not an https URL'),
    ("serviceAccountJwks=/keys", "serviceAccountJwks and serviceAccountIssuer must be set together"),
    ("serviceAccountIssuer=https://issuer.example", "serviceAccountJwks and serviceAccountIssuer must be set together"),
    (RULE + ",policy.configMap=policy", "policy.rules and policy.configMap: only one can be set"),
    ("policy.rules[0].namespaces[0]=team-a", "missing property 'vaults'"),
    (RULE + ",policy.rules[0].deny=true", "additional properties 'deny' not allowed"),
    ("policy.configMap=My_Policy", "'/policy/configMap'"),
    ("linux.updateStrategy.rollingUpdate.maxSurge=1", "maxSurge does not work with linux.hostNetwork=true"),
    (
        "secrets-store-csi-driver.enableSecretRotation=true,secrets-store-csi-driver.linux.image.tag=v1.5.6",
        "driver v1.5.6 cannot rotate with the permissions of the driver's chart 1.6",
    ),
    ("metricsAddr=0,monitoring.scrape=podMonitor", "podMonitor needs metrics, but metricsAddr is 0"),
    ("monitoring.scrape=true", "'/monitoring/scrape': value must be one of 'none', 'podMonitor', 'annotations'"),
    ("linux.healthzPort=65536", "'/linux/healthzPort': maximum: got 65,536, want 65,535"),
    ("logVerbosity=11", "'/logVerbosity': maximum: got 11, want 10"),
    ("logFormatJSON=yes", "'/logFormatJSON': 'yes' does not match pattern"),
    ("fileWriter=kubelet", "'/fileWriter': value must be one of 'driver', 'provider'"),
    ("staleIfError=soon", "staleIfError"),
    ("failoverVaults.main=x", "'/failoverVaults/main'"),
    ("volumeMemoryBytes=1", "'/volumeMemoryBytes': minimum: got 1, want"),
    ("auditLog=audit.log", "'/auditLog': 'audit.log' does not match pattern"),
    ("auditLog=/audit.log", "'/auditLog': '/audit.log' does not match pattern"),
    ("cloudEnvironmentDir=clouds", "'/cloudEnvironmentDir': 'clouds' does not match pattern"),
    ("cacheMaxBytes=32Mi", "'/cacheMaxBytes': got string, want integer"),
    ("logVerbostiy=1", "additional properties 'logVerbostiy' not allowed"),
    ("linux.image.digest=latest", "'/linux/image/digest': 'latest' does not match pattern"),
    # `helm upgrade --reuse-values` from the Go chart: none of the values that only this chart has are set.
    ("providerName=null", "missing property 'providerName'"),
]


@pytest.mark.parametrize(("values", "message"), REFUSED)
def test_a_wrong_value_is_refused_with_a_message(values, message):
    assert message in refusal(f"--set={values}")


def test_every_refusal_is_documented():
    templates = (CHART / "templates" / "_refusals.tpl").read_text(encoding="utf-8")
    # The beginning of each message, up to its colon; and the names of values that share a message.
    begins = re.findall(r'append \$found \(?(?:printf )?"([^:]+):', templates)
    shared = re.findall(r'^ +"([A-Za-z.]+)" \.Values', templates, re.MULTILINE)
    named = {word for text in [*begins, *shared] for word in text.split() if re.fullmatch(r"[a-z-]+[A-Z.][A-Za-z.-]*", word)}
    assert len(named) > 25, named
    page = (CHART.parents[2] / "docs" / "install.md").read_text(encoding="utf-8")
    documented = page.split("## Values that are refused")[1].split("\n## ")[0]
    assert {name for name in named if f"`{name}`" not in documented} == set()


def test_all_wrong_values_are_reported_at_once():
    message = refusal("--set=windows.enabled=true,providerName=A,drainTimeout=soon")
    assert all(one in message for one in ("windows.enabled:", "providerName:", "drainTimeout:"))


def test_the_notes_warn_when_rotation_is_off():
    assert "WARNING: rotation is off." in notes()
    assert "WARNING: rotation is off." not in notes("--set=secrets-store-csi-driver.enableSecretRotation=true")
    assert "only if rotation is on there" in notes(f"--values={values_file('canary')}")


def test_the_notes_warn_of_the_go_charts_images():
    printed = notes(f"--values={values_file('go-chart')}")
    assert "WARNING: linux.image names the Go provider's image" in printed
    assert "WARNING: your values pin the driver v1.5.6" in printed


def test_the_notes_warn_of_a_canary_that_would_wait_for_ports():
    canary = f"--values={values_file('canary')}"
    assert "waits for the ports 8989 and 8898" in notes(canary, "--set=linux.hostNetwork=true")
    assert "waits for the ports" not in notes(canary)


def test_the_schema_of_a_rule_equals_the_providers():
    chart = json.loads((CHART / "values.schema.json").read_text())["properties"]["policy"]["properties"]["rules"]
    provider = json.loads(POLICY_SCHEMA.read_text())["properties"]["rules"]
    assert chart["items"] == provider["items"]


def test_helm_lint_finds_nothing():
    done = helm("lint", "--strict", "--quiet", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr
