"""Microsoft's client for certificates."""

import base64

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.keyvault.certificates import CertificateClient
from azure.keyvault.keys import KeyClient
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

OLD, NEW = "1" * 32, "2" * 32


@pytest.fixture
def certificates(credential):
    with CertificateClient("https://mykeyvault.vault.azure.net", credential()) as client:
        yield client


def test_a_certificate_is_read_with_what_is_said_about_it(certificates, azure):
    certificate = certificates.get_certificate("web-tls")
    leaf = azure.material.leaf
    assert bytes(certificate.cer) == leaf.public_bytes(Encoding.DER)
    assert certificate.properties.x509_thumbprint == leaf.fingerprint(hashes.SHA1())
    assert certificate.properties.version == NEW
    assert certificate.properties.not_before == leaf.not_valid_before_utc
    assert certificate.properties.expires_on == leaf.not_valid_after_utc
    assert certificate.policy.content_type == "application/x-pkcs12"
    assert certificate.policy.issuer_name == "Unknown"


def test_a_certificate_leads_to_its_secret_and_its_key(certificates, vault, credential, azure):
    certificate = certificates.get_certificate("web-tls")
    secret = vault.get_secret("web-tls")
    assert certificate.secret_id == secret.id
    assert base64.b64decode(secret.value) == azure.material.pfx
    assert secret.properties.content_type == "application/x-pkcs12"
    assert (secret.properties.managed, secret.properties.key_id) == (True, certificate.key_id)
    with KeyClient("https://mykeyvault.vault.azure.net", credential()) as keys:
        key = keys.get_key("web-tls")
    assert key.id == certificate.key_id
    assert int.from_bytes(key.key.x, "big") == azure.material.leaf.public_key().public_numbers().x


def test_an_older_version_of_a_certificate_is_read_by_its_id(certificates):
    assert certificates.get_certificate_version("web-tls", OLD).properties.version == OLD


def test_the_versions_of_a_certificate_are_listed(certificates):
    listed = {version.version for version in certificates.list_properties_of_certificate_versions("web-tls")}
    assert listed == {OLD, NEW}
    assert [one.name for one in certificates.list_properties_of_certificates()] == ["web-tls"]


def test_a_missing_certificate_is_not_found(certificates):
    with pytest.raises(ResourceNotFoundError) as missing:
        certificates.get_certificate("never-made")
    assert missing.value.error.code == "CertificateNotFound"
