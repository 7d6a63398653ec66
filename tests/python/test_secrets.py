"""Microsoft's own SDK takes the emulator for Azure Key Vault and Entra ID.

    KEYVAULT_EMULATOR=target/debug/keyvault-emulator python -m pytest tests/python
"""

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.keyvault.secrets import SecretClient

OLD, NEW = "1" * 32, "2" * 32


def test_a_secret_is_read_with_what_is_said_about_it(vault):
    secret = vault.get_secret("database-password")
    assert secret.value == "the new one"
    assert secret.name == "database-password"
    assert secret.properties.version == NEW
    assert secret.properties.vault_url == "https://mykeyvault.vault.azure.net"
    assert secret.properties.content_type == "text/plain"
    assert secret.properties.tags == {"owner": "team-a"}
    assert secret.properties.enabled is True
    assert secret.properties.created_on.isoformat() == "2026-02-01T00:00:00+00:00"


def test_an_older_version_is_read_by_its_id(vault):
    secret = vault.get_secret("database-password", OLD)
    assert (secret.value, secret.properties.version) == ("the old one", OLD)


def test_the_versions_of_a_secret_are_listed(vault):
    versions = {version.version: version for version in vault.list_properties_of_secret_versions("database-password")}
    assert set(versions) == {OLD, NEW}
    assert versions[OLD].created_on < versions[NEW].created_on


def test_many_versions_are_listed_page_by_page(vault):
    made = {vault.set_secret("busy", f"value {number}").properties.version for number in range(30)}
    pages = [list(page) for page in vault.list_properties_of_secret_versions("busy").by_page()]
    assert len(pages) > 1
    assert {version.version for page in pages for version in page} == made


def test_the_secrets_of_a_vault_are_listed_with_that_of_a_certificate(vault):
    secrets = {secret.name: secret.enabled for secret in vault.list_properties_of_secrets()}
    assert secrets == {"database-password": True, "turned-off": False, "web-tls": True}


def test_a_secret_that_was_set_is_read_back(vault):
    made = vault.set_secret("fresh", "püré wörds\n", content_type="text/plain", tags={"by": "python"})
    read = vault.get_secret("fresh")
    assert read.value == made.value == "püré wörds\n"
    assert read.properties.version == made.properties.version
    assert read.properties.tags == {"by": "python"}


def test_a_new_version_takes_the_place_of_the_old_which_stays(vault):
    vault.set_secret("database-password", "a third one")
    assert vault.get_secret("database-password").value == "a third one"
    assert vault.get_secret("database-password", NEW).value == "the new one"


def test_a_missing_secret_is_not_found(vault):
    with pytest.raises(ResourceNotFoundError) as failure:
        vault.get_secret("never-made")
    assert failure.value.status_code == 404
    assert failure.value.error.code == "SecretNotFound"


def test_a_missing_version_is_not_found(vault):
    with pytest.raises(ResourceNotFoundError):
        vault.get_secret("database-password", "3" * 32)


@pytest.mark.parametrize(
    ("url", "name", "reason"),
    [
        ("https://othervault.vault.azure.net", "database-password", "ForbiddenByRbac"),
        ("https://mykeyvault.vault.azure.net", "turned-off", "SecretDisabled"),
    ],
)
def test_a_denied_and_a_disabled_secret_are_forbidden_for_their_own_reasons(credential, url, name, reason):
    with SecretClient(url, credential()) as client, pytest.raises(HttpResponseError) as failure:
        client.get_secret(name)
    assert failure.value.status_code == 403
    assert failure.value.error.code == "Forbidden"
    assert failure.value.error.innererror["code"] == reason


def test_a_service_account_without_federated_credential_gets_no_token(credential):
    stranger = credential("stranger-sa")
    with SecretClient("https://mykeyvault.vault.azure.net", stranger) as client:
        with pytest.raises(ClientAuthenticationError) as failure:
            client.get_secret("database-password")
    assert "AADSTS700213" in failure.value.message
    assert "system:serviceaccount:default:stranger-sa" in failure.value.message
