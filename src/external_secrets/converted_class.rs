//! A class that convert makes, and what it is made of.

use super::data::{CertificatePart, KeyItem, VaultObject, VaultValue};
use super::extract;
use super::login::ClassLogin;
use super::secret::ExternalSecret;
use super::store::Store;
use super::workload::{ShownKey, VolumeView};
use crate::plan::FileMode;

/// A class that mounts one view of the Secret of an `ExternalSecret`.
#[derive(Clone, Debug)]
pub(super) struct ConvertedClass {
    pub name: String,
    pub view: VolumeView,
    /// Whether the driver also creates the Secret.
    pub syncs: bool,
}

/// The input for a class.
pub(super) struct ClassSources<'a> {
    pub secret: &'a ExternalSecret,
    pub store: &'a Store,
    pub login: &'a ClassLogin,
    /// The store of an object whose element names one, or why the class cannot use that store.
    pub other_store: &'a dyn Fn(&VaultObject) -> Result<Option<&'a Store>, String>,
}

impl ConvertedClass {
    /// The items that this view shows, and the keys that no item has.
    pub(super) fn items<'a>(&'a self, items: &[KeyItem]) -> (Vec<KeyItem>, Vec<&'a str>) {
        let Some(shown) = &self.view.items else { return (items.to_vec(), Vec::new()) };
        let is_shown = |item: &&KeyItem| shown.iter().any(|shown| item.key.as_ref() == Some(&shown.key));
        let mut found = items.iter().filter(is_shown).cloned().collect::<Vec<_>>();
        let mut missing = Vec::new();
        for ShownKey { key, .. } in shown {
            if found.iter().any(|item| item.key.as_ref() == Some(key)) {
                continue;
            }
            match extract::find(items, key) {
                Some(item) => found.push(item),
                None => missing.push(key.as_str()),
            }
        }
        (found, missing)
    }

    /// The paths and modes of a key in this view. `file` is the path in a view of all keys.
    pub(super) fn paths<'a>(&'a self, key: &'a str, file: &'a str) -> Vec<(&'a str, Option<FileMode>)> {
        match &self.view.items {
            None => vec![(file, self.view.mode)],
            Some(items) => {
                let items = items.iter().filter(|shown| shown.key == key);
                items.map(|shown| (shown.path.as_str(), shown.mode.or(self.view.mode))).collect()
            }
        }
    }
}

impl VaultValue {
    /// The name of its file in a view of all keys.
    pub(super) fn file(&self) -> String {
        match self.part {
            None => self.key.clone(),
            Some(CertificatePart::Certificates | CertificatePart::PrivateKey) => {
                format!("{}.pem", self.object.alias)
            }
        }
    }
}
