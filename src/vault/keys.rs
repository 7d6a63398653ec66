//! Keys: `GET /keys/<name>/<version>`, which returns the public part.

use azure_core::http::ClientMethodOptions;
use azure_core::http::pager::PagerOptions;
use azure_security_keyvault_keys::models::{
    KeyClientGetKeyOptions, KeyClientListKeyPropertiesVersionsOptions,
};
use azure_security_keyvault_keys::{KeyClient, ResourceExt};

use super::answer::{check_enabled, context, failed, malformed};
use super::versions::{Version, collect};
use super::{Content, FetchedVersion, KeyMaterial, VaultError};
use crate::plan::ObjectPlan;
use crate::secret::SecretText;

pub(super) async fn get(
    client: &KeyClient,
    object: &ObjectPlan,
    version: Option<&str>,
    token: Option<&SecretText>,
) -> Result<FetchedVersion, VaultError> {
    let options = KeyClientGetKeyOptions {
        method_options: ClientMethodOptions { context: context(token) },
        key_version: version.map(str::to_owned),
    };
    let response =
        client.get_key(object.name.as_str(), Some(options)).await.map_err(|error| failed(object, &error))?;
    let headers = response.headers().clone();
    let malformed = |what: &str| malformed(object, &headers, what);
    let key = response.into_model().map_err(|_| malformed("it is not a key in Key Vault's format"))?;
    let enabled = key.attributes.as_ref().and_then(|attributes| attributes.enabled);
    check_enabled(object, &headers, enabled)?;
    let version = key.resource_id().ok().and_then(|id| id.version);
    let version = version.ok_or_else(|| malformed("the key has no version"))?;
    let material = key.key.ok_or_else(|| malformed("the key has no material"))?;
    let content = Content::Key(Box::new(KeyMaterial {
        curve: material.crv.map(|curve| curve.to_string()),
        modulus: material.n,
        exponent: material.e,
        x: material.x,
        y: material.y,
    }));
    Ok(FetchedVersion { version, content })
}

pub(super) async fn versions(
    client: &KeyClient,
    object: &ObjectPlan,
    token: Option<&SecretText>,
) -> Result<Vec<Version>, VaultError> {
    let method_options = PagerOptions { context: context(token), ..PagerOptions::default() };
    let options = KeyClientListKeyPropertiesVersionsOptions {
        method_options,
        ..KeyClientListKeyPropertiesVersionsOptions::default()
    };
    let pager = client.list_key_properties_versions(object.name.as_str(), Some(options));
    collect(object, pager, |listed| {
        let id = listed.resource_id().ok().and_then(|id| id.version);
        let attributes = listed.attributes.unwrap_or_default();
        (id, attributes.enabled, attributes.created)
    })
    .await
}
