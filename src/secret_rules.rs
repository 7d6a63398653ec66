//! The API server's validation rules for Secrets.

/// A type of Secret that Kubernetes defines. The driver accepts any type (`GetSecretType` in its `secretutil`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SecretType {
    /// The value of the field `type`.
    pub name: &'static str,
    /// The keys that the API server requires.
    pub required: RequiredKeys,
}

/// The keys that a type of Secret must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequiredKeys {
    /// All keys.
    All(&'static [&'static str]),
    /// At least one key.
    OneOf(&'static [&'static str]),
}

/// The type for which the driver splits a file into certificates and key.
pub(crate) const TLS: &str = "kubernetes.io/tls";
pub(crate) const CERTIFICATE_KEY: &str = "tls.crt";
pub(crate) const PRIVATE_KEY_KEY: &str = "tls.key";
/// The only keys that the driver sets in a Secret of type `kubernetes.io/tls`.
pub(crate) const TLS_KEYS: [&str; 2] = [CERTIFICATE_KEY, PRIVATE_KEY_KEY];

/// The type without required keys.
pub(crate) const OPAQUE: SecretType = SecretType { name: "Opaque", required: RequiredKeys::All(&[]) };

/// The types that Kubernetes defines.
pub(crate) const TYPES: [SecretType; 8] = [
    OPAQUE,
    SecretType { name: "bootstrap.kubernetes.io/token", required: RequiredKeys::All(&[]) },
    SecretType { name: "kubernetes.io/basic-auth", required: RequiredKeys::OneOf(&["username", "password"]) },
    SecretType { name: "kubernetes.io/dockercfg", required: RequiredKeys::All(&[".dockercfg"]) },
    SecretType {
        name: "kubernetes.io/dockerconfigjson",
        required: RequiredKeys::All(&[".dockerconfigjson"]),
    },
    SecretType { name: "kubernetes.io/service-account-token", required: RequiredKeys::All(&[]) },
    SecretType { name: "kubernetes.io/ssh-auth", required: RequiredKeys::All(&["ssh-privatekey"]) },
    SecretType { name: TLS, required: RequiredKeys::All(&[CERTIFICATE_KEY, PRIVATE_KEY_KEY]) },
];

impl SecretType {
    /// The type with this name, if Kubernetes defines it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        TYPES.into_iter().find(|kind| kind.name == name)
    }

    /// The required keys that are missing in `keys`. For [`RequiredKeys::OneOf`], all alternatives if none of them is in
    /// `keys`.
    pub(crate) fn missing(self, keys: &[&str]) -> Vec<&'static str> {
        match self.required {
            RequiredKeys::All(required) => {
                required.iter().copied().filter(|key| !keys.contains(key)).collect()
            }
            RequiredKeys::OneOf(required) if required.iter().any(|key| keys.contains(key)) => Vec::new(),
            RequiredKeys::OneOf(required) => required.to_vec(),
        }
    }

    /// The missing keys as text for a message.
    pub(crate) fn missing_text(self, keys: &[&str]) -> Option<String> {
        let missing = self.missing(keys);
        let between = if matches!(self.required, RequiredKeys::OneOf(_)) { " or " } else { " and " };
        (!missing.is_empty()).then(|| missing.join(between))
    }
}

/// Whether the API server accepts this key in a Secret.
pub(crate) fn is_key(key: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=253).contains(&key.len()) && key != "." && !key.starts_with("..") && key.chars().all(allowed)
}

/// Whether the API server accepts this name for a Secret: a DNS subdomain.
pub(crate) fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.chars().all(allowed)
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// Whether the API server accepts this key for a label or annotation: a name with an optional DNS subdomain as prefix.
pub(crate) fn is_qualified_name(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_name(prefix) && !name.is_empty() && is_label_value(name),
        None => !key.is_empty() && is_label_value(key),
    }
}

/// Whether the API server accepts this value for a label.
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
    fn names_keys_and_labels_are_validated_like_in_the_api_server() {
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
    fn missing_required_keys_are_listed() {
        let missing = |kind: &str, keys: &[&str]| SecretType::named(kind).unwrap().missing_text(keys);
        assert_eq!(missing(TLS, &[]).as_deref(), Some("tls.crt and tls.key"));
        assert_eq!(missing(TLS, &["tls.crt"]).as_deref(), Some("tls.key"));
        assert_eq!(missing("kubernetes.io/basic-auth", &["x"]).as_deref(), Some("username or password"));
        assert_eq!(missing("kubernetes.io/basic-auth", &["password"]), None);
        assert_eq!(missing("Opaque", &[]), None);
        assert_eq!(SecretType::named("example.com/custom"), None);
    }
}
