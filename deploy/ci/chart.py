"""Rendering of the chart with Helm."""

import os
import subprocess
from pathlib import Path

import yaml

HERE = Path(__file__).parent
CHART = HERE.parent / "charts" / "keyvault-csi-provider"
HELM = os.environ.get("HELM", "helm")
VERSION = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
# The apiVersion of the Prometheus operator's objects.
OPERATOR = "monitoring.coreos.com/v1"
SETS = sorted(path.stem for path in (HERE / "values").glob("*.yaml"))


def values_file(name):
    return str(HERE / "values" / f"{name}.yaml")


def helm(*arguments):
    return subprocess.run([HELM, *arguments], capture_output=True, text=True, check=False)


def text(*arguments, release="csi"):
    """The output of `helm template`."""
    done = helm("template", release, str(CHART), "--namespace=kube-system", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(*arguments, release="csi"):
    """The Kubernetes objects of a release."""
    return [one for one in yaml.safe_load_all(text(*arguments, release=release)) if one]


def of_set(name, *arguments):
    return objects(f"--values={values_file(name)}", *arguments)


def refusal(*arguments):
    """Helm's error message."""
    done = helm("template", "csi", str(CHART), "--namespace=kube-system", *arguments)
    assert done.returncode != 0, f"{arguments} was rendered"
    return " ".join(done.stderr.split())


def notes(*arguments):
    """The notes of `helm install`."""
    done = helm("install", "csi", str(CHART), "--namespace=kube-system", "--dry-run=client", *arguments)
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.partition("\nNOTES:")[2].split())


def named(rendered, kind, name):
    found = [one for one in rendered if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, f"{len(found)} of {kind}/{name}"
    return found[0]


def daemonset(rendered):
    """The provider's DaemonSet, not the driver's."""
    found = [one for one in rendered if one["kind"] == "DaemonSet" and "provider-azure-installer" in str(one)]
    assert len(found) == 1, f"{len(found)} DaemonSets"
    return found[0]


def pod(rendered):
    return daemonset(rendered)["spec"]["template"]["spec"]


def container(rendered):
    (only,) = pod(rendered)["containers"]
    return only
