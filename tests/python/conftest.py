"""An emulated Azure, and credentials of a pod's kind for it."""

import json
import os
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from azure.identity import WorkloadIdentityCredential
from azure.keyvault.secrets import SecretClient

from material import Material

TENANT = "00000000-0000-4000-8000-000000000001"
CLIENT = "11111111-1111-4111-8111-111111111111"
AUDIENCE = "api://AzureADTokenExchange"
PATIENCE = 30  # seconds, for every wait

# Environment variables that would make a client bypass the emulator, or trust other certificates.
FOREIGN = [
    "ALL_PROXY",
    "CURL_CA_BUNDLE",
    "HTTP_PROXY",
    "NO_PROXY",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
]


class Azure:
    """A running emulator, and what a client must have in its environment to take it for Azure."""

    def __init__(self, environment: dict[str, str], material: Material) -> None:
        self.material = material
        self.imds = environment["KEYVAULT_EMULATOR_IMDS_URL"]
        self.proxy = environment["HTTPS_PROXY"]
        self.ca_file = environment["SSL_CERT_FILE"]

    def service_account_token(self, namespace: str, account: str) -> str:
        """Asks the API server for a token, as kubelet does for a pod."""
        request = urllib.request.Request(
            f"https://oidc.emulator.test/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token",
            data=json.dumps(
                {
                    "apiVersion": "authentication.k8s.io/v1",
                    "kind": "TokenRequest",
                    "spec": {"audiences": [AUDIENCE], "expirationSeconds": 3600},
                }
            ).encode(),
            headers={"Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({"https": self.proxy}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self.ca_file)),
        )
        with opener.open(request, timeout=PATIENCE) as answer:
            return json.load(answer)["status"]["token"]


def _emulator() -> str:
    path = os.environ.get("KEYVAULT_EMULATOR")
    if not path:
        pytest.fail("KEYVAULT_EMULATOR is not set: it must name the emulator, for example target/debug/keyvault-emulator")
    return path


def _wait_for(file: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + PATIENCE
    while not file.exists():
        if process.poll() is not None:
            pytest.fail(f"the emulator ended before it was ready, with exit code {process.returncode}")
        if time.monotonic() > deadline:
            pytest.fail(f"the emulator is not ready after {PATIENCE} s")
        time.sleep(0.02)


@pytest.fixture(scope="session")
def material():
    return Material()


@pytest.fixture
def azure(tmp_path, monkeypatch, material):
    """An emulator of the test's own; this process's environment leads to it."""
    env_file, seed = tmp_path / "env", tmp_path / "seed.yaml"
    seed.write_text(material.fill(Path(__file__).with_name("seed.yaml").read_text()))
    process = subprocess.Popen(
        [_emulator()]
        + ["--seed", str(seed)]
        + ["--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0"]
        + ["--ca-file", str(tmp_path / "ca.pem"), "--env-file", str(env_file)],
        env={},
    )
    try:
        _wait_for(env_file, process)
        azure = Azure(dict(line.split("=", 1) for line in env_file.read_text().splitlines()), material)
        for name in FOREIGN:
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.lower(), raising=False)
        monkeypatch.delenv("https_proxy", raising=False)
        monkeypatch.setenv("HTTPS_PROXY", azure.proxy)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", azure.ca_file)
        yield azure
        assert process.poll() is None, "the emulator ended by itself"
    finally:
        process.terminate()
        code = process.wait(PATIENCE)
    assert code == 0, f"the emulator ended with exit code {code} after SIGTERM"


@pytest.fixture
def credential(azure, tmp_path):
    """Makes the credential of a pod that runs under a service account."""
    made = []

    def make(account: str = "workload-identity-sa") -> WorkloadIdentityCredential:
        token_file = tmp_path / f"{account}-token"
        token_file.write_text(azure.service_account_token("default", account))
        credential = WorkloadIdentityCredential(tenant_id=TENANT, client_id=CLIENT, token_file_path=str(token_file))
        made.append(credential)
        return credential

    yield make
    for credential in made:
        credential.close()


@pytest.fixture
def vault(credential):
    """Microsoft's client, as an application makes it: nothing but the vault's URL and a credential."""
    with SecretClient("https://mykeyvault.vault.azure.net", credential()) as client:
        yield client
