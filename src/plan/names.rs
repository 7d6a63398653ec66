//! Validated names and numbers.

use std::fmt;

use super::finding::{Fault, quoted};

/// The name of a vault: 3 to 24 letters, digits and hyphens, stored in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VaultName(String);

impl VaultName {
    /// Parses a vault name. Other characters could change the host of the vault's URL.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if (3..=24).contains(&text.len()) && text.bytes().all(is_name_byte) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(Fault::new(
            format!("{} is not a vault name", quoted(text)),
            "use 3 to 24 letters, digits and hyphens, without the host's suffix",
        ))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of an object in a vault: 1 to 127 letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    /// Parses an object name. Other characters could change the path of the request.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if (1..=127).contains(&text.len()) && text.bytes().all(is_name_byte) {
            return Ok(Self(text.to_owned()));
        }
        Err(Fault::new(
            format!("{} is not an object name", quoted(text)),
            "use 1 to 127 letters, digits and hyphens, as Key Vault requires",
        ))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The requested version of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ObjectVersion {
    /// The newest version.
    Latest,
    /// One specific version.
    Exact(String),
}

impl ObjectVersion {
    /// Parses a version; an empty text and `latest` mean the newest.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() || text == "latest" {
            return Ok(Self::Latest);
        }
        if text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(Self::Exact(text.to_owned()));
        }
        Err(Fault::new(
            format!("{} is not a version", quoted(text)),
            "use the 32 hexadecimal digits that Key Vault shows, or remove it to get the newest version",
        ))
    }

    /// The specific version; `None` for the newest.
    pub fn exact(&self) -> Option<&str> {
        match self {
            Self::Latest => None,
            Self::Exact(version) => Some(version),
        }
    }
}

/// A file's path below the mount: relative, clean, and valid for kubelet's atomic writer. The path of a folder may also
/// be `.`, which is the mount itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelativePath(String);

