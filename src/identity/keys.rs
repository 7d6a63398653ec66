//! The cluster's public keys, which prove service account tokens without asking Entra.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use tokio::time::{Instant, timeout};
use url::Url;

use super::cluster::{ClusterApi, fetch};
use crate::flight::Flights;
use crate::plan::{Claims, ServiceAccountToken};
use crate::tenant::Tenant;
use crate::text;

/// Where the keys come from.
#[derive(Debug)]
pub enum KeySource {
    /// Nowhere: Entra proves every token.
    None,
    /// A JSON Web Key Set in a file, and the issuer whose keys they are.
    File(PathBuf, String),
    /// A JSON Web Key Set behind an https URL, and the issuer whose keys they are.
    Url(Url, String),
    /// The API server's own discovery.
    Cluster(ClusterApi),
}

/// The keys are fetched no more often than this, whatever key ids tokens claim.
const REFETCH: Duration = Duration::from_secs(60);
/// While there are no keys at all, they are fetched this often: a provider that starts before its source can be reached
/// must not do without them for longer.
const RETRY: Duration = Duration::from_secs(5);
/// A key that the issuer no longer publishes proves nothing any more, after this time.
const RELOAD: Duration = Duration::from_secs(3600);
/// No mount waits longer than this for keys; without them Entra proves its token.
const LOAD_TIMEOUT: Duration = Duration::from_secs(3);

/// What the keys say of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// It is signed by the cluster, for the token exchange, and alive.
    Proven,
    /// It is not, for this reason.
    Failed(&'static str),
    /// There are no keys to tell.
    NoKeys,
}

/// Keys by their ids, as the issuer publishes them.
struct KeySet {
    issuer: String,
    keys: HashMap<String, DecodingKey>,
    loaded: Instant,
}

/// The cluster's keys: loaded when the first token comes, kept, and fetched again when they are an
/// hour old or a token names a key that is not among them. Keys that were there stay through an
/// outage of their source.
#[derive(Clone, Debug)]
pub struct ServiceAccountKeys(Arc<Shared>);

struct Shared {
    source: KeySource,
    client: reqwest::Client,
    current: RwLock<Option<Arc<KeySet>>>,
    loads: Flights<(), Loaded>,
}

/// Keys have been asked for; they need not be asked for again so soon.
#[derive(Clone, Copy, Debug)]
struct Loaded {
    pause: Duration,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("source", &self.source).finish_non_exhaustive()
    }
}

impl ServiceAccountKeys {
    /// Keys from `source`, by `client` if that is a URL.
    pub fn new(source: KeySource, client: reqwest::Client) -> Self {
        Self(Arc::new(Shared {
            source,
            client,
            current: RwLock::new(None),
            loads: Flights::remembering(|load| load.pause),
        }))
    }

    /// Checks signature, issuer, audience and life of a token at the time `now`.
    pub async fn verify(&self, token: &ServiceAccountToken, audience: &str, now: SystemTime) -> Verification {
        if matches!(self.0.source, KeySource::None) {
            return Verification::NoKeys;
        }
        let Ok(header) = jsonwebtoken::decode_header(token.expose()) else {
            return Verification::Failed("its header names no known algorithm");
        };
        let Some(key_id) = header.kid else {
            return if self.keys_with(None).await.is_some() {
                Verification::Failed("it names no key")
            } else {
                Verification::NoKeys
            };
        };
        let Some(set) = self.keys_with(Some(&key_id)).await else { return Verification::NoKeys };
        let Some(key) = set.keys.get(&key_id) else {
            return Verification::Failed("it names a key that the cluster does not publish");
        };
        match check(token, key, header.alg, (&set.issuer, audience), now) {
            Ok(()) => Verification::Proven,
            Err(reason) => Verification::Failed(reason),
        }
    }

    /// The keys, loaded if there are none, or if `key_id` is not among them and the last load is
    /// not too recent.
    async fn keys_with(&self, key_id: Option<&str>) -> Option<Arc<KeySet>> {
        let set = self.0.current();
        match set.filter(|set| key_id.is_none_or(|key_id| set.keys.contains_key(key_id))) {
            Some(set) => {
                if set.loaded.elapsed() >= RELOAD {
                    tokio::spawn(self.0.refresh());
                }
                Some(set)
            }
            None => {
                // A task of its own: a mount that gives up does not leave the others without keys.
                let loading = tokio::spawn(self.0.refresh());
                if timeout(LOAD_TIMEOUT, loading).await.is_err() {
                    tracing::warn!(
                        "the service account keys were not loaded in time; until they are, Entra proves each token"
                    );
                }
                self.0.current()
            }
        }
    }
}

