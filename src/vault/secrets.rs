//! Secrets: `GET /secrets/<name>/<version>`.

use azure_core::http::ClientMethodOptions;
use azure_core::http::pager::PagerOptions;
use azure_security_keyvault_secrets::models::{
    SecretClientGetSecretOptions, SecretClientListSecretPropertiesVersionsOptions,
};
use azure_security_keyvault_secrets::{ResourceExt, SecretClient};

use super::answer::{check_enabled, context, failed, malformed};
use super::versions::{Version, collect};
use super::{Content, FetchedVersion, VaultError};
use crate::plan::ObjectPlan;
use crate::secret::{SecretBytes, SecretText};

pub(super) async fn get(
    client: &SecretClient,
    object: &ObjectPlan,
    version: Option<&str>,
    token: Option<&SecretText>,
) -> Result<FetchedVersion, VaultError> {
    let options = SecretClientGetSecretOptions {
        method_options: ClientMethodOptions { context: context(token) },
        secret_version: version.map(str::to_owned),
        ..SecretClientGetSecretOptions::default()
    };
    let response = client
        .get_secret(object.name.as_str(), Some(options))
        .await
        .map_err(|error| failed(object, &error))?;
    let headers = response.headers().clone();
    let malformed = |what: &str| malformed(object, &headers, what);
    let secret = response.into_model().map_err(|_| malformed("it is not a secret in Key Vault's format"))?;
    let enabled = secret.attributes.as_ref().and_then(|attributes| attributes.enabled);
    check_enabled(object, &headers, enabled)?;
    let version = secret.resource_id().ok().and_then(|id| id.version);
    let version = version.ok_or_else(|| malformed("the secret has no version"))?;
    let text = secret.value.ok_or_else(|| malformed("the secret has no value"))?;
    let content = Content::Secret {
        text: SecretBytes::new(text.into_bytes()),
        content_type: secret.content_type,
        backs_certificate: secret.kid.is_some(),
    };
    Ok(FetchedVersion { version, content })
}

pub(super) async fn versions(
    client: &SecretClient,
    object: &ObjectPlan,
    token: Option<&SecretText>,
) -> Result<Vec<Version>, VaultError> {
    let method_options = PagerOptions { context: context(token), ..PagerOptions::default() };
    let options = SecretClientListSecretPropertiesVersionsOptions {
        method_options,
        ..SecretClientListSecretPropertiesVersionsOptions::default()
    };
    let pager = client.list_secret_properties_versions(object.name.as_str(), Some(options));
    collect(object, pager, |listed| {
        let id = listed.resource_id().ok().and_then(|id| id.version);
        let attributes = listed.attributes.unwrap_or_default();
        (id, attributes.enabled, attributes.created)
    })
    .await
}
