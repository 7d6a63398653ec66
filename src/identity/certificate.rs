//! The client certificate of a service principal, and the assertions that it signs.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PSS_SHA256;
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use zeroize::Zeroize;

use crate::render::pfx;
use crate::secret::{SecretBytes, SecretText};

/// Lifetime of an assertion; Entra recommends five to ten minutes.
const LIFETIME: Duration = Duration::from_mins(10);

/// An RSA key and its certificate, which is registered with the application.
pub(super) struct ClientCertificate {
    key: KeyPair,
    certificate: Vec<u8>,
}

impl ClientCertificate {
    /// Parses PEM with a private key and certificates, the key's certificate first, or base64 of a PKCS#12 file with an
    /// empty password.
    pub(super) fn parse(text: &SecretText) -> Result<Self, &'static str> {
        let text = text.expose();
        if text.contains("-----BEGIN ") {
            let certificate =
                CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| "its PEM has no certificate")?;
            let mut der =
                PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| "its PEM has no private key")?;
            let key = match &der {
                PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| NOT_RSA),
                PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()).map_err(|_| NOT_RSA),
                _ => Err(NOT_RSA),
            };
            der.zeroize();
            return Ok(Self { key: key?, certificate: certificate.to_vec() });
        }
        let compact = SecretBytes::new(text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect());
        let file =
            BASE64.decode(compact.expose()).map_err(|_| "it is neither PEM nor base64 of a PKCS#12 file")?;
        let bundle = pfx::open(SecretBytes::new(file).expose())
            .map_err(|_| "its PKCS#12 file cannot be opened with an empty password")?;
        let key = KeyPair::from_pkcs8(bundle.key.expose()).map_err(|_| NOT_RSA)?;
        // Tools write the key's certificate first in a PKCS#12 file.
        let certificate =
            bundle.certificates.into_iter().next().ok_or("its PKCS#12 file has no certificate")?;
        Ok(Self { key, certificate })
    }

    /// An assertion of `client` for the token endpoint (Microsoft identity platform application
    /// authentication certificate credentials).
    pub(super) fn assert(
        &self,
        client: &str,
        endpoint: &str,
        now: SystemTime,
    ) -> Result<SecretText, &'static str> {
        let random = SystemRandom::new();
        let mut id = [0; 16];
        random.fill(&mut id).map_err(|_| "the system's random number generator fails")?;
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let thumbprint = BASE64URL_NOPAD.encode(digest(&SHA256, &self.certificate).as_ref());
        let header = json!({
            "alg": "PS256",
            "typ": "JWT",
            "x5t#S256": thumbprint,
            "x5c": [BASE64.encode(&self.certificate)],
        });
        let claims = json!({
            "aud": endpoint,
            "iss": client,
            "sub": client,
            "jti": HEXLOWER.encode(&id),
            "nbf": now.as_secs(),
            "exp": (now + LIFETIME).as_secs(),
        });
        let part = |value: serde_json::Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let message = format!("{}.{}", part(header), part(claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PSS_SHA256, &random, message.as_bytes(), &mut signature)
            .map_err(|_| "its private key cannot sign")?;
        Ok(SecretText::new(format!("{message}.{}", BASE64URL_NOPAD.encode(&signature))))
    }
}

const NOT_RSA: &str = "its private key is not an RSA key, and Entra supports only RSA";
