//! A temporary certificate authority, which issues a server certificate for every requested name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::{CertifiedKey, SigningKey};

use crate::fault::BadCertificate;
use crate::{hosts, lock};

/// The host of a client without a server name: it connected to an address.
const ADDRESS: &str = "localhost";

/// The reason why no certificates could be created.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Creating a certificate or its key failed.
    #[error(transparent)]
    Certificate(#[from] rcgen::Error),
    /// The TLS library refused the configuration.
    #[error(transparent)]
    Config(#[from] tokio_rustls::rustls::Error),
}

/// The authority, with the server certificates that it has issued.
#[derive(Debug)]
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    /// The key that all server certificates share.
    leaf: KeyPair,
    /// First name in the certificates of hosts that serve the API server.
    api_server_name: Option<String>,
    signing_key: Arc<dyn SigningKey>,
    made: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl Authority {
    pub(crate) fn new(api_server_name: Option<String>) -> Result<Arc<Self>, TlsError> {
        let (issuer, pem) = authority()?;
        let leaf = KeyPair::generate()?;
        let signing_key =
            provider().key_provider.load_private_key(PrivateKeyDer::Pkcs8(leaf.serialize_der().into()))?;
        let authority = Self { issuer, pem, leaf, api_server_name, signing_key, made: Mutex::default() };
        // Checks now that the name is valid in a certificate, not with the first client.
        authority.certificate(ADDRESS)?;
        Ok(Arc::new(authority))
    }

    /// The authority's own certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    pub(crate) fn server_config(self: &Arc<Self>) -> Result<ServerConfig, TlsError> {
        let resolver: Arc<dyn ResolvesServerCert> = self.clone();
        config(resolver)
    }

    /// The certificates of a fault.
    pub(crate) fn spoiled_config(self: &Arc<Self>, bad: BadCertificate) -> Result<ServerConfig, TlsError> {
        config(Arc::new(Spoiled { authority: Arc::clone(self), bad }))
    }

    fn certificate(&self, host: &str) -> Result<Arc<CertifiedKey>, rcgen::Error> {
        let mut made = lock(&self.made);
        if let Some(known) = made.get(host) {
            return Ok(Arc::clone(known));
        }
        let certificate = self.params(host)?.signed_by(&self.leaf, &self.issuer)?;
        let certified = self.certified(&certificate);
        made.insert(host.to_owned(), Arc::clone(&certified));
        Ok(certified)
    }

    fn bad_certificate(&self, host: &str, bad: BadCertificate) -> Result<Arc<CertifiedKey>, rcgen::Error> {
        let mut params = self.params(host)?;
        let certificate = match bad {
            BadCertificate::Expired => {
                params.not_after = OffsetDateTime::now_utc() - Duration::DAY;
                params.not_before = params.not_after - Duration::days(90);
                params.signed_by(&self.leaf, &self.issuer)
            }
            BadCertificate::SelfSigned => params.self_signed(&self.leaf),
            BadCertificate::OtherAuthority => params.signed_by(&self.leaf, &authority()?.0),
            BadCertificate::WrongName => {
                self.params("elsewhere.invalid")?.signed_by(&self.leaf, &self.issuer)
            }
        };
        certificate.map(|certificate| self.certified(&certificate))
    }

    fn params(&self, host: &str) -> Result<CertificateParams, rcgen::Error> {
        let mut names: Vec<String> =
            self.api_server_name.iter().filter(|_| hosts::has_api_server(host)).cloned().collect();
        names.push(host.to_owned());
        if host == ADDRESS {
            names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
        }
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "Key Vault emulator server");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) = validity();
        Ok(params)
    }

    fn certified(&self, certificate: &rcgen::Certificate) -> Arc<CertifiedKey> {
        Arc::new(CertifiedKey::new(vec![certificate.der().clone()], Arc::clone(&self.signing_key)))
    }
}

impl ResolvesServerCert for Authority {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certificate(&host(&hello)).ok()
    }
}

/// The authority during a certificate fault.
#[derive(Debug)]
struct Spoiled {
    authority: Arc<Authority>,
    bad: BadCertificate,
}

impl ResolvesServerCert for Spoiled {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.authority.bad_certificate(&host(&hello), self.bad).ok()
    }
}

/// The host that a client asks for (lower case).
pub(crate) fn host(hello: &ClientHello<'_>) -> String {
    hello.server_name().unwrap_or(ADDRESS).to_ascii_lowercase()
}

/// A new certificate authority, and its certificate as PEM.
fn authority() -> Result<(Issuer<'static, KeyPair>, String), rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Key Vault emulator");
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = validity();
    let key = KeyPair::generate()?;
    let pem = params.self_signed(&key)?.pem();
    Ok((Issuer::new(params, key), pem))
}

fn config(resolver: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

/// Validity: one day before and after now.
fn validity() -> (OffsetDateTime, OffsetDateTime) {
    let now = OffsetDateTime::now_utc();
    (now - Duration::DAY, now + Duration::days(7))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gets_one_certificate_however_often_it_is_asked_for() {
        let authority = Authority::new(None).unwrap();
        let first = authority.certificate("v.vault.azure.net").unwrap();
        let again = authority.certificate("v.vault.azure.net").unwrap();
        let other = authority.certificate("w.vault.azure.net").unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert_ne!(first.cert, other.cert);
    }
}
