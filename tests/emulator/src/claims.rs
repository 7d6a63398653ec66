//! Service account tokens: valid by default, invalid on request.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::issuer::{Issuer, Signature};
use crate::{ISSUER, TOKEN_EXCHANGE_AUDIENCE};

/// Builds a service account token. By default it is valid, for Entra's audience, and expires in an hour.
#[derive(Clone)]
pub struct TokenBuilder {
    keys: Arc<Issuer>,
    namespace: String,
    service_account: String,
    pod: Option<(String, String)>,
    audiences: Vec<String>,
    issuer: String,
    subject: String,
    kid: String,
    issued_at: OffsetDateTime,
    expires: OffsetDateTime,
    not_before: OffsetDateTime,
    signature: Signature,
}

impl TokenBuilder {
    /// `now` is the time of the issuer's clock.
    pub(crate) fn new(
        keys: Arc<Issuer>,
        namespace: &str,
        service_account: &str,
        now: OffsetDateTime,
    ) -> Self {
        Self {
            kid: keys.kid().to_owned(),
            keys,
            namespace: namespace.to_owned(),
            service_account: service_account.to_owned(),
            pod: None,
            audiences: vec![TOKEN_EXCHANGE_AUDIENCE.to_owned()],
            issuer: ISSUER.to_owned(),
            subject: format!("system:serviceaccount:{namespace}:{service_account}"),
            issued_at: now,
            expires: now + Duration::HOUR,
            not_before: now,
            signature: Signature::Genuine,
        }
    }

    /// Sets the only audience.
    #[must_use]
    pub fn audience(self, audience: &str) -> Self {
        self.audiences(&[audience])
    }

    /// Sets the audiences.
    #[must_use]
    pub fn audiences(mut self, audiences: &[&str]) -> Self {
        self.audiences = audiences.iter().map(|&audience| audience.to_owned()).collect();
        self
    }

    /// Sets the seconds until it expires; negative for an expired token.
    #[must_use]
    pub fn expires_in(mut self, seconds: i64) -> Self {
        self.expires = self.issued_at.saturating_add(Duration::seconds(seconds));
        self
    }

    /// Sets the seconds until it becomes valid.
    #[must_use]
    pub fn not_before_in(mut self, seconds: i64) -> Self {
        self.not_before = self.issued_at.saturating_add(Duration::seconds(seconds));
        self
    }

    /// Sets the issuer.
    #[must_use]
    pub fn issuer(mut self, issuer: &str) -> Self {
        issuer.clone_into(&mut self.issuer);
        self
    }

    /// Sets the subject; the `kubernetes.io` claim keeps the service account.
    #[must_use]
    pub fn subject(mut self, subject: &str) -> Self {
        subject.clone_into(&mut self.subject);
        self
    }

    /// Binds it to this pod.
    #[must_use]
    pub fn pod(mut self, name: impl Into<String>, uid: impl Into<String>) -> Self {
        self.pod = Some((name.into(), uid.into()));
        self
    }

    /// Sets the key ID.
    #[must_use]
    pub fn kid(mut self, kid: &str) -> Self {
        kid.clone_into(&mut self.kid);
        self
    }

    /// Signs the token with an untrusted key, with the key ID of the issuer's key.
    #[must_use]
    pub fn forged(mut self) -> Self {
        self.signature = Signature::Forged;
        self
    }

    /// Leaves it unsigned: algorithm `none`.
    #[must_use]
    pub fn unsigned(mut self) -> Self {
        self.signature = Signature::Missing;
        self
    }

    /// The token.
    pub fn build(&self) -> String {
        self.signed_for(&self.audiences)
    }

    /// What kubelet puts into `csi.storage.k8s.io/serviceAccount.tokens`: a JSON object with one token
    /// per audience, each for that audience alone.
    pub fn attribute(&self) -> String {
        let tokens: Map<String, Value> = self
            .audiences
            .iter()
            .map(|audience| {
                let token = self.signed_for(std::slice::from_ref(audience));
                let entry = json!({"token": token, "expirationTimestamp": self.expiration_timestamp()});
                (audience.clone(), entry)
            })
            .collect();
        Value::Object(tokens).to_string()
    }

