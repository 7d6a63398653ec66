"""The provider's own binary takes what the chart gives it."""

import os
import signal
import subprocess
import threading

import pytest
from chart import SETS, container, of_set

PROVIDER = os.environ.get("KEYVAULT_CSI_PROVIDER")
pytestmark = pytest.mark.skipif(not PROVIDER, reason="KEYVAULT_CSI_PROVIDER names no binary")


def start(arguments, folder):
    """Starts the provider where it disturbs nobody: of a repeated flag the last one counts."""
    elsewhere = [f"--endpoint=unix://{folder}/test.sock", "--healthz-port=0", "--prometheus-port=0"]
    return subprocess.Popen(
        [PROVIDER, *arguments, *elsewhere],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("KUBERNETES_")},
    )


def policy(rendered, folder):
    """The policy of a release, where the flag that goes last finds it."""
    for one in rendered:
        if "policy.yaml" in one.get("data", {}):
            (folder / "policy.yaml").write_text(one["data"]["policy.yaml"])
            return [f"--policy-file={folder}/policy.yaml"]
    return []


def volumes(rendered, folder):
    """Flags that name a mounted folder of the container, with a folder that exists here."""
    flags = []
    for argument in container(rendered)["args"]:
        name, _, value = argument.partition("=")
        if name == "--audit-log" and value.startswith("/"):
            flags.append(f"{name}={folder}/audit.log")
        elif name == "--state-dir":
            flags.append(f"{name}={folder}")
    return flags


@pytest.mark.parametrize("name", SETS)
def test_the_provider_starts_with_the_arguments_of_the_chart(name, tmp_path):
    rendered = of_set(name)
    flags = [*policy(rendered, tmp_path), *volumes(rendered, tmp_path)]
    provider = start([*container(rendered)["args"], *flags], tmp_path)
    overdue = threading.Timer(30, provider.kill)
    overdue.start()
    try:
        said = []
        for line in provider.stdout:
            said.append(line)
            if "serving" in line:
                break
        else:
            pytest.fail("it ended: " + "".join(said))
        provider.send_signal(signal.SIGTERM)
        rest, _ = provider.communicate()
        assert provider.returncode == 0, "".join(said) + rest
    finally:
        overdue.cancel()
        provider.kill()
        provider.wait()


def test_an_argument_that_the_provider_does_not_know_would_be_noticed(tmp_path):
    provider = start([*container(of_set("default"))["args"], "--no-such-flag"], tmp_path)
    said, _ = provider.communicate(timeout=30)
    assert provider.returncode == 2 and "--no-such-flag" in said
