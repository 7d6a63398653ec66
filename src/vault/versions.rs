//! Selects the versions of an object.

use azure_core::time::OffsetDateTime;
use futures_util::{TryStream, TryStreamExt};

use super::answer::failed;
use super::error::{VaultError, VaultFailure};
use crate::plan::{History, ObjectPlan};

/// A version in a vault's listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) id: String,
    pub(super) enabled: bool,
    /// In whole seconds.
    pub(super) created: i64,
}

/// Limit for a listing: Key Vault's own backup holds 500 versions. It bounds how much a server can make
/// this process read.
const MAX_VERSIONS: usize = 10_000;

/// Reads a listing page by page. `read` returns a version's id, whether it is enabled, and its creation time.
pub(super) async fn collect<P>(
    object: &ObjectPlan,
    pager: azure_core::Result<impl TryStream<Ok = P, Error = azure_core::Error> + Unpin>,
    read: impl Fn(P) -> (Option<String>, Option<bool>, Option<OffsetDateTime>),
) -> Result<Vec<Version>, VaultError> {
    let malformed = |what: &str| VaultError::of(object, VaultFailure::Malformed(what.to_owned()));
    let mut pager = pager.map_err(|error| failed(object, &error))?;
    let mut versions = Vec::new();
    while let Some(listed) = pager.try_next().await.map_err(|error| failed(object, &error))? {
        let (id, enabled, created) = read(listed);
        let id = id.ok_or_else(|| malformed("it lists a version without an id"))?;
        let created = created.map_or(0, OffsetDateTime::unix_timestamp);
        versions.push(Version { id, enabled: enabled.unwrap_or(true), created });
        if versions.len() > MAX_VERSIONS {
            return Err(malformed("its list of versions has no end"));
        }
    }
    Ok(versions)
}

/// The newest `history` enabled versions, starting at `object`'s own version if it names one. Versions of the same
/// second have no order in Key Vault; the greater id counts as the newer.
pub(super) fn choose(
    mut versions: Vec<Version>,
    object: &ObjectPlan,
    history: History,
) -> Result<Vec<String>, VaultError> {
    versions.sort_by(|one, other| (other.created, &other.id).cmp(&(one.created, &one.id)));
    let first = match object.version.exact() {
        None => Some(0),
        Some(wanted) => versions.iter().position(|version| version.id == wanted),
    };
    let wanted = first.map_or_else(Vec::new, |first| versions.split_off(first));
    if wanted.is_empty() {
        return Err(VaultError::of(object, VaultFailure::NotFound));
    }
    let enabled = wanted.into_iter().filter(|version| version.enabled).map(|version| version.id);
    let chosen = enabled.take(history.count()).collect::<Vec<_>>();
    if chosen.is_empty() { Err(VaultError::of(object, VaultFailure::Disabled)) } else { Ok(chosen) }
}