    /// When it expires, in whole seconds as Kubernetes writes it.
    pub(crate) fn expiration_timestamp(&self) -> String {
        let whole = self.expires.replace_nanosecond(0).unwrap_or(self.expires);
        whole.format(&Rfc3339).unwrap_or_default()
    }

    fn signed_for(&self, audiences: &[String]) -> String {
        let mut kubernetes = json!({
            "namespace": self.namespace,
            "serviceaccount": {
                "name": self.service_account,
                "uid": stable_uid(&self.namespace, &self.service_account),
            },
        });
        if let (Some((name, uid)), Some(members)) = (&self.pod, kubernetes.as_object_mut()) {
            members.insert("pod".to_owned(), json!({"name": name, "uid": uid}));
        }
        let claims = json!({
            "iss": self.issuer,
            "sub": self.subject,
            "aud": audiences,
            "iat": self.issued_at.unix_timestamp(),
            "nbf": self.not_before.unix_timestamp(),
            "exp": self.expires.unix_timestamp(),
            "jti": Uuid::new_v4().to_string(),
            "kubernetes.io": kubernetes,
        });
        self.keys.sign(&self.kid, &claims, self.signature)
    }
}

impl fmt::Debug for TokenBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenBuilder")
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .field("audiences", &self.audiences)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// A service account keeps its uid from token to token.
pub(crate) fn stable_uid(namespace: &str, service_account: &str) -> String {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, namespace, service_account).hash(&mut hasher);
        hasher.finish()
    };
    Uuid::from_u64_pair(half(0), half(1)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> TokenBuilder {
        let keys = Arc::new(Issuer::new(None).unwrap());
        TokenBuilder::new(keys, "team", "app", OffsetDateTime::now_utc())
    }

    fn claims(token: &str) -> Value {
        jsonwebtoken::dangerous::insecure_decode_claims(token).unwrap()
    }

    #[test]
    fn a_token_says_what_a_bound_kubernetes_token_says() {
        let token = builder().pod("pod-1", "uid-1").build();
        let claims = claims(&token);
        assert_eq!(claims["iss"], "https://oidc.emulator.test/");
        assert_eq!(claims["sub"], "system:serviceaccount:team:app");
        assert_eq!(claims["aud"], json!(["api://AzureADTokenExchange"]));
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
        assert_eq!(claims["nbf"], claims["iat"]);
        assert_eq!(claims["kubernetes.io"]["namespace"], "team");
        assert_eq!(claims["kubernetes.io"]["serviceaccount"]["name"], "app");
        assert_eq!(claims["kubernetes.io"]["pod"], json!({"name": "pod-1", "uid": "uid-1"}));
    }

    #[test]
    fn two_tokens_of_one_service_account_share_its_uid_and_not_their_id() {
        let builder = builder();
        let (one, two) = (claims(&builder.build()), claims(&builder.build()));
        assert_eq!(
            one["kubernetes.io"]["serviceaccount"]["uid"],
            two["kubernetes.io"]["serviceaccount"]["uid"]
        );
        assert_ne!(one["jti"], two["jti"]);
    }

    #[test]
    fn the_attribute_holds_one_token_per_audience_for_that_audience_alone() {
        let attribute: Value =
            serde_json::from_str(&builder().audiences(&["api://one", "api://two"]).attribute()).unwrap();
        let token = attribute["api://two"]["token"].as_str().unwrap();
        assert_eq!(claims(token)["aud"], json!(["api://two"]));
        let expires = attribute["api://two"]["expirationTimestamp"].as_str().unwrap();
        let expires = OffsetDateTime::parse(expires, &Rfc3339).unwrap();
        assert_eq!(claims(token)["exp"], expires.unix_timestamp());
    }
}
