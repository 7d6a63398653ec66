"""The objects of a release."""

import copy

import kubernetes_validate
import pytest
import yaml
from chart import OPERATOR, SETS, VERSION, container, daemonset, named, objects, of_set, pod, refusal

KUBERNETES = ["1.30", "1.33", "1.35", "1.37"]
GO_NAME = "csi-secrets-store-provider-azure"
GO_STRATEGY = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}
SURGE = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", SETS)
def test_every_object_is_valid_for_kubernetes(name, version):
    rendered = of_set(name, "--include-crds", f"--kube-version={version}.0")
    assert rendered
    for one in (one for one in rendered if one["apiVersion"] != OPERATOR):
        kubernetes_validate.validate(one, version, strict=True)


def test_an_unknown_field_is_refused():
    wrong = copy.deepcopy(daemonset(objects()))
    wrong["spec"]["template"]["spec"]["containers"][0]["securityContext"]["readOnly"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES[0], strict=True)


def test_the_names_are_those_of_the_go_chart():
    rendered = objects()
    mine = named(rendered, "DaemonSet", f"csi-{GO_NAME}")
    assert mine["spec"]["selector"] == {"matchLabels": {"app": GO_NAME}}
    assert mine["spec"]["template"]["metadata"]["labels"]["app"] == GO_NAME
    assert pod(rendered)["serviceAccountName"] == GO_NAME
    named(rendered, "ServiceAccount", GO_NAME)
    named(rendered, "DaemonSet", "secrets-store-csi-driver")
    named(objects(release=f"{GO_NAME}-1700000000"), "DaemonSet", f"{GO_NAME}-1700000000")


def test_the_values_of_the_go_chart_keep_their_meaning_except_for_its_image():
    rendered = of_set("go-chart")
    assert container(rendered)["image"] == f"keyvault-csi-provider:{VERSION}"
    assert container(rendered)["resources"]["limits"] == {"cpu": "50m", "memory": "100Mi"}
    assert "priorityClassName" not in pod(rendered)
    assert pod(rendered)["hostNetwork"] is True
    assert daemonset(rendered)["spec"]["updateStrategy"] == GO_STRATEGY


def test_the_image_is_the_charts_own_version_a_tag_or_a_digest():
    digest = "sha256:" + 64 * "0"
    assert container(objects())["image"] == f"keyvault-csi-provider:{VERSION}"
    assert container(objects("--set=linux.image.tag=v9"))["image"] == "keyvault-csi-provider:v9"
    pinned = container(objects(f"--set=linux.image.tag=v9,linux.image.digest={digest}"))
    assert pinned["image"] == f"keyvault-csi-provider@{digest}"


def test_without_linux_only_the_driver_and_the_roles_remain():
    rendered = objects("--set=linux.enabled=false")
    assert [one["metadata"]["name"] for one in rendered if one["kind"] == "DaemonSet"] == ["secrets-store-csi-driver"]


