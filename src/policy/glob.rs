//! Globs for names: `*` matches any text, `?` matches one character. Characters that no name can contain are refused.

use serde::Deserialize;
use wildmatch::WildMatch;

use crate::plan::{ObjectKind, ObjectName, VaultUrl, quoted};

/// Maximum length of the name of a host or a service account.
const MAX_LENGTH: usize = 253;

/// Parses a glob for names whose characters are `allowed`. `what` is the kind of name and its allowed characters.
fn glob(text: &str, allowed: fn(u8) -> bool, what: &str) -> Result<WildMatch, String> {
    let valid = |byte| allowed(byte) || matches!(byte, b'*' | b'?');
    if (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(valid) {
        return Ok(WildMatch::new(text));
    }
    Err(format!("{} matches no {what}, and * and ? as wildcards", quoted(text)))
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

fn is_any_case(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

/// A glob for namespaces, whose names are in lower case.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct NamespaceGlob(WildMatch);

impl NamespaceGlob {
    pub(super) fn matches(&self, namespace: &str) -> bool {
        self.0.matches(namespace)
    }
}

impl TryFrom<String> for NamespaceGlob {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        glob(&text, is_lower, "namespace; use lower-case letters, digits and hyphens").map(Self)
    }
}

/// A glob for service accounts, without their namespace.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct ServiceAccountGlob(WildMatch);

impl ServiceAccountGlob {
    pub(super) fn matches(&self, account: &str) -> bool {
        self.0.matches(account)
    }
}

impl TryFrom<String> for ServiceAccountGlob {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let letters = |byte| is_lower(byte) || byte == b'.';
        let what =
            "service account; use its name without the namespace: lower-case letters, digits, hyphens, dots";
        glob(&text, letters, what).map(Self)
    }
}

/// A case-insensitive glob for vaults. With a dot, it is matched against the host; without a dot, against the host
/// without the cloud's suffix, so that `*a*` does not match `vault.azure.net`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum VaultGlob {
    Host(WildMatch),
    Name(WildMatch),
}

impl VaultGlob {
    pub(super) fn matches(&self, vault: &VaultUrl) -> bool {
        match self {
            Self::Host(glob) => glob.matches(vault.host()),
            Self::Name(glob) => glob.matches(vault.prefix()),
        }
    }
}

impl TryFrom<String> for VaultGlob {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let letters = |byte| is_any_case(byte) || byte == b'.';
        let what = "vault; use its name, or its host without scheme, port and path";
        // The hosts of URLs are in lower case.
        let glob = glob(&text.to_ascii_lowercase(), letters, what)?;
        Ok(if text.contains('.') { Self::Host(glob) } else { Self::Name(glob) })
    }
}

/// A case-insensitive glob for objects of all kinds or of one kind.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct ObjectGlob {
    kind: Option<ObjectKind>,
    name: WildMatch,
}

impl ObjectGlob {
    pub(super) fn matches(&self, kind: ObjectKind, name: &ObjectName) -> bool {
        self.kind.is_none_or(|only| only == kind) && self.name.matches(&name.as_str().to_ascii_lowercase())
    }
}

impl TryFrom<String> for ObjectGlob {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (kind, name) = match text.split_once('/') {
            None => (None, text.as_str()),
            Some(("secret", name)) => (Some(ObjectKind::Secret), name),
            Some(("key", name)) => (Some(ObjectKind::Key), name),
            Some(("cert", name)) => (Some(ObjectKind::Certificate), name),
            Some((kind, _)) => {
                return Err(format!("{} is not an object type; use secret, key or cert", quoted(kind)));
            }
        };
        let what = "object; use letters, digits, hyphens, an optional prefix secret/, key/ or cert/";
        Ok(Self { kind, name: glob(&name.to_ascii_lowercase(), is_any_case, what)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::VaultSuffix;

    fn vault(url: &str) -> VaultUrl {
        let suffixes = ["vault.azure.net", "vault.corp.test"].map(|text| VaultSuffix::parse(text).unwrap());
        VaultUrl::parse(url, &suffixes.iter().collect::<Vec<_>>()).unwrap()
    }

    fn of_vault(glob: &str, url: &str) -> bool {
        VaultGlob::try_from(glob.to_owned()).unwrap().matches(&vault(url))
    }

    #[test]
    fn a_vault_is_matched_by_name_or_host_in_any_case() {
        for glob in
            ["shared-1", "Shared-*", "shared-?", "*", "SHARED-1.vault.azure.net", "*.azure.net", "*.*"]
        {
            assert!(of_vault(glob, "https://shared-1.vault.azure.net/"), "{glob}");
        }
        for glob in ["shared", "hared-1", "shared-1?", "*azure*", "vault", "*.corp.test", "shared-1.*.test"] {
            assert!(!of_vault(glob, "https://Shared-1.vault.azure.net/"), "{glob}");
        }
        assert!(of_vault("*", "https://a.b.vault.corp.test/"));
        assert!(!of_vault("a", "https://a.b.vault.corp.test/"));
        assert!(of_vault("a.b.vault.corp.test", "https://a.b.vault.corp.test/"));
    }

    #[test]
    fn an_object_is_matched_by_name_in_any_case_and_by_kind() {
        let matches = |glob: &str, kind, name| {
            ObjectGlob::try_from(glob.to_owned()).unwrap().matches(kind, &ObjectName::parse(name).unwrap())
        };
        for glob in ["DB-Password", "db-*", "secret/db-password", "secret/*", "*"] {
            assert!(matches(glob, ObjectKind::Secret, "db-PASSWORD"), "{glob}");
        }
        for glob in ["db", "*-db", "key/db-password", "cert/*", "db-password?"] {
            assert!(!matches(glob, ObjectKind::Secret, "db-password"), "{glob}");
        }
        assert!(matches("key/*", ObjectKind::Key, "a") && matches("cert/a", ObjectKind::Certificate, "a"));
    }

    #[test]
    fn namespaces_and_accounts_are_matched_with_their_case() {
        let namespace = |glob: &str| NamespaceGlob::try_from(glob.to_owned()).unwrap();
        assert!(namespace("team-*").matches("team-a") && namespace("*").matches("x"));
        assert!(!namespace("team-*").matches("Team-a") && !namespace("team-*").matches("a-team-a"));
        let account = |glob: &str| ServiceAccountGlob::try_from(glob.to_owned()).unwrap();
        assert!(account("web.*").matches("web.main") && !account("web").matches("web.main"));
    }

    #[test]
    fn characters_that_no_name_can_contain_are_refused() {
        let long = "a".repeat(254);
        for bad in ["", "a b", "a/b", "ä", "[ab]", "{a,b}", "!a", "a\n", "a.b", "Team", &long] {
            assert!(NamespaceGlob::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        for bad in ["", "team-a/web", "Web", "system:serviceaccount:a:b", &long] {
            assert!(ServiceAccountGlob::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        for bad in ["", "https://a.vault.azure.net/", "a.vault.azure.net:443", "a/b", "[ab]", &long] {
            assert!(VaultGlob::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        for bad in ["", "secret/", "Secret/a", "*/a", "certificate/a", "secret/a/b", "a.b", "a_b", &long] {
            assert!(ObjectGlob::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
