//! The templates that are no more than another name for a value.

/// What a template of one key of the Secret stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Template<'a> {
    /// A value as it is, by its secretKey.
    Value(&'a str),
    /// A value, decoded from base64.
    Decoded(&'a str),
    /// The certificates of a PKCS#12 value, and whether it is decoded from base64 for that.
    Certificates(&'a str, Coding),
    /// The private key of a PKCS#12 value.
    PrivateKey(&'a str, Coding),
    /// Text without any value in it.
    Constant,
    /// More than can be said without templates.
    Other,
}

/// What a PKCS#12 value is before it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// The bytes themselves.
    Binary,
    /// Text in base64, as Key Vault keeps it.
    Base64,
}

impl<'a> Template<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        if !text.contains("{{") {
            return Self::Constant;
        }
        Self::parse_action(text).unwrap_or(Self::Other)
    }

    fn parse_action(text: &'a str) -> Option<Self> {
        // White space around the action would be part of the value.
        let action = text.strip_prefix("{{")?.strip_suffix("}}")?;
        if action.contains("{{") || action.contains("}}") {
            return None;
        }
        let action = action.strip_prefix("- ").unwrap_or(action);
        let action = action.strip_suffix(" -").unwrap_or(action);
        let mut stages = action.split('|').map(str::trim);
        let key = parse_key(stages.next()?)?;
        match stages.filter(|stage| *stage != "toString").collect::<Vec<_>>().as_slice() {
            [] => Some(Self::Value(key)),
            ["b64dec"] => Some(Self::Decoded(key)),
            ["pkcs12cert"] => Some(Self::Certificates(key, Coding::Binary)),
            ["pkcs12key"] => Some(Self::PrivateKey(key, Coding::Binary)),
            ["b64dec", "pkcs12cert"] => Some(Self::Certificates(key, Coding::Base64)),
            ["b64dec", "pkcs12key"] => Some(Self::PrivateKey(key, Coding::Base64)),
            _ => None,
        }
    }
}

/// `.key`, or `index . "key"` for keys that are no identifiers.
fn parse_key(operand: &str) -> Option<&str> {
    if let Some(key) = operand.strip_prefix('.') {
        let identifier = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        return identifier.then_some(key);
    }
    let key = operand.strip_prefix("index")?.trim_start().strip_prefix('.')?.trim_start();
    let quoted =
        |quote| key.strip_prefix(quote)?.strip_suffix(quote).filter(|key| !key.contains(['"', '`', '\\']));
    quoted('"').or_else(|| quoted('`'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_template_is_another_name() {
        for text in ["{{ .password }}", "{{.password}}", "{{- .password -}}", "{{ .password | toString }}"] {
            assert_eq!(Template::parse(text), Template::Value("password"), "{text}");
        }
        for text in ["{{ index . \"db-password\" }}", "{{index . `db-password`}}"] {
            assert_eq!(Template::parse(text), Template::Value("db-password"), "{text}");
        }
    }

    #[test]
    fn certificates_are_taken_apart() {
        let base64 = Coding::Base64;
        assert_eq!(
            Template::parse("{{ .tls | b64dec | pkcs12cert }}"),
            Template::Certificates("tls", base64)
        );
        assert_eq!(Template::parse("{{ .tls | b64dec | pkcs12key }}"), Template::PrivateKey("tls", base64));
        assert_eq!(Template::parse("{{ .tls | pkcs12key }}"), Template::PrivateKey("tls", Coding::Binary));
        assert_eq!(Template::parse("{{ .blob | b64dec }}"), Template::Decoded("blob"));
    }

    #[test]
    fn more_than_a_name_is_not_guessed_at() {
        for text in [
            "{{ .a }}{{ .b }}",
            "user={{ .user }}",
            "{{ .a }}\n",
            "{{ .a | upper }}",
            "{{ printf \"%s\" .a }}",
            "{{ .a.b }}",
            "{{ index . \"a\" \"b\" }}",
            "{{ .db-password }}",
            "{{",
        ] {
            assert_eq!(Template::parse(text), Template::Other, "{text}");
        }
        assert_eq!(Template::parse("admin"), Template::Constant);
    }
}
