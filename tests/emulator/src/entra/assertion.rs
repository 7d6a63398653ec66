//! Checks a service account token, in Entra's order.

use jsonwebtoken::Header;
use time::OffsetDateTime;

use super::{Refusal, TokenRequest};
use crate::IDENTITY_BINDING_AUDIENCE;
use crate::issuer::{Issuer, SignatureError};
use crate::jwt::Claims;
use crate::seed::FederatedCredential;

/// Issuer, subject and audience must match one credential; then signature and time are looked at. A credential
/// for identity binding is good at the cluster's token proxy only, and there no other is.
pub(super) fn check(
    assertion: &str,
    (header, claims): (&Header, &Claims),
    credentials: &[FederatedCredential],
    issuer: &Issuer,
    request: &TokenRequest<'_>,
) -> Result<(), Refusal> {
    let mut matching: Vec<_> =
        credentials.iter().filter(|credential| credential.issuer == claims.iss).collect();
    if matching.is_empty() {
        return Err(Refusal::Issuer(claims.iss.clone()));
    }
    matching.retain(|credential| credential.subject == claims.sub);
    if matching.is_empty() {
        return Err(Refusal::Subject(claims.sub.clone()));
    }
    let audiences = claims.aud.as_slice();
    matching
        .retain(|credential| (credential.audience == IDENTITY_BINDING_AUDIENCE) == request.at_token_proxy);
    if !matching.iter().any(|credential| audiences.contains(&credential.audience)) {
        return Err(Refusal::Audience(audiences.join(",")));
    }
    issuer.verify(assertion, header).map_err(|error| match error {
        SignatureError::UnknownKey(kid) => Refusal::UnknownKey { kid, issuer: claims.iss.clone() },
        SignatureError::Mismatch(kid) => Refusal::Signature { kid },
    })?;
    in_time(claims, request.now)
}

/// Whether an assertion is valid at this time.
pub(super) fn in_time(claims: &Claims, now: OffsetDateTime) -> Result<(), Refusal> {
    if claims.is_current(now.unix_timestamp()) {
        return Ok(());
    }
    Err(Refusal::TimeRange { now, not_before: claims.nbf.unwrap_or(0), expires: claims.exp })
}