impl Shared {
    fn current(&self) -> Option<Arc<KeySet>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Loads the keys, unless they have been asked for too recently.
    fn refresh(self: &Arc<Self>) -> impl Future<Output = Loaded> + Send + use<> {
        // The keys are the cluster's: no tenant's share of anything is used.
        let (load, _) = self.loads.join_or_start((), &Tenant::new(""), |_| {
            let shared = Arc::clone(self);
            async move {
                match shared.load().await {
                    Ok((issuer, keys)) => {
                        tracing::info!(keys = keys.len(), issuer, "service account keys loaded");
                        let set = KeySet { issuer, keys, loaded: Instant::now() };
                        *shared.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(set));
                    }
                    Err(reason) => tracing::warn!(reason, "cannot load the service account keys"),
                }
                Loaded { pause: if shared.current().is_some() { REFETCH } else { RETRY } }
            }
        });
        load
    }

    async fn load(&self) -> Result<(String, HashMap<String, DecodingKey>), String> {
        let (issuer, json) = match &self.source {
            KeySource::None => return Err("there is no source of keys".to_owned()),
            KeySource::File(path, issuer) => {
                let unreadable = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
                let bytes = tokio::fs::read(path).await.map_err(|error| unreadable(&error))?;
                let json = text::decode(bytes).map_err(|error| unreadable(&error))?;
                (issuer.clone(), json.into_bytes())
            }
            KeySource::Url(url, issuer) => (
                issuer.clone(),
                fetch(self.client.get(url.clone())).await.map_err(|error| error.to_string())?,
            ),
            KeySource::Cluster(api) => api.keys().await.map_err(|error| error.to_string())?,
        };
        Ok((issuer, keys(&json)?))
    }
}

#[derive(Deserialize)]
struct KeysDocument {
    keys: Vec<serde_json::Value>,
}

fn keys(json: &[u8]) -> Result<HashMap<String, DecodingKey>, String> {
    let document: KeysDocument = serde_json::from_slice(json)
        .map_err(|_| "the document is not a JSON Web Key Set (RFC 7517)".to_owned())?;
    // A set may hold keys of kinds that signed no service account token; those are passed over.
    let keys = document
        .keys
        .into_iter()
        .filter_map(|key| serde_json::from_value::<Jwk>(key).ok())
        .filter_map(|key| {
            let id = key.common.key_id.clone()?;
            DecodingKey::from_jwk(&key).ok().map(|key| (id, key))
        })
        .collect::<HashMap<_, _>>();
    if keys.is_empty() {
        return Err("the JSON Web Key Set holds no usable key with an id".to_owned());
    }
    Ok(keys)
}

/// What API servers sign with.
const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::ES256, Algorithm::ES384];

fn check(
    token: &ServiceAccountToken,
    key: &DecodingKey,
    algorithm: Algorithm,
    (issuer, audience): (&str, &str),
    now: SystemTime,
) -> Result<(), &'static str> {
    if !ALGORITHMS.contains(&algorithm) {
        return Err("it is signed with an algorithm that no API server uses");
    }
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[issuer]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // Life is reckoned with our own clock, below.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    jsonwebtoken::decode::<serde_json::Value>(token.expose(), key, &validation)
        .map_err(|_| "its signature, issuer or audience is not the cluster's")?;
    alive(token.claims(), now)
}

/// Whether the token is alive at `now`, and for a moment longer, since Entra has another clock. kubelet
/// renews a token long before its end.
pub(super) fn alive(claims: &Claims, now: SystemTime) -> Result<(), &'static str> {
    match (claims.not_before, claims.expires) {
        (Some(not_before), _) if not_before > now + Duration::from_secs(60) => Err("it is not yet valid"),
        (_, Some(expires)) if expires > now + Duration::from_secs(30) => Ok(()),
        _ => Err("it has expired"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first example of RFC 7517, appendix A.1.
    const KEY_SET: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"1",
        "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

    #[tokio::test(start_paused = true)]
    async fn keys_that_could_not_be_loaded_are_there_seconds_after_their_source_and_unknown_ones_cost_one_load_a_minute()
     {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        let source = KeySource::File(path.clone(), "issuer".to_owned());
        let keys = ServiceAccountKeys::new(source, crate::transport::builder().build().unwrap());
        assert!(keys.keys_with(Some("1")).await.is_none(), "there is no file yet");
        std::fs::write(&path, KEY_SET).unwrap();
        assert!(keys.keys_with(Some("1")).await.is_none(), "mounts at the same time do not all ask");
        tokio::time::advance(RETRY).await;
        let first = keys.keys_with(Some("1")).await.unwrap();

        tokio::time::advance(RETRY).await;
        let same = keys.keys_with(Some("claimed by a token")).await.unwrap();
        assert!(Arc::ptr_eq(&first, &same), "an unknown key id makes the provider ask too often");
        tokio::time::advance(REFETCH).await;
        let again = keys.keys_with(Some("claimed by a token")).await.unwrap();
        assert!(!Arc::ptr_eq(&first, &again), "the issuer may have a new key");
    }
}
