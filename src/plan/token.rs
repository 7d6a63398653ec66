//! The pod's service account token and its unverified claims.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use zeroize::ZeroizeOnDrop;

use super::attributes::{Attributes, TOKENS};
use super::finding::Fault;
use crate::secret::SecretText;

/// The audience that Entra's federated credentials expect.
pub const TOKEN_EXCHANGE_AUDIENCE: &str = "api://AzureADTokenExchange";
/// The audience that the token proxy of AKS expects.
pub const IDENTITY_BINDING_AUDIENCE: &str = "api://AKSIdentityBinding";

/// A service account token from the request. Its claims are not verified: a pod or a class may have set it. The cluster's
/// keys or Entra verify its signature later.
#[derive(Clone, Debug)]
pub struct ServiceAccountToken {
    raw: SecretText,
    claims: Claims,
}

/// The claims of a token (RFC 7519).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `iss`: the cluster's issuer URL.
    pub issuer: String,
    /// `sub`: `system:serviceaccount:<namespace>:<name>`.
    pub subject: String,
    /// `aud`: the audiences.
    pub audiences: Vec<String>,
    /// `exp`: the time of expiry.
    pub expires: Option<SystemTime>,
    /// `nbf`: the time from which the token is valid.
    pub not_before: Option<SystemTime>,
}

#[derive(Deserialize)]
struct RawClaims {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<OneOrMany>,
    exp: Option<f64>,
    nbf: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// The token of one audience. Zeroized on drop, also if the mount does not use it.
#[derive(Deserialize, ZeroizeOnDrop)]
struct TokenEntry {
    token: String,
}

impl ServiceAccountToken {
    /// Parses a JSON Web Token for `audience` without verifying its signature.
    pub fn parse(raw: String, audience: &str) -> Result<Self, Fault> {
        let raw = SecretText::new(raw);
        let wrong = |why: &str| {
            Fault::new(
                format!("the token for audience {audience} {why}"),
                format!("remove {TOKENS} from volumeAttributes and parameters; kubelet sets it"),
            )
        };
        let claims: RawClaims = jsonwebtoken::dangerous::insecure_decode_claims(raw.expose())
            .map_err(|_| wrong("is not a JSON Web Token"))?;
        let (Some(issuer), Some(subject)) = (claims.iss, claims.sub) else {
            return Err(wrong("has no issuer or no subject"));
        };
        let audiences: Vec<String> = match claims.aud {
            None => Vec::new(),
            Some(OneOrMany::One(audience)) => vec![audience],
            Some(OneOrMany::Many(audiences)) => audiences,
        };
        // Errors and logs show these claims.
        let invalid = |text: &String| text.len() > 1024 || text.chars().any(char::is_control);
        if audiences.len() > 16 || invalid(&issuer) || invalid(&subject) || audiences.iter().any(invalid) {
            return Err(wrong("has claims that are too long or contain control characters"));
        }
        let claims = Claims {
            issuer,
            subject,
            audiences,
            expires: claims.exp.and_then(time),
            not_before: claims.nbf.and_then(time),
        };
        Ok(Self { raw, claims })
    }

    /// Finds the token for an audience, first in the secrets, then in the attributes.
    pub(super) fn find(audience: &str, secrets: &Attributes, attributes: &Attributes) -> Result<Self, Fault> {
        let help = || {
            format!(
                "the CSIDriver object secrets-store.csi.k8s.io must have tokenRequests: [{{audience: {audience}}}] (Helm: tokenRequests[0].audience={audience})"
            )
        };
        let Some(json) = secrets.text(TOKENS).or_else(|| attributes.text(TOKENS)) else {
            return Err(Fault::new("the request has no service account token", help()));
        };
        let mut tokens: BTreeMap<String, TokenEntry> = serde_json::from_str(json).map_err(|_| {
            Fault::new(
                "it is not a JSON object of tokens by audience",
                "remove it from volumeAttributes and parameters; kubelet sets it",
            )
        })?;
        match tokens.remove(audience) {
            Some(mut entry) => Self::parse(std::mem::take(&mut entry.token), audience),
            None => Err(Fault::new(format!("there is no token for audience {audience}"), help())),
        }
    }

    /// The token's text, to send it or to verify it.
    pub fn expose(&self) -> &str {
        self.raw.expose()
    }

    /// The unverified claims.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }
}

fn time(seconds: f64) -> Option<SystemTime> {
    let seconds = Duration::try_from_secs_f64(seconds).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(seconds)
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;
    use proptest::prelude::*;

    use super::*;

    fn jwt(claims: &str) -> String {
        let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        format!("{}.{}.{}", part(r#"{"alg":"RS256"}"#), part(claims), part("signature"))
    }

    #[test]
    fn claims_are_parsed() {
        let token =
            jwt(r#"{"iss":"https://i/","sub":"system:serviceaccount:a:b","aud":["x"],"exp":7,"nbf":5.5}"#);
        let token = ServiceAccountToken::parse(token, TOKEN_EXCHANGE_AUDIENCE).unwrap();
        assert_eq!(token.claims().subject, "system:serviceaccount:a:b");
        assert_eq!(token.claims().audiences, ["x"]);
        assert_eq!(token.claims().expires, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(7)));
    }

    #[test]
    fn an_invalid_token_is_refused_and_not_shown() {
        let lines = jwt(r#"{"iss":"i\nforged line","sub":"s"}"#);
        let long = jwt(&format!(r#"{{"iss":"i","sub":"{}"}}"#, "s".repeat(2000)));
        let twice = jwt(r#"{"iss":"i","sub":"one","sub":"two"}"#);
        let infinite = jwt(r#"{"iss":"i","sub":"s","exp":1e400}"#);
        for bad in ["", "hunter2", "a.b.c", &jwt("{}"), &jwt("[]"), &infinite, &lines, &long, &twice] {
            let fault = ServiceAccountToken::parse(bad.to_owned(), TOKEN_EXCHANGE_AUDIENCE).unwrap_err();
            assert!(!fault.problem.contains("hunter2"), "{fault:?}");
        }
        let far = ServiceAccountToken::parse(
            jwt(r#"{"iss":"i","sub":"s","exp":1e300,"nbf":-1}"#),
            TOKEN_EXCHANGE_AUDIENCE,
        )
        .unwrap();
        assert_eq!((far.claims().expires, far.claims().not_before), (None, None));
    }

    #[test]
    fn a_token_in_the_secrets_takes_precedence() {
        let entry = |subject: &str| {
            let token = jwt(&format!(r#"{{"iss":"i","sub":"{subject}"}}"#));
            let tokens = serde_json::json!({ TOKEN_EXCHANGE_AUDIENCE: { "token": token } }).to_string();
            Attributes::parse("x", &serde_json::json!({ TOKENS: tokens }).to_string()).unwrap()
        };
        let found =
            ServiceAccountToken::find(TOKEN_EXCHANGE_AUDIENCE, &entry("first"), &entry("second")).unwrap();
        assert_eq!(found.claims().subject, "first");
        let found =
            ServiceAccountToken::find(TOKEN_EXCHANGE_AUDIENCE, &Attributes::default(), &entry("second"))
                .unwrap();
        assert_eq!(found.claims().subject, "second");
        let missing = ServiceAccountToken::find(
            TOKEN_EXCHANGE_AUDIENCE,
            &Attributes::default(),
            &Attributes::default(),
        )
        .unwrap_err();
        assert!(missing.help.contains("tokenRequests"));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC{0,200}") {
            let _ = ServiceAccountToken::parse(text, TOKEN_EXCHANGE_AUDIENCE);
        }
    }
}
