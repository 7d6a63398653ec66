//! The environment file of a private cloud, parsed like Go's JSON decoder: keys in any case, the last of repeated keys,
//! and `null` ignored.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

pub(super) const DIRECTORY: &str = "activeDirectoryEndpoint";
pub(super) const DNS_SUFFIX: &str = "keyVaultDNSSuffix";
pub(super) const VAULT_ENDPOINT: &str = "keyVaultEndpoint";

#[derive(Default)]
pub(super) struct EnvironmentFile {
    pub(super) directory: Option<String>,
    pub(super) dns_suffix: Option<String>,
    pub(super) vault_endpoint: Option<String>,
}

impl EnvironmentFile {
    /// The field for a key, if the key is known.
    fn field(&mut self, key: &str) -> Option<&mut Option<String>> {
        let is = |name: &str| key.eq_ignore_ascii_case(name);
        match () {
            () if is(DIRECTORY) => Some(&mut self.directory),
            () if is(DNS_SUFFIX) => Some(&mut self.dns_suffix),
            () if is(VAULT_ENDPOINT) => Some(&mut self.vault_endpoint),
            () => None,
        }
    }
}

impl<'de> Deserialize<'de> for EnvironmentFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FileVisitor)
    }
}

struct FileVisitor;

impl<'de> Visitor<'de> for FileVisitor {
    type Value = EnvironmentFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<EnvironmentFile, A::Error> {
        let mut file = EnvironmentFile::default();
        while let Some(key) = map.next_key::<String>()? {
            match file.field(&key) {
                Some(field) => {
                    if let Some(text) = map.next_value::<Option<String>>()? {
                        *field = Some(text).filter(|text| !text.trim().is_empty());
                    }
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(file)
    }
}
