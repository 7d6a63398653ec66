"""Values: each changes something, and what cannot work is refused with a sentence."""

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


# A value that cannot be left out alone: the others that go with it, or another value for it.
TOGETHER = {("linux", "kubeletRootDir"): ("secrets-store-csi-driver", "linux", "kubeletRootDir")}
OTHERWISE = {("serviceAccountJwks",): "/keys/others.json", ("serviceAccountIssuer",): "https://others.example"}
OWN = [path for path, _ in leaves(EVERYTHING) if path[0] != "secrets-store-csi-driver"]


def without(path):
    """The values of everything.yaml but for one."""
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


def test_no_value_is_left_untried():
    known = {path for path, _ in leaves(DEFAULTS) if path[0] != "secrets-store-csi-driver"}
    known = {path for path in known if path[:2] != ("linux", "affinity")}
    tried = set(OWN) | {path[:-1] for path in OWN}
    tested_by_name = {("linux", "enabled"), ("linux", "image", "tag"), ("rbac", "install"), ("windows", "enabled")}
    tested_by_name |= {("policy", "configMap")}
    assert known - tried == tested_by_name


RULE = "policy.rules[0].namespaces[0]=team-a,policy.rules[0].vaults[0]=shared"
REFUSED = [
    ("windows.enabled=true", "windows.enabled: there is no provider for Windows nodes"),
    ("enableArcExtension=true", "enableArcExtension: the extension of Azure Arc brings its own provider"),
    ("rbac.pspEnabled=true", "rbac.pspEnabled: Kubernetes has no PodSecurityPolicy"),
    ("cloud.environment.name=x", "cloud.environment: a class names its cloud's environment file itself"),
    (
        "linux.image.repository=mirror.example/oss/v2/azure/secrets-store/provider-azure",
        "is the Go provider's image; name this provider's",
    ),
    ("providerName=Azure", 'providerName: "Azure" cannot name a socket'),
    ("providerName=" + 31 * "a", "write 1 to 30 of a-z, 0-9 and -"),
    ("metricsAddr=localhost:8898", 'metricsAddr: "localhost:8898" is not a port'),
    ("metricsAddr=65536", 'metricsAddr: "65536" is not a port'),
    ("metricsAddr=8989", "metricsAddr and linux.healthzPort: one port cannot serve both"),
    ("drainTimeout=soon", 'drainTimeout: "soon" is not a duration; write one such as 30s'),
    ("linux.healthzTimeout=1.5s", 'linux.healthzTimeout: "1.5s" is not a duration'),
    ("rotationMaxAge=-1m", 'rotationMaxAge: "-1m" is not a duration'),
    ("rotationMaxAgeLimit=1d", 'rotationMaxAgeLimit: "1d" is not a duration'),
    ("rotationMaxAge=25h", "rotationMaxAge: 25h is more than rotationMaxAgeLimit (24h)"),
    ("linux.healthzPath=live", 'linux.healthzPath: "live" is not an absolute path'),
    ("linux.providersDir=sockets", 'linux.providersDir: "sockets" is not an absolute path'),
    ("linux.providersDir=/sockets", "linux.providersDir: the driver looks for sockets in"),
    (
        "fileWriter=provider,linux.kubeletRootDir=/kubelet",
        "linux.kubeletRootDir: it is /kubelet here and /var/lib/kubelet in",
    ),
    ("linux.image.tag=v1.8.2", "linux.image.tag: v1.8.2 is a version of the Go provider"),
    ("cloud.name=AzureMarsCloud", 'cloud.name: "AzureMarsCloud" is not a cloud'),
    ("defaultTenantID=a/b", 'defaultTenantID: "a/b" is not a tenant'),
    ("allowedVaultSuffixes={https://vault.example}", "is not a DNS suffix; write one like vault.azure.net"),
    ("tokenProxy.url=http://proxy.example", 'tokenProxy.url: "http://proxy.example" is not an https URL'),
    ("serviceAccountJwks=/keys", "serviceAccountJwks and serviceAccountIssuer must be set together"),
    ("serviceAccountIssuer=https://issuer.example", "serviceAccountJwks and serviceAccountIssuer must be set together"),
    (RULE + ",policy.configMap=policy", "policy.rules and policy.configMap: there is one policy"),
    ("policy.rules[0].namespaces[0]=team-a", "missing property 'vaults'"),
    (RULE + ",policy.rules[0].deny=true", "additional properties 'deny' not allowed"),
    ("policy.configMap=My_Policy", "'/policy/configMap'"),
    ("linux.updateStrategy.rollingUpdate.maxSurge=1", "linux.hostNetwork=true forbids"),
    (
        "secrets-store-csi-driver.enableSecretRotation=true,secrets-store-csi-driver.linux.image.tag=v1.5.6",
        "a driver v1.5.6 cannot rotate with the permissions that the driver's chart 1.6 gives",
    ),
    ("metricsAddr=0,monitoring.scrape=podMonitor", "podMonitor finds no metrics, since metricsAddr is 0"),
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
    # What `helm upgrade --reuse-values` from the Go chart leaves: none of this chart's own values.
    ("providerName=null", "missing property 'providerName'"),
]


@pytest.mark.parametrize(("values", "sentence"), REFUSED)
def test_a_wrong_value_is_refused_with_a_sentence(values, sentence):
    assert sentence in refusal(f"--set={values}")


def test_every_refusal_is_documented():
    templates = (CHART / "templates" / "_refusals.tpl").read_text(encoding="utf-8")
    # What a message begins with, up to its colon; and the names of values that share a message.
    begins = re.findall(r'append \$found \(?(?:printf )?"([^:]+):', templates)
    shared = re.findall(r'^ +"([A-Za-z.]+)" \.Values', templates, re.MULTILINE)
    named = {word for text in [*begins, *shared] for word in text.split() if re.fullmatch(r"[a-z-]+[A-Z.][A-Za-z.-]*", word)}
    assert len(named) > 25, named
    page = (CHART.parents[2] / "docs" / "install.md").read_text(encoding="utf-8")
    documented = page.split("## Values that are refused")[1].split("\n## ")[0]
    assert {name for name in named if f"`{name}`" not in documented} == set()


def test_all_wrong_values_are_named_at_once():
    said = refusal("--set=windows.enabled=true,providerName=A,drainTimeout=soon")
    assert all(one in said for one in ("windows.enabled:", "providerName:", "drainTimeout:"))


def test_the_notes_warn_when_rotation_is_off():
    assert "WARNING: rotation is off." in notes()
    assert "WARNING: rotation is off." not in notes("--set=secrets-store-csi-driver.enableSecretRotation=true")
    assert "only if rotation is on there" in notes(f"--values={values_file('canary')}")


def test_the_notes_say_what_became_of_the_go_charts_images():
    said = notes(f"--values={values_file('go-chart')}")
    assert "WARNING: linux.image names the Go provider's image" in said
    assert "WARNING: your values pin the driver v1.5.6" in said


def test_the_notes_warn_of_a_canary_that_would_wait_for_ports():
    canary = f"--values={values_file('canary')}"
    assert "waits for the ports 8989 and 8898" in notes(canary, "--set=linux.hostNetwork=true")
    assert "waits for the ports" not in notes(canary)


def test_a_rule_is_here_what_it_is_to_the_provider():
    here = json.loads((CHART / "values.schema.json").read_text())["properties"]["policy"]["properties"]["rules"]
    provider = json.loads(POLICY_SCHEMA.read_text())["properties"]["rules"]
    assert here["items"] == provider["items"]


def test_helm_lint_finds_nothing():
    done = helm("lint", "--strict", "--quiet", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr
