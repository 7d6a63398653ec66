//! The service account token issuer's keys: signing, publishing, verifying.

use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::jwk::{Jwk, JwkSet, ThumbprintHash};
use jsonwebtoken::{DecodingKey, Header, Validation};
use serde_json::{Value, json};

/// The reason why no issuer could be created.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// Generating the key failed.
    #[error("failed to generate an RSA key")]
    Key,
    /// The key cannot be published.
    #[error(transparent)]
    Jwt(#[from] jsonwebtoken::errors::Error),
    /// The other cluster's keys are not a JSON Web Key Set.
    #[error("failed to parse the other cluster's key set: {0}")]
    Jwks(#[from] serde_json::Error),
}

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signature {
    /// With the published key.
    Genuine,
    /// With a key that is not published.
    Forged,
    /// Unsigned: algorithm `none`.
    Missing,
}

/// The reason why a token's signature is invalid.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SignatureError {
    /// No published key has this id.
    UnknownKey(String),
    /// The signature is not from the key with this ID.
    Mismatch(String),
}

/// The issuer, and the published keys of another cluster if Entra trusts them, too.
pub(crate) struct Issuer {
    key: RsaKeyPair,
    forger: OnceLock<RsaKeyPair>,
    kid: String,
    own: JwkSet,
    other: JwkSet,
}

impl Issuer {
    pub(crate) fn new(other_jwks: Option<&str>) -> Result<Self, IssuerError> {
        let other = match other_jwks {
            Some(json) => serde_json::from_str(json)?,
            None => JwkSet { keys: Vec::new() },
        };
        let key = rsa_key().ok_or(IssuerError::Key)?;
        let mut jwk = published(&key)?;
        let kid = jwk.thumbprint(ThumbprintHash::SHA256)?;
        jwk.common.key_id = Some(kid.clone());
        Ok(Self { key, forger: OnceLock::new(), kid, own: JwkSet { keys: vec![jwk] }, other })
    }

    /// The id of the published key.
    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// The issuer's own keys, as it publishes them.
    pub(crate) fn jwks(&self) -> Value {
        json!(self.own)
    }

    pub(crate) fn sign(&self, kid: &str, claims: &Value, signature: Signature) -> String {
        let algorithm = if signature == Signature::Missing { "none" } else { "RS256" };
        let header = json!({"alg": algorithm, "kid": kid, "typ": "JWT"});
        let input = format!("{}.{}", encoded(&header), encoded(claims));
        let signature = match signature {
            Signature::Genuine => rs256(&self.key, &input),
            Signature::Forged => rs256(self.forger(), &input),
            Signature::Missing => String::new(),
        };
        format!("{input}.{signature}")
    }

    /// Checks a token's signature with the keys of every issuer there is: the emulator's own key stands
    /// for every issuer that a federated credential names, since there is nowhere to fetch others from.
    pub(crate) fn verify(&self, token: &str, header: &Header) -> Result<(), SignatureError> {
        let kid = header.kid.clone().unwrap_or_default();
        let Some(jwk) = self.own.find(&kid).or_else(|| self.other.find(&kid)) else {
            return Err(SignatureError::UnknownKey(kid));
        };
        let mut validation = Validation::new(header.alg);
        // Entra checks the claims, because each has its own error code.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        DecodingKey::from_jwk(jwk)
            .and_then(|key| jsonwebtoken::decode::<Value>(token, &key, &validation))
            .map_err(|_| SignatureError::Mismatch(kid))?;
        Ok(())
    }

    fn forger(&self) -> &RsaKeyPair {
        self.forger.get_or_init(|| {
            #[expect(clippy::expect_used, reason = "a key was made at the start, so another one can be")]
            rsa_key().expect("failed to generate an RSA key")
        })
    }
}

fn rsa_key() -> Option<RsaKeyPair> {
    RsaKeyPair::generate(KeySize::Rsa2048).ok()
}

fn published(key: &RsaKeyPair) -> Result<Jwk, serde_json::Error> {
    let public = key.public_key();
    let number = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    serde_json::from_value(json!({
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "n": number(public.modulus().big_endian_without_leading_zero()),
        "e": number(public.exponent().big_endian_without_leading_zero()),
    }))
}

#[expect(clippy::expect_used, reason = "a whole key and a buffer of its size are all it takes")]
fn rs256(key: &RsaKeyPair, input: &str) -> String {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature)
        .expect("the key does not sign");
    BASE64URL_NOPAD.encode(&signature)
}

fn encoded(part: &Value) -> String {
    BASE64URL_NOPAD.encode(part.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(issuer: &Issuer, token: &str) -> Result<(), SignatureError> {
        issuer.verify(token, &jsonwebtoken::decode_header(token).unwrap())
    }

    #[test]
    fn a_genuine_token_verifies_and_a_forged_one_with_the_same_key_id_does_not() {
        let issuer = Issuer::new(None).unwrap();
        let claims = json!({"sub": "a"});
        let genuine = issuer.sign(issuer.kid(), &claims, Signature::Genuine);
        let forged = issuer.sign(issuer.kid(), &claims, Signature::Forged);
        let stray = issuer.sign("elsewhere", &claims, Signature::Genuine);
        assert_eq!(verdict(&issuer, &genuine), Ok(()));
        assert_eq!(verdict(&issuer, &forged), Err(SignatureError::Mismatch(issuer.kid().to_owned())));
        assert_eq!(verdict(&issuer, &stray), Err(SignatureError::UnknownKey("elsewhere".to_owned())));
    }

    #[test]
    fn a_token_of_another_cluster_verifies_once_its_keys_are_known() {
        let cluster = Issuer::new(None).unwrap();
        let token = cluster.sign(cluster.kid(), &json!({}), Signature::Genuine);
        let stranger = Issuer::new(None).unwrap();
        let acquainted = Issuer::new(Some(&cluster.jwks().to_string())).unwrap();
        assert!(verdict(&stranger, &token).is_err());
        assert_eq!(verdict(&acquainted, &token), Ok(()));
    }
}
