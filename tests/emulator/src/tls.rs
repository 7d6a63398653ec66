//! A throwaway certificate authority and a server certificate for every name that is asked for.

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

use crate::{hosts, lock};

/// The host of a client without a server name: it connected to an address.
const ADDRESS: &str = "localhost";

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or its key could not be made.
    #[error(transparent)]
    Certificate(#[from] rcgen::Error),
    /// The TLS library refused the configuration.
    #[error(transparent)]
    Config(#[from] tokio_rustls::rustls::Error),
}

/// The authority, with the server certificates it has made.
#[derive(Debug)]
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    /// All server certificates share one key: they differ in their names alone.
    leaf: KeyPair,
    /// What the certificates of hosts that serve the API server name first.
    api_server_name: Option<String>,
    signing_key: Arc<dyn SigningKey>,
    made: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl Authority {
    pub(crate) fn new(api_server_name: Option<String>) -> Result<Arc<Self>, TlsError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Key Vault emulator");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = validity();
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();

        let leaf = KeyPair::generate()?;
        let signing_key =
            provider().key_provider.load_private_key(PrivateKeyDer::Pkcs8(leaf.serialize_der().into()))?;
        let issuer = Issuer::new(params, key);
        let authority = Self { issuer, pem, leaf, api_server_name, signing_key, made: Mutex::default() };
        // A name that no certificate can have is found now, not by the first client.
        authority.certificate(ADDRESS)?;
        Ok(Arc::new(authority))
    }

    /// The authority's own certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    pub(crate) fn server_config(self: &Arc<Self>) -> Result<ServerConfig, TlsError> {
        let resolver: Arc<dyn ResolvesServerCert> = self.clone();
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    fn certificate(&self, host: &str) -> Result<Arc<CertifiedKey>, rcgen::Error> {
        let mut made = lock(&self.made);
        if let Some(known) = made.get(host) {
            return Ok(Arc::clone(known));
        }
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
        let certificate = params.signed_by(&self.leaf, &self.issuer)?;
        let certified =
            Arc::new(CertifiedKey::new(vec![certificate.der().clone()], Arc::clone(&self.signing_key)));
        made.insert(host.to_owned(), Arc::clone(&certified));
        Ok(certified)
    }
}

impl ResolvesServerCert for Authority {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name().unwrap_or(ADDRESS).to_ascii_lowercase();
        self.certificate(&host).ok()
    }
}

fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

/// A day on either side of now: a throwaway certificate outlives its test and little more.
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
