//! Common parts of secrets, keys and certificates: a name, and versions with attributes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::Collection;
use super::refusal::Refusal;

/// A collection of one vault, by lower-case name: object names have no case.
pub(crate) type Objects<T> = BTreeMap<String, Object<T>>;

/// An object with content of type `T`.
#[derive(Debug)]
pub(crate) struct Object<T> {
    pub(crate) name: String,
    /// Whether it belongs to a certificate of the same name.
    pub(crate) managed: bool,
    /// Oldest first, never empty.
    pub(crate) versions: Vec<Version<T>>,
}

/// One version of an object.
#[derive(Debug, Clone)]
pub(crate) struct Version<T> {
    pub(crate) meta: Meta,
    pub(crate) content: T,
}

/// Metadata of a version of any object.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    pub(crate) id: String,
    pub(crate) enabled: bool,
    pub(crate) created: OffsetDateTime,
    pub(crate) updated: OffsetDateTime,
    pub(crate) not_before: Option<OffsetDateTime>,
    pub(crate) expires: Option<OffsetDateTime>,
    pub(crate) tags: BTreeMap<String, String>,
}

/// The requested [`Meta`] of a version.
#[derive(Debug)]
pub(crate) struct Draft {
    /// Made up if there is none.
    pub(crate) id: Option<String>,
    pub(crate) enabled: bool,
    pub(crate) created: Option<OffsetDateTime>,
    pub(crate) not_before: Option<OffsetDateTime>,
    pub(crate) expires: Option<OffsetDateTime>,
    pub(crate) tags: BTreeMap<String, String>,
}

impl<T> Object<T> {
    pub(crate) fn new(name: &str, managed: bool, versions: Vec<Version<T>>) -> Self {
        Self { name: name.to_owned(), managed, versions }
    }

    /// This version, or the newest.
    pub(crate) fn version(&self, id: Option<&str>) -> Option<&Version<T>> {
        match id {
            Some(id) => self.versions.iter().find(|version| version.meta.id.eq_ignore_ascii_case(id)),
            None => self.versions.last(),
        }
    }

    /// Adds a version, whose id it returns. Without a time of its own it is the newest by its time, too: Key
    /// Vault keeps whole seconds, and a test writes several versions in one.
    pub(crate) fn add(&mut self, draft: Draft, content: T) -> String {
        let now = OffsetDateTime::now_utc();
        let newest = match self.versions.last() {
            Some(last) => now.max(last.meta.created.saturating_add(Duration::SECOND)),
            None => now,
        };
        let meta = draft.made(newest);
        let id = meta.id.clone();
        self.versions.push(Version { meta, content });
        // Stable: of equal times, the one that came last stays last.
        self.versions.sort_by_key(|version| version.meta.created);
        id
    }
}

impl Meta {
    /// The attributes as Key Vault writes them.
    pub(crate) fn attributes(&self) -> Value {
        let mut attributes = Map::new();
        attributes.insert("enabled".to_owned(), json!(self.enabled));
        for (name, time) in [
            ("nbf", self.not_before),
            ("exp", self.expires),
            ("created", Some(self.created)),
            ("updated", Some(self.updated)),
        ] {
            if let Some(time) = time {
                attributes.insert(name.to_owned(), json!(time.unix_timestamp()));
            }
        }
        attributes.insert("recoveryLevel".to_owned(), json!("Recoverable+Purgeable"));
        attributes.insert("recoverableDays".to_owned(), json!(90));
        Value::Object(attributes)
    }

    /// Adds its tags; Key Vault leaves the field out if there are none.
    pub(crate) fn tag(&self, object: &mut Map<String, Value>) {
        if !self.tags.is_empty() {
            object.insert("tags".to_owned(), json!(self.tags));
        }
    }
}

impl Draft {
    fn made(self, created: OffsetDateTime) -> Meta {
        let created = self.created.unwrap_or(created);
        let id = self.id.unwrap_or_else(|| Uuid::new_v4().simple().to_string());
        Meta {
            id: id.to_ascii_lowercase(),
            enabled: self.enabled,
            created,
            updated: created,
            not_before: self.not_before,
            expires: self.expires,
            tags: self.tags,
        }
    }
}

/// The versions of a seeded object, given oldest first. Without times of their own the last is made now and
/// those before it a second earlier each.
pub(crate) fn history<T>(drafts: Vec<(Draft, T)>, now: OffsetDateTime) -> Vec<Version<T>> {
    let mut created = now;
    let mut versions: Vec<Version<T>> = drafts
        .into_iter()
        .rev()
        .map(|(draft, content)| {
            let version = Version { meta: draft.made(created), content };
            created -= Duration::SECOND;
            version
        })
        .collect();
    versions.reverse();
    versions.sort_by_key(|version| version.meta.created);
    versions
}

/// The object of this name and this version of it, or the newest.
pub(crate) fn find<'a, T>(
    objects: &'a Objects<T>,
    collection: Collection,
    name: &str,
    version: Option<&str>,
) -> Result<(&'a Object<T>, &'a Version<T>), Refusal> {
    let object = objects.get(&name.to_ascii_lowercase());
    object.and_then(|object| Some((object, object.version(version)?))).ok_or_else(|| {
        let asked = match version {
            Some(version) => format!("{name}/{version}"),
            None => name.to_owned(),
        };
        Refusal::NotFound(collection, asked)
    })
}
