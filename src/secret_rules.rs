//! What the API server requires of a Secret.

/// A type of Secret that Kubernetes defines. The driver passes any type on (`GetSecretType` in its `secretutil`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SecretType {
    /// As `type` has it.
    pub name: &'static str,
    /// The keys without which the API server refuses the Secret.
    pub required: Required,
}

/// The keys that a type of Secret must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Required {
    /// Every one of them.
    All(&'static [&'static str]),
    /// At least one of them.
    OneOf(&'static [&'static str]),
}

/// The type whose files the driver splits into certificates and key.
pub(crate) const TLS: &str = "kubernetes.io/tls";
pub(crate) const CERTIFICATE_KEY: &str = "tls.crt";
pub(crate) const PRIVATE_KEY_KEY: &str = "tls.key";
/// The only keys that the driver fills in a Secret of that type.
pub(crate) const TLS_KEYS: [&str; 2] = [CERTIFICATE_KEY, PRIVATE_KEY_KEY];

/// The type without requirements.
pub(crate) const OPAQUE: SecretType = SecretType { name: "Opaque", required: Required::All(&[]) };

/// All types that Kubernetes defines.
pub(crate) const TYPES: [SecretType; 8] = [
    OPAQUE,
    SecretType { name: "bootstrap.kubernetes.io/token", required: Required::All(&[]) },
    SecretType { name: "kubernetes.io/basic-auth", required: Required::OneOf(&["username", "password"]) },
    SecretType { name: "kubernetes.io/dockercfg", required: Required::All(&[".dockercfg"]) },
    SecretType { name: "kubernetes.io/dockerconfigjson", required: Required::All(&[".dockerconfigjson"]) },
    SecretType { name: "kubernetes.io/service-account-token", required: Required::All(&[]) },
    SecretType { name: "kubernetes.io/ssh-auth", required: Required::All(&["ssh-privatekey"]) },
    SecretType { name: TLS, required: Required::All(&[CERTIFICATE_KEY, PRIVATE_KEY_KEY]) },
];

impl SecretType {
    /// The type of this name, if Kubernetes defines it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        TYPES.into_iter().find(|kind| kind.name == name)
    }

    /// The required keys that are not among `keys`: all that are missing, or the alternatives if none
    /// of them is there.
    pub(crate) fn missing(self, keys: &[&str]) -> Vec<&'static str> {
        match self.required {
            Required::All(required) => required.iter().copied().filter(|key| !keys.contains(key)).collect(),
            Required::OneOf(required) if required.iter().any(|key| keys.contains(key)) => Vec::new(),
            Required::OneOf(required) => required.to_vec(),
        }
    }

    /// The keys that are missing, in words.
    pub(crate) fn missing_text(self, keys: &[&str]) -> Option<String> {
        let missing = self.missing(keys);
        let between = if matches!(self.required, Required::OneOf(_)) { " or " } else { " and " };
        (!missing.is_empty()).then(|| missing.join(between))
    }
}

/// Whether the API server takes it for the key of a Secret.
pub(crate) fn is_key(key: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=253).contains(&key.len()) && key != "." && !key.starts_with("..") && key.chars().all(allowed)
}

/// Whether the API server takes it for the name of a Secret: a DNS subdomain.
pub(crate) fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.chars().all(allowed)
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// Whether the API server takes it for the key of a label or annotation: a name, perhaps below a DNS
/// subdomain.
pub(crate) fn is_qualified_name(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_name(prefix) && !name.is_empty() && is_label_value(name),
        None => !key.is_empty() && is_label_value(key),
    }
}

/// Whether the API server takes it for the value of a label.
pub(crate) fn is_label_value(value: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    value.is_empty()
        || (value.len() <= 63
            && value.starts_with(alphanumeric)
            && value.ends_with(alphanumeric)
            && value.chars().all(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keys_and_labels_are_those_that_the_api_server_takes() {
        for name in ["a", "site-tls", "pull.secret", "0", "a.b-c.d"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "Site", "a_b", "site -secret", ".a", "a.", "a..b", "-a", "a-", "{{ .name }}"] {
            assert!(!is_name(name), "{name}");
        }
        assert!(is_name(&"a".repeat(253)) && !is_name(&"a".repeat(254)));
        for key in [".dockerconfigjson", "DB_host.txt", "-", "a.."] {
            assert!(is_key(key), "{key}");
        }
        for key in ["", ".", "..", "..a", "pass word", "db/host", "{{ .key }}"] {
            assert!(!is_key(key), "{key}");
        }
        for value in ["", "a", "1", "a_b.c-d", "A"] {
            assert!(is_label_value(value), "{value}");
        }
        for value in ["{{ .tenant }}", "-a", "a.", "a b", &"a".repeat(64)] {
            assert!(!is_label_value(value), "{value}");
        }
        assert!(is_qualified_name("a") && is_qualified_name("example.com/a_B"));
        assert!(!is_qualified_name("") && !is_qualified_name("example.com/") && !is_qualified_name("A b/c"));
    }

    #[test]
    fn a_type_says_which_keys_it_lacks() {
        let missing = |kind: &str, keys: &[&str]| SecretType::named(kind).unwrap().missing_text(keys);
        assert_eq!(missing(TLS, &[]).as_deref(), Some("tls.crt and tls.key"));
        assert_eq!(missing(TLS, &["tls.crt"]).as_deref(), Some("tls.key"));
        assert_eq!(missing("kubernetes.io/basic-auth", &["x"]).as_deref(), Some("username or password"));
        assert_eq!(missing("kubernetes.io/basic-auth", &["password"]), None);
        assert_eq!(missing("Opaque", &[]), None);
        assert_eq!(SecretType::named("example.com/custom"), None);
    }
}