@pytest.mark.parametrize("name", [name for name in SETS if name != "everything"])
def test_the_container_has_only_the_host_paths_that_it_needs(name):
    rendered = of_set(name)
    assert pod(rendered)["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    assert container(rendered)["securityContext"] == {
        "runAsUser": 0,
        "runAsGroup": 0,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "hostPID" not in pod(rendered) and "hostIPC" not in pod(rendered)
    folders = {one["hostPath"]["path"] for one in pod(rendered)["volumes"] if "hostPath" in one}
    pods = {"/data/kubelet/pods"} if name == "writes-itself" else set()
    assert folders == {"/var/run/secrets-store-csi-providers"} | pods


def test_requests_are_small_and_memory_is_bounded():
    assert container(objects())["resources"] == {
        "requests": {"cpu": "10m", "memory": "16Mi"},
        "limits": {"memory": "100Mi"},
    }
    assert pod(objects())["priorityClassName"] == "system-node-critical"


def test_with_file_writer_provider_later_mounts_are_visible_in_the_container():
    mounts = {one["name"]: one for one in container(of_set("writes-itself"))["volumeMounts"]}
    assert mounts["mountpoint-dir"] == {
        "name": "mountpoint-dir",
        "mountPath": "/data/kubelet/pods",
        "mountPropagation": "HostToContainer",
    }
    assert [one["name"] for one in container(objects())["volumeMounts"]] == ["provider-vol"]


def test_scalars_may_be_strings_as_in_the_go_chart():
    booleans = ("logFormatJSON", "constructPEMChain", "writeCertAndKeyInSeparateFiles")
    strings = [f"--set-string={name}={value}" for name, value in zip(booleans, ("true", "True", "FALSE"))]
    strings += ["--set-string=logVerbosity=5,linux.healthzPort=8990,linux.hostNetwork=false,windows.enabled=false"]
    rendered = objects(*strings)
    given = {"--log-format-json=true", "--construct-pem-chain=true", "--write-cert-and-key-in-separate-files=false"}
    assert given | {"-v=5", "--healthz-port=8990"} <= set(container(rendered)["args"])
    assert pod(rendered)["hostNetwork"] is False, "a string that says false is not true"
    off = "linux.enabled=false,rbac.install=false"
    assert objects(f"--set-string={off}") == objects(f"--set={off}")


@pytest.mark.parametrize("value, words", [("linux.healthzPort=70000", "is not a port"), ("logVerbosity=11", "exceeds the maximum, 10")])
def test_strings_have_the_range_of_their_numbers(value, words):
    assert words in refusal(f"--set-string={value}")


def test_kubelets_root_defaults_to_the_drivers():
    elsewhere = "--set=secrets-store-csi-driver.linux.kubeletRootDir=/var/snap/kubelet"
    assert "/var/snap/kubelet" not in str(pod(objects(elsewhere))), "the driver writes the files"
    mounts = container(objects(elsewhere, "--set=fileWriter=provider"))["volumeMounts"]
    assert "/var/snap/kubelet/pods" in [one["mountPath"] for one in mounts]


def test_the_update_is_by_surge_without_the_hosts_network():
    off = "--set=linux.hostNetwork=false"
    own = "--set=linux.updateStrategy.rollingUpdate.maxUnavailable=2"
    assert daemonset(objects())["spec"]["updateStrategy"] == GO_STRATEGY
    assert daemonset(objects(off))["spec"]["updateStrategy"] == SURGE
    assert daemonset(of_set("go-chart", off))["spec"]["updateStrategy"] == SURGE
    assert daemonset(objects(off, own))["spec"]["updateStrategy"] == {"rollingUpdate": {"maxUnavailable": 2}}


def test_the_grace_period_exceeds_the_drain_timeout():
    rendered = objects("--set=drainTimeout=1m30s500ms")
    assert "--drain-timeout=1m30s500ms" in container(rendered)["args"]
    assert pod(rendered)["terminationGracePeriodSeconds"] == 101


def test_probes_use_the_health_checks_address_and_port():
    rendered = objects("--set=linux.healthzPort=9000,linux.healthzPath=/live,linux.healthzTimeout=20s")
    ports = {one["name"]: one["containerPort"] for one in container(rendered)["ports"]}
    assert ports == {"healthz": 9000, "metrics": 8898}
    liveness, readiness = (container(rendered)[one] for one in ("livenessProbe", "readinessProbe"))
    assert liveness["httpGet"] == {"path": "/live", "port": "healthz", "host": "127.0.0.1"}
    assert readiness["httpGet"] == {"path": "/readyz", "port": "healthz", "host": "127.0.0.1"}
    assert liveness["timeoutSeconds"] > 20


@pytest.mark.parametrize("written", ["8898", '":8898"', '"8898"'])
def test_the_metrics_port_may_have_the_forms_of_the_go_chart_and_the_driver(written):
    assert "--prometheus-port=8898" in container(objects(f"--set-json=metricsAddr={written}"))["args"]


def test_without_metrics_no_port_is_open():
    rendered = objects("--set=metricsAddr=0")
    assert "--prometheus-port=0" in container(rendered)["args"]
    assert [one["name"] for one in container(rendered)["ports"]] == ["healthz"]


def test_the_driver_requests_tokens_for_both_audiences():
    driver = named(objects(), "CSIDriver", "secrets-store.csi.k8s.io")
    audiences = [one["audience"] for one in driver["spec"]["tokenRequests"]]
    assert audiences == ["api://AzureADTokenExchange", "api://AKSIdentityBinding"]


def test_the_response_limit_is_the_drivers():
    assert "--max-response-bytes=8388608" in container(of_set("writes-itself"))["args"]
    own = container(of_set("canary", "--set=maxResponseBytes=1048576"))["args"]
    assert "--max-response-bytes=1048576" in own


def test_policy_rules_become_a_config_map_that_is_reloaded():
    rendered = of_set("everything")
    policy = yaml.safe_load(named(rendered, "ConfigMap", "vaults-on-nodes-policy")["data"]["policy.yaml"])
    assert policy["rules"][0]["namespaces"] == ["team-*"] and policy["rules"][1]["namespaces"] == ["007"]
    mounted(rendered, "vaults-on-nodes-policy")
    left = of_set("everything", "--set=linux.enabled=false")
    assert not [one for one in left if one["metadata"]["name"] == "vaults-on-nodes-policy"]


def test_the_policy_may_be_an_existing_config_map_and_is_optional():
    rendered = objects("--set=policy.configMap=platform-policy")
    mounted(rendered, "platform-policy")
    assert "platform-policy" not in [one["metadata"]["name"] for one in rendered]
    assert "policy" not in str(pod(objects())), "without one nothing is mounted and nothing is passed"


def mounted(rendered, config_map):
    """Whether the flag names a file of this ConfigMap, and the whole directory is mounted."""
    assert {"name": "policy", "configMap": {"name": config_map}} in pod(rendered)["volumes"]
    (mount,) = [one for one in container(rendered)["volumeMounts"] if one["name"] == "policy"]
    assert mount == {"name": "policy", "mountPath": "/etc/keyvault-csi-provider", "readOnly": True}
    assert "--policy-file=/etc/keyvault-csi-provider/policy.yaml" in container(rendered)["args"]


def test_an_audit_log_file_is_in_a_directory_of_the_node():
    rendered = of_set("everything")
    folder = "/var/log/keyvault-csi-provider"
    assert f"--audit-log={folder}/audit.log" in container(rendered)["args"]
    assert {"name": "audit-log", "mountPath": folder} in container(rendered)["volumeMounts"]
    assert {"name": "audit-log", "hostPath": {"path": folder, "type": "DirectoryOrCreate"}} in pod(rendered)["volumes"]
    stdout = objects("--set=auditLog=stdout")
    assert "--audit-log=stdout" in container(stdout)["args"]
    assert "audit-log" not in [one["name"] for one in pod(stdout)["volumes"]]


def test_the_memory_limit_includes_the_volumes_that_the_provider_writes():
    def limit(*values):
        return container(objects(*(f"--set={value}" for value in values)))["resources"]["limits"]["memory"]

    assert limit() == "100Mi"
    assert limit("fileWriter=provider") == "228Mi"
    assert limit("fileWriter=provider", "volumeMemoryBytes=1048577") == "102Mi"
    assert limit("fileWriter=provider", "linux.resources.limits.memory=300Mi") == "300Mi"
    assert "resources" not in container(objects("--set-json=linux.resources=null"))


def test_records_of_volumes_survive_a_restart_of_the_container():
    rendered = objects("--set=fileWriter=provider")
    assert "--state-dir=/run/keyvault-csi-provider" in container(rendered)["args"]
    assert {"name": "state", "mountPath": "/run/keyvault-csi-provider"} in container(rendered)["volumeMounts"]
    assert {"name": "state", "emptyDir": {}} in pod(rendered)["volumes"]
    assert "state" not in [one["name"] for one in pod(objects())["volumes"]]


def test_the_roles_allow_service_accounts_and_token_keys_and_nothing_else():
    rendered = of_set("canary")
    rules = [rule for one in rendered if one["kind"] == "ClusterRole" for rule in one["rules"]]
    assert rules == [{"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get"]}]
    bindings = [one for one in rendered if one["kind"].endswith("RoleBinding")]
    assert {one["roleRef"]["name"] for one in bindings} == {
        "kube-system:csi-csi-secrets-store-provider-canary",
        "system:service-account-issuer-discovery",
    }
    account = [{"kind": "ServiceAccount", "name": "csi-secrets-store-provider-canary", "namespace": "kube-system"}]
    assert all(one["subjects"] == account for one in bindings)
    assert [one["kind"] for one in of_set("canary", "--set=rbac.install=false")] == ["DaemonSet"]


def test_a_canary_shares_no_object_label_or_socket_with_an_existing_provider():
    def names(rendered):
        return {(one["kind"], one["metadata"]["name"]) for one in rendered}

    there, canary = objects(), of_set("canary")
    assert not names(there) & names(canary)
    assert daemonset(canary)["spec"]["selector"] == {"matchLabels": {"app": "csi-secrets-store-provider-canary"}}
    assert "--endpoint=unix:///provider/canary.sock" in container(canary)["args"]
