"""Microsoft's client for keys."""

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.keyvault.keys import KeyClient

OLD, NEW = "1" * 32, "2" * 32


@pytest.fixture
def keys(credential):
    with KeyClient("https://mykeyvault.vault.azure.net", credential()) as client:
        yield client


def test_an_elliptic_key_is_read_with_its_public_numbers(keys, azure):
    key = keys.get_key("signing")
    numbers = azure.material.public_key.public_numbers()
    assert (key.key_type, key.key.crv, key.properties.version) == ("EC-HSM", "P-384", NEW)
    assert int.from_bytes(key.key.x, "big") == numbers.x
    assert int.from_bytes(key.key.y, "big") == numbers.y
    assert key.key_operations == ["sign", "verify"]
    assert key.id == f"https://mykeyvault.vault.azure.net/keys/signing/{NEW}"


def test_an_rsa_key_is_read_with_its_public_numbers(keys):
    key = keys.get_key("wrapping")
    assert key.key_type == "RSA"
    assert (int.from_bytes(key.key.n, "big").bit_length(), int.from_bytes(key.key.e, "big")) == (2048, 65537)
    assert key.properties.tags == {"owner": "team-a"}


def test_an_older_version_of_a_key_is_read_by_its_id(keys):
    assert keys.get_key("signing", OLD).properties.version == OLD


def test_the_versions_of_a_key_are_listed(keys):
    versions = {version.version: version for version in keys.list_properties_of_key_versions("signing")}
    assert set(versions) == {OLD, NEW}
    assert versions[OLD].created_on < versions[NEW].created_on


def test_the_keys_of_a_vault_are_listed_with_that_of_a_certificate(keys):
    listed = {key.name: key.managed for key in keys.list_properties_of_keys()}
    assert listed == {"signing": None, "wrapping": None, "turned-off": None, "web-tls": True}


def test_a_missing_key_is_not_found_and_a_disabled_one_says_so(keys):
    with pytest.raises(ResourceNotFoundError) as missing:
        keys.get_key("never-made")
    assert missing.value.error.code == "KeyNotFound"
    assert keys.get_key("turned-off").properties.enabled is False