impl RelativePath {
    /// Parses a path whose elements are separated by `/`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = |why: &str, help: &str| Err(Fault::new(format!("{} {why}", quoted(text)), help));
        if text.is_empty() {
            return wrong("is an empty path", "name a file");
        }
        if text.len() > 4096 || text.split('/').any(|element| element.len() > 255) {
            return wrong("is too long", "use at most 255 bytes per element and 4096 in total");
        }
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return wrong("contains a control character", "use printable characters");
        }
        if text.starts_with('/') {
            return wrong("is absolute", "use a path relative to the mount");
        }
        if text.split('/').any(|element| element == "..") {
            return wrong("leads out of the mount", "remove the `..`");
        }
        if text.starts_with("..") {
            return wrong(
                "starts with `..`",
                "choose another name; the volume writer reserves names with this prefix",
            );
        }
        if text.split('/').any(|element| element.is_empty() || element == ".") {
            return wrong("is not a clean path", "remove empty and `.` elements");
        }
        Ok(Self(text.to_owned()))
    }

    /// Parses the path of a folder whose files have numbers as names. Accepts unclean paths that stay below the mount and
    /// cleans them, like Go's `filepath.Join`, which the Go provider uses to append the number.
    pub fn parse_folder(text: &str) -> Result<Self, Fault> {
        if text.is_empty() || text.starts_with('/') {
            return Self::parse(text);
        }
        let mut elements = Vec::new();
        for element in text.split('/') {
            match element {
                "" | "." => {}
                // A `..` that leads out of the mount stays, and `Self::parse` refuses it.
                ".." if elements.last().is_some_and(|last| *last != "..") => _ = elements.pop(),
                element => elements.push(element),
            }
        }
        if elements.is_empty() { Ok(Self(".".to_owned())) } else { Self::parse(&elements.join("/")) }
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path's elements; never empty.
    pub fn elements(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The first element, which is the name in the mount's directory.
    pub fn top(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// The file named `index` in this folder.
    #[must_use]
    pub fn inner(&self, index: usize) -> Self {
        if self.0 == "." { Self(index.to_string()) } else { Self(format!("{}/{index}", self.0)) }
    }

    /// The part of `path` below this folder; `None` if `path` is not inside.
    pub(super) fn strip_from<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.0 == "." { Some(path) } else { path.strip_prefix(&self.0)?.strip_prefix('/') }
    }

    /// The number `index` for which `path` is `inner(index)`.
    pub(super) fn index_in(&self, path: &str) -> Option<usize> {
        let rest = self.strip_from(path)?;
        rest.parse().ok().filter(|index: &usize| index.to_string() == rest)
    }

    /// This path with `suffix` appended.
    #[must_use]
    pub fn with_suffix(&self, suffix: &str) -> Self {
        Self(format!("{}{suffix}", self.0))
    }

    /// Whether `other` is inside this path, if this path is a folder.
    pub fn is_folder_of(&self, other: &Self) -> bool {
        other.0.strip_prefix(&self.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Display for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file's permission bits, 0 to 0777.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(u16);

impl FileMode {
    /// Parses octal text such as `0644`; accepts a leading plus sign, like Go.
    pub fn parse_octal(text: &str) -> Result<Self, Fault> {
        match u16::from_str_radix(text, 8) {
            Ok(bits) if bits <= 0o777 && !text.starts_with('-') => Ok(Self(bits)),
            _ => Err(Fault::new(
                format!("{} is not an octal file mode", quoted(text)),
                "use a value from \"0000\" to \"0777\"",
            )),
        }
    }

    /// Parses the decimal number that the driver sends, for example `420` for `0644`.
    pub fn parse_decimal(text: &str) -> Result<Self, Fault> {
        match text.trim().parse::<u16>() {
            Ok(bits) if bits <= 0o777 => Ok(Self(bits)),
            _ => Err(Fault::new(
                format!("{} is not a decimal file mode", quoted(text)),
                "the driver must send a number from 0 to 511",
            )),
        }
    }

    /// The bits.
    pub fn bits(self) -> u16 {
        self.0
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// An Entra tenant: its id or one of its domain names, or `adfs`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TenantId(String);

impl TenantId {
    /// Parses a tenant. Other characters could change the path of the token request.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        let dots_only = text.bytes().all(|byte| byte == b'.');
        if text.len() <= 253 && !dots_only && text.bytes().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        Err(Fault::new(
            format!("{} is not a tenant", quoted(text)),
            "set it to the tenant's id, as printed by `az account show --query tenantId`",
        ))
    }

    /// Whether this is `adfs`, the only tenant of an AD FS.
    pub fn is_adfs(&self) -> bool {
        self.0.eq_ignore_ascii_case("adfs")
    }

    /// The tenant.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The client id of an app registration or a managed identity, or of a client of an AD FS.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClientId(String);

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

impl ClientId {
    /// Parses a client id.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if (1..=128).contains(&text.len()) && text.bytes().all(is_name_byte) {
            return Ok(Self(text.to_owned()));
        }
        Err(Fault::new(
            format!("{} is not a client id", quoted(text)),
            "set it to the identity's client id, a UUID",
        ))
    }

    /// Parses a client id of Entra, which is a UUID.
    pub(crate) fn parse_uuid(text: &str) -> Option<Self> {
        let groups = text.split('-').map(str::len).collect::<Vec<_>>();
        let digits = text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
        (groups == [8, 4, 4, 4, 12] && digits).then(|| Self(text.to_owned()))
    }

    /// Parses a client id of AD FS, which the administrator chooses: printable text without spaces.
    pub(crate) fn parse_adfs(text: &str) -> Option<Self> {
        let valid = (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        valid.then(|| Self(text.to_owned()))
    }

    /// The client id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The client id for messages and logs. An id that is not a UUID is not shown because it may be a client secret in
    /// the wrong field.
    pub fn shown(&self) -> &str {
        if Self::parse_uuid(&self.0).is_some() { &self.0 } else { "(not a UUID, not shown)" }
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vault_name_never_changes_the_host() {
        for bad in ["", "ab", "evil.example", "a/b", "vault#", "user@host", "a:1", "späße", &"a".repeat(25)]
        {
            assert!(VaultName::parse(bad).is_err(), "{bad}");
        }
        assert!(VaultName::parse("my-Vault-01").is_ok());
    }

    #[test]
    fn unclean_paths_and_paths_out_of_the_mount_are_refused() {
        for bad in [
            "",
            "/etc/passwd",
            "..",
            "../a",
            "a/../b",
            "a/..",
            "./a",
            "a//b",
            "a/",
            ".",
            "..data",
            "..data/x",
            "a\0b",
            "a\nb",
        ] {
            assert!(RelativePath::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "a/b", "a..b", ".hidden", "a/..b"] {
            assert!(RelativePath::parse(good).is_ok(), "{good:?}");
        }
        assert!(RelativePath::parse(&"a".repeat(256)).is_err());
    }

    #[test]
    fn a_folder_is_compared_by_whole_elements() {
        let path = |text| RelativePath::parse(text).unwrap();
        assert!(path("a").is_folder_of(&path("a/b")));
        assert!(!path("a").is_folder_of(&path("ab/c")));
        assert!(!path("a").is_folder_of(&path("a")));
    }

    #[test]
    fn modes_are_octal_text_or_decimal_numbers_up_to_0777() {
        assert_eq!(FileMode::parse_octal("0644").unwrap().bits(), 0o644);
        assert_eq!(FileMode::parse_octal("600").unwrap().bits(), 0o600);
        assert_eq!(FileMode::parse_octal("0").unwrap().bits(), 0);
        assert_eq!(FileMode::parse_octal("+00644").unwrap().bits(), 0o644);
        for bad in
            ["", "+", "++1", "0888", "1000", "rw-r--r--", "-1", "-0", "0o644", "0_644", " 644", "99999999999"]
        {
            assert!(FileMode::parse_octal(bad).is_err(), "{bad}");
        }
        assert_eq!(FileMode::parse_decimal("420").unwrap().bits(), 0o644);
        for bad in ["", "512", "-1", "0x1", "\"420\"", "null"] {
            assert!(FileMode::parse_decimal(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tenants_and_versions_never_change_the_request_path() {
        for bad in ["a/b", "a?b", "..", "a b", "{x}"] {
            assert!(TenantId::parse(bad).is_err(), "{bad}");
            assert!(ObjectVersion::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(ObjectVersion::parse("latest").unwrap(), ObjectVersion::Latest);
        assert!(TenantId::parse("contoso.onmicrosoft.com").is_ok());
    }
}
