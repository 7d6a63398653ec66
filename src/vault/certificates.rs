//! Certificates: `GET /certificates/<name>/<version>`, without their private key.

use azure_core::http::ClientMethodOptions;
use azure_core::http::pager::PagerOptions;
use azure_security_keyvault_certificates::models::{
    CertificateClientGetCertificateOptions, CertificateClientListCertificatePropertiesVersionsOptions,
};
use azure_security_keyvault_certificates::{CertificateClient, ResourceExt};

use super::answer::{check_enabled, context, failed, malformed};
use super::versions::{Version, collect};
use super::{Content, FetchedVersion, VaultError};
use crate::plan::ObjectPlan;
use crate::secret::SecretText;

pub(super) async fn get(
    client: &CertificateClient,
    object: &ObjectPlan,
    version: Option<&str>,
    token: Option<&SecretText>,
) -> Result<FetchedVersion, VaultError> {
    let options = CertificateClientGetCertificateOptions {
        method_options: ClientMethodOptions { context: context(token) },
        certificate_version: version.map(str::to_owned),
    };
    let response = client
        .get_certificate(object.name.as_str(), Some(options))
        .await
        .map_err(|error| failed(object, &error))?;
    let headers = response.headers().clone();
    let malformed = |what: &str| malformed(object, &headers, what);
    let certificate =
        response.into_model().map_err(|_| malformed("it is not a certificate in Key Vault's format"))?;
    let enabled = certificate.attributes.as_ref().and_then(|attributes| attributes.enabled);
    check_enabled(object, &headers, enabled)?;
    let version = certificate.resource_id().ok().and_then(|id| id.version);
    let version = version.ok_or_else(|| malformed("the certificate has no version"))?;
    let content =
        Content::Certificate(certificate.cer.ok_or_else(|| malformed("the certificate has no contents"))?);
    Ok(FetchedVersion { version, content })
}

pub(super) async fn versions(
    client: &CertificateClient,
    object: &ObjectPlan,
    token: Option<&SecretText>,
) -> Result<Vec<Version>, VaultError> {
    let method_options = PagerOptions { context: context(token), ..PagerOptions::default() };
    let options = CertificateClientListCertificatePropertiesVersionsOptions {
        method_options,
        ..CertificateClientListCertificatePropertiesVersionsOptions::default()
    };
    let pager = client.list_certificate_properties_versions(object.name.as_str(), Some(options));
    collect(object, pager, |listed| {
        let id = listed.resource_id().ok().and_then(|id| id.version);
        let attributes = listed.attributes.unwrap_or_default();
        (id, attributes.enabled, attributes.created)
    })
    .await
}
