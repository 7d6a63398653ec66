//! Templates that a class can express: those that are another name for a value, or for a part of it.

/// What a template of one key of the Secret stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Template<'a> {
    /// A value as it is, by its secretKey.
    Value(&'a str),
    /// A value, decoded from base64.
    Decoded(&'a str),
    /// The certificates in a value.
    Certificates(&'a str, Coding),
    /// The private key in a value.
    PrivateKey(&'a str, Coding),
    /// The public key of a JSON Web Key, as PEM.
    PublicKey(&'a str),
    /// Text without any value in it.
    Constant,
    /// It calls a function that a class cannot express.
    Function(&'a str),
    /// It joins values and text.
    Joined,
    /// No template that the operator renders, or none that is read here.
    Other,
}

/// What a value with certificates is before they are taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// PKCS#12, the bytes themselves.
    Binary,
    /// PKCS#12 as text in base64, as Key Vault keeps it.
    Base64,
    /// PEM.
    Pem,
    /// PEM as text in base64.
    PemBase64,
}

const B64DEC: &str = "b64dec";

impl<'a> Template<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        if !text.contains("{{") {
            return Self::Constant;
        }
        if let Some(template) = Self::parse_action(text) {
            return template;
        }
        let actions = actions(text);
        let mut called = actions.iter().flat_map(|action| functions(action));
        if let Some(function) = called.find(|function| *function != B64DEC) {
            return Self::Function(function);
        }
        match actions.as_slice() {
            [] => Self::Other,
            [action] if text.starts_with("{{") && text.ends_with("}}") => {
                functions(action).first().map_or(Self::Other, |function| Self::Function(function))
            }
            _ => Self::Joined,
        }
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
        let stages = stages.filter(|stage| *stage != "toString").collect::<Vec<_>>();
        let (decoded, stages) = match stages.split_first() {
            Some((&B64DEC, rest)) => (true, rest),
            _ => (false, stages.as_slice()),
        };
        let pkcs12 = if decoded { Coding::Base64 } else { Coding::Binary };
        let pem = if decoded { Coding::PemBase64 } else { Coding::Pem };
        match *stages {
            [] if decoded => Some(Self::Decoded(key)),
            [] => Some(Self::Value(key)),
            ["pkcs12cert"] => Some(Self::Certificates(key, pkcs12)),
            ["pkcs12key"] => Some(Self::PrivateKey(key, pkcs12)),
            ["jwkPublicKeyPem"] if !decoded => Some(Self::PublicKey(key)),
            [stage] => match pem_block(stage)?.to_ascii_uppercase().as_str() {
                "CERTIFICATE" => Some(Self::Certificates(key, pem)),
                "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => Some(Self::PrivateKey(key, pem)),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The type of block that `filterPEM` selects.
fn pem_block(stage: &str) -> Option<&str> {
    unquoted(stage.strip_prefix("filterPEM")?.trim_start())
}

/// `.key`, or `index . "key"` for keys that are no identifiers.
fn parse_key(operand: &str) -> Option<&str> {
    if let Some(key) = operand.strip_prefix('.') {
        let identifier = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        return identifier.then_some(key);
    }
    unquoted(operand.strip_prefix("index")?.trim_start().strip_prefix('.')?.trim_start())
}

fn unquoted(text: &str) -> Option<&str> {
    let quoted =
        |quote| text.strip_prefix(quote)?.strip_suffix(quote).filter(|text| !text.contains(['"', '`', '\\']));
    quoted('"').or_else(|| quoted('`'))
}

/// What stands between `{{` and `}}`.
fn actions(text: &str) -> Vec<&str> {
    let parts = text.split("{{").skip(1);
    parts.filter_map(|part| part.split_once("}}")).map(|(action, _)| action).collect()
}

/// The functions and keywords of an action, but for those that change nothing.
fn functions(action: &str) -> Vec<&str> {
    let (mut found, mut rest) = (Vec::new(), action);
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '"' | '`' | '\'' => {
                let inner = rest.split_at(first.len_utf8()).1;
                ("", inner.split_once(first).map_or("", |(_, after)| after))
            }
            _ => {
                let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '$' | '-');
                let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
                rest.split_at(end.max(first.len_utf8()))
            }
        };
        if word.starts_with(char::is_alphabetic) && !["index", "toString"].contains(&word) {
            found.push(word);
        }
        rest = after;
    }
    found
}

/// Why a class cannot express a function, and what to do instead.
pub(super) fn advice(function: &str) -> (String, String) {
    let (problem, help) = match function {
        "filterPEM" => (
            "the driver selects blocks of a PEM file only for the keys tls.crt and tls.key of a Secret of type kubernetes.io/tls",
            "set that type and use these keys, CERTIFICATE for tls.crt and PRIVATE KEY for tls.key; or mount the whole file",
        ),
        "filterCertChain" => (
            "the provider mounts all certificates of a chain",
            "have the application select one, or store it in the vault as a secret of its own",
        ),
        "pkcs12cert" | "pkcs12key" => (
            "the driver takes certificate and key apart only for the keys tls.crt and tls.key of a Secret of type kubernetes.io/tls",
            "set that type and use these keys, or have the application take the file apart",
        ),
        "pkcs12certPass" | "pkcs12keyPass" => (
            "the provider opens PKCS#12 files without a password only",
            "import the file as a certificate of the vault, which takes its password (az keyvault certificate import --password), and write b64dec and pkcs12cert or pkcs12key for its secret",
        ),
        "pemToPkcs12" | "fullPemToPkcs12" => (
            "the provider makes no PKCS#12 file of PEM",
            "import the PEM file as a certificate of the vault with content type application/x-pkcs12; its secret with b64dec is PKCS#12 without a password",
        ),
        "pemToPkcs12Pass" | "fullPemToPkcs12Pass" => (
            "the provider makes no PKCS#12 file with a password",
            "import the PEM file as a certificate of the vault with content type application/x-pkcs12; its secret with b64dec is PKCS#12 without a password",
        ),
        "jwkPublicKeyPem" => (
            "the provider makes PEM of a key of the vault alone, not of a secret that holds a JSON Web Key",
            "import the key into the vault and name it as key/<name>, or store the PEM",
        ),
        "jwkPrivateKeyPem" => (
            "the vault gives out no private part of a key",
            "store the private key as PEM, in a secret or a certificate",
        ),
        "b64enc" => (
            "the provider decodes base64 and does not encode it",
            "store the encoded text in the vault, or have the application encode it",
        ),
        "fromJson" | "fromYaml" | "get" | "dig" => (
            "only whole values can be mounted",
            "store each field as a secret of its own, or have the application read the whole value",
        ),
        _ => (
            "a class has no templates",
            "store the finished text in the vault, or have the application do what the function does",
        ),
    };
    (format!("it calls the function {function}: {problem}"), help.to_owned())
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
        for (text, expected) in [
            ("{{ .tls | b64dec | pkcs12cert }}", Template::Certificates("tls", Coding::Base64)),
            ("{{ .tls | b64dec | pkcs12key }}", Template::PrivateKey("tls", Coding::Base64)),
            ("{{ .tls | pkcs12key }}", Template::PrivateKey("tls", Coding::Binary)),
            ("{{ .blob | b64dec }}", Template::Decoded("blob")),
            ("{{ .pem | filterPEM \"CERTIFICATE\" }}", Template::Certificates("pem", Coding::Pem)),
            ("{{ .pem | filterPEM `Private Key` }}", Template::PrivateKey("pem", Coding::Pem)),
            ("{{ .pem | filterPEM \"EC PRIVATE KEY\" }}", Template::PrivateKey("pem", Coding::Pem)),
            (
                "{{ .pem | b64dec | filterPEM \"CERTIFICATE\" }}",
                Template::Certificates("pem", Coding::PemBase64),
            ),
            ("{{ .key | jwkPublicKeyPem }}", Template::PublicKey("key")),
        ] {
            assert_eq!(Template::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_function_that_a_class_cannot_express_is_named() {
        for (text, function) in [
            ("{{ .a | upper }}", "upper"),
            ("{{ printf \"%s lower\" .a }}", "printf"),
            ("{{ if .a }}x{{ end }}", "if"),
            ("x {{ .a }} {{ .b | b64enc }}", "b64enc"),
            ("{{ (.a | fromJson).user }}", "fromJson"),
            ("{{ $a := .a }}{{ $a | trim }}", "trim"),
            ("{{ .tls | pkcs12certPass \"x\" }}", "pkcs12certPass"),
            ("{{ .pem | filterPEM \"PUBLIC KEY\" }}", "filterPEM"),
            ("{{ .pem | filterCertChain \"leaf\" }}", "filterCertChain"),
            ("{{ .key | b64dec | b64dec }}", "b64dec"),
            ("{{ .tls | b64dec | pkcs12keyPass \"x\" }}", "pkcs12keyPass"),
        ] {
            assert_eq!(Template::parse(text), Template::Function(function), "{text}");
        }
    }

    #[test]
    fn more_than_a_name_is_not_guessed_at() {
        for text in ["{{ .a }}{{ .b }}", "user={{ .user }}", "{{ .a }}\n", "{{ .a }}{{ .b | b64dec }}"] {
            assert_eq!(Template::parse(text), Template::Joined, "{text}");
        }
        for text in ["{{ .a.b }}", "{{ index . \"a\" \"b\" }}", "{{ .db-password }}", "{{", "{{ \"a }}"] {
            assert_eq!(Template::parse(text), Template::Other, "{text}");
        }
        assert_eq!(Template::parse("admin"), Template::Constant);
    }
}
