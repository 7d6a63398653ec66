//! The claims that Entra and the API server check.

use jsonwebtoken::Header;
use jsonwebtoken::dangerous::insecure_decode;
use serde::{Deserialize, Deserializer};

/// The claims; times in whole seconds.
#[derive(Debug, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) sub: String,
    pub(crate) aud: Audience,
    #[serde(deserialize_with = "seconds")]
    pub(crate) exp: i64,
    #[serde(default, deserialize_with = "some_seconds")]
    pub(crate) nbf: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    pub(crate) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(audience) => std::slice::from_ref(audience),
            Self::Many(audiences) => audiences,
        }
    }
}

impl Claims {
    /// Whether the token is good at `now`, in seconds. Times are taken by the letter: an allowance for
    /// clocks that differ would only blur tests.
    pub(crate) fn is_current(&self, now: i64) -> bool {
        now >= self.nbf.unwrap_or(0) && now < self.exp
    }
}

/// Header and claims, of which nothing is proven. Algorithm `none` is unknown to the decoder, hence no token.
pub(crate) fn read(token: &str) -> Option<(Header, Claims)> {
    insecure_decode::<Claims>(token).ok().map(|token| (token.header, token.claims))
}

/// A time may have a fraction (RFC 7519 section 2, `NumericDate`), and MSAL for Python writes one.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let time = f64::deserialize(deserializer)?;
    #[expect(clippy::cast_possible_truncation, reason = "what is cut off is the fraction")]
    Ok(time as i64)
}

fn some_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    seconds(deserializer).map(Some)
}
