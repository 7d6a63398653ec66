"""Microsoft's credentials besides that of a pod."""

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CertificateCredential, ClientSecretCredential, ManagedIdentityCredential
from azure.keyvault.secrets import SecretClient

from conftest import CLIENT, TENANT
from material import other_client


def _read(credential) -> str:
    with credential, SecretClient("https://mykeyvault.vault.azure.net", credential) as client:
        return client.get_secret("database-password").value


def test_a_client_secret_logs_in(azure):
    assert _read(ClientSecretCredential(TENANT, CLIENT, "a client secret")) == "the new one"


@pytest.mark.parametrize(("secret", "code"), [("guessed", "AADSTS7000215"), ("a former one", "AADSTS7000222")])
def test_a_wrong_and_an_expired_client_secret_are_refused(azure, secret, code):
    with pytest.raises(ClientAuthenticationError) as failure:
        _read(ClientSecretCredential(TENANT, CLIENT, secret))
    assert code in failure.value.message


@pytest.mark.parametrize("chain", [False, True])
def test_a_client_certificate_logs_in(azure, chain):
    pem = azure.material.client_key_and_certificate
    credential = CertificateCredential(TENANT, CLIENT, certificate_data=pem, send_certificate_chain=chain)
    assert _read(credential) == "the new one"


def test_a_certificate_that_nobody_registered_is_refused(azure):
    with pytest.raises(ClientAuthenticationError) as failure:
        _read(CertificateCredential(TENANT, CLIENT, certificate_data=other_client()))
    assert "AADSTS700027" in failure.value.message


def test_a_managed_identity_logs_in_at_the_metadata_service(azure, monkeypatch):
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", azure.imds)
    assert _read(ManagedIdentityCredential()) == "the new one"
