//! A client's own credentials: secrets, and certificates by an assertion that their key signed
//! ("Microsoft identity platform application authentication certificate credentials").

use data_encoding::{BASE64URL_NOPAD, HEXUPPER};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde_json::Value;
use time::OffsetDateTime;

use super::assertion::in_time;
use super::{Refusal, TokenRequest};
use crate::jwt::Claims;
use crate::public_key::PublicKey;
use crate::seed::{Identity, SeedError};
use crate::x509::X509;

/// An identity whose certificates have been read.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) identity: Identity,
    certificates: Vec<X509>,
}

impl Client {
    pub(super) fn new(identity: Identity) -> Result<Self, SeedError> {
        let certificates = identity.certificates.iter().map(|pem| X509::from_pem(pem));
        let certificates = certificates
            .collect::<Result<_, _>>()
            .map_err(|error| SeedError::Invalid(vec![format!("{}: {error}", identity.name)]))?;
        Ok(Self { identity, certificates })
    }

    pub(super) fn check_secret(&self, secret: &str) -> Result<(), Refusal> {
        let app = || self.identity.client_id.clone();
        let known = self.identity.client_secrets.iter().find(|known| known.value == secret);
        match known.ok_or_else(|| Refusal::WrongSecret(app()))?.expires {
            Some(expires) if expires <= OffsetDateTime::now_utc() => Err(Refusal::ExpiredSecret(app())),
            _ => Ok(()),
        }
    }

    /// Whether an assertion claims to come from the client itself, not from an issuer that it trusts.
    pub(super) fn is_self_signed(&self, claims: &Claims) -> bool {
        claims.iss.eq_ignore_ascii_case(&self.identity.client_id)
    }

    /// Checks an assertion that a certificate's key signed for the endpoint of this request.
    pub(super) fn check_assertion(
        &self,
        assertion: &str,
        (header, claims): (&Header, &Claims),
        request: &TokenRequest<'_>,
    ) -> Result<(), Refusal> {
        let thumbprint = thumbprint(header).ok_or(Refusal::NoThumbprint)?;
        let named = |known: &&X509| known.sha1() == thumbprint || known.sha256() == thumbprint;
        let failed = |reason| Refusal::ClientCertificate {
            reason,
            thumbprint: HEXUPPER.encode(&thumbprint),
            client_id: self.identity.client_id.clone(),
        };
        let Some(certificate) = self.certificates.iter().find(named) else {
            return Err(failed("The key was not found."));
        };
        if certificate.not_after < request.now {
            return Err(failed("The key used is expired."));
        }
        if !is_signed(assertion, header, certificate) {
            return Err(failed("The provided signature value did not match the expected signature value."));
        }
        if !claims.sub.eq_ignore_ascii_case(&self.identity.client_id) {
            return Err(Refusal::OtherClient);
        }
        let audiences = claims.aud.as_slice();
        if !audiences.iter().any(|audience| audience.eq_ignore_ascii_case(&request.endpoint)) {
            return Err(Refusal::OtherEndpoint);
        }
        in_time(claims, request.now)
    }
}

/// `x5t#S256`, or the older `x5t` (RFC 7515 section 4.1). Some clients pad them, and Microsoft's library for Go
/// writes them in the standard alphabet of base64.
fn thumbprint(header: &Header) -> Option<Vec<u8>> {
    let text = header.x5t_s256.as_ref().or(header.x5t.as_ref())?;
    let text = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

fn is_signed(assertion: &str, header: &Header, certificate: &X509) -> bool {
    let PublicKey::Rsa { n, e } = &certificate.public_key else { return false };
    if !matches!(header.alg, Algorithm::RS256 | Algorithm::PS256) {
        return false;
    }
    let number = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let mut validation = Validation::new(header.alg);
    // The claims are checked one by one, because each has its own error code.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    DecodingKey::from_rsa_components(&number(n), &number(e))
        .and_then(|key| jsonwebtoken::decode::<Value>(assertion, &key, &validation))
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbprint_is_read_in_both_alphabets_of_base64() {
        for text in ["-_8", "-_8=", "+/8", "+/8="] {
            let header = Header { x5t_s256: Some(text.to_owned()), ..Header::default() };
            assert_eq!(thumbprint(&header), Some(vec![0xfb, 0xff]), "{text}");
        }
    }
}
