//! Whether a service account token proves what it claims, checked in Entra's order.

use jsonwebtoken::dangerous::insecure_decode;
use serde::Deserialize;
use time::OffsetDateTime;

use super::Refusal;
use crate::issuer::{Issuer, SignatureError};
use crate::seed::FederatedCredential;

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(audience) => std::slice::from_ref(audience),
            Self::Many(audiences) => audiences,
        }
    }
}

/// Issuer, subject and audience must match one credential; then signature and time are looked at.
/// Times are taken by the letter: Entra's allowance for clocks that differ would only blur tests.
pub(super) fn check(
    assertion: &str,
    credentials: &[FederatedCredential],
    issuer: &Issuer,
) -> Result<(), Refusal> {
    // Algorithm `none` is unknown to the decoder, hence malformed, as it is to Entra.
    let token = insecure_decode::<Claims>(assertion).map_err(|_| Refusal::MalformedAssertion)?;
    let claims = token.claims;

    let mut matching: Vec<_> =
        credentials.iter().filter(|credential| credential.issuer == claims.iss).collect();
    if matching.is_empty() {
        return Err(Refusal::Issuer(claims.iss));
    }
    matching.retain(|credential| credential.subject == claims.sub);
    if matching.is_empty() {
        return Err(Refusal::Subject(claims.sub));
    }
    let audiences = claims.aud.as_slice();
    if !matching.iter().any(|credential| audiences.contains(&credential.audience)) {
        return Err(Refusal::Audience(audiences.join(",")));
    }
    issuer.verify(assertion, &token.header).map_err(|error| match error {
        SignatureError::UnknownKey(kid) => Refusal::UnknownKey { kid, issuer: claims.iss.clone() },
        SignatureError::Mismatch(kid) => Refusal::Signature { kid },
    })?;

    let now = OffsetDateTime::now_utc();
    let not_before = claims.nbf.unwrap_or(0);
    if now.unix_timestamp() < not_before || now.unix_timestamp() >= claims.exp {
        return Err(Refusal::TimeRange { now, not_before, expires: claims.exp });
    }
    Ok(())
}
