//! Templates of the operator. A class can express a template that selects a value, or a part of it.

/// The meaning of the template of one key of the Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Template<'a> {
    /// The unchanged value of a secretKey.
    Value(&'a str),
    /// A value, decoded from base64.
    Decoded(&'a str),
    /// The certificates in a value.
    Certificates(&'a str, CertificateEncoding),
    /// The private key in a value.
    PrivateKey(&'a str, CertificateEncoding),
    /// The public key of a JSON Web Key, as PEM.
    PublicKey(&'a str),
    /// Text without a template.
    Constant,
    /// A function that a class cannot express.
    Function(&'a str),
    /// Values joined with text.
    Joined,
    /// A template that the operator cannot render, or that this parser does not support.
    Other,
}

/// The encoding of a value that holds certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CertificateEncoding {
    /// PKCS#12, the bytes themselves.
    Binary,
    /// PKCS#12 as base64 text, as Key Vault stores it.
    Base64,
    /// PEM.
    Pem,
    /// PEM as base64 text.
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
        // White space outside of the action would be part of the value.
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
        let pkcs12 = if decoded { CertificateEncoding::Base64 } else { CertificateEncoding::Binary };
        let pem = if decoded { CertificateEncoding::PemBase64 } else { CertificateEncoding::Pem };
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

/// Parses `.key`, or `index . "key"` for keys that are not identifiers.
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

/// The actions: the text between each `{{` and `}}`.
fn actions(text: &str) -> Vec<&str> {
    let parts = text.split("{{").skip(1);
    parts.filter_map(|part| part.split_once("}}")).map(|(action, _)| action).collect()
}

/// The functions and keywords of an action, without those that have no effect.
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

/// The reason why a class cannot express a function, and the help.
pub(super) fn advice(function: &str) -> (String, String) {
    let (problem, help) = match function {
        "filterPEM" => (
            "the driver selects blocks of a PEM file only for the keys tls.crt and tls.key of a Secret of type kubernetes.io/tls",
            "set that type and use these keys, CERTIFICATE for tls.crt and PRIVATE KEY for tls.key; or mount the whole file",
        ),
        "filterCertChain" => (
            "the provider mounts all certificates of a chain",
            "select one in the application, or store it as a separate secret in the vault",
        ),
        "pkcs12cert" | "pkcs12key" => (
            "the driver separates the certificate and the key only for the keys tls.crt and tls.key of a Secret of type kubernetes.io/tls",
            "set that type and use these keys, or parse the file in the application",
        ),
        "pkcs12certPass" | "pkcs12keyPass" => (
            "the provider opens only PKCS#12 files without a password",
            "import the file into the vault as a certificate, with its password (az keyvault certificate import --password), and use b64dec with pkcs12cert or pkcs12key on its secret",
        ),
        "pemToPkcs12" | "fullPemToPkcs12" => (
            "the provider cannot make a PKCS#12 file from PEM",
            "import the PEM file into the vault as a certificate with content type application/x-pkcs12; its secret, decoded with b64dec, is PKCS#12 without a password",
        ),
        "pemToPkcs12Pass" | "fullPemToPkcs12Pass" => (
            "the provider cannot make a PKCS#12 file with a password",
            "import the PEM file into the vault as a certificate with content type application/x-pkcs12; its secret, decoded with b64dec, is PKCS#12 without a password",
        ),
        "jwkPublicKeyPem" => (
            "the provider converts only keys of the vault to PEM, not secrets that hold a JSON Web Key",
            "import the key into the vault and name it as key/<name>, or store the PEM",
        ),
        "jwkPrivateKeyPem" => (
            "the vault does not return the private part of a key",
            "store the private key as PEM, in a secret or a certificate",
        ),
        "b64enc" => (
            "convert carries over decoding of base64, but not encoding",
            "use the filter b64encode in the class's parameter templates, or store the encoded text in the vault",
        ),
        "fromJson" | "fromYaml" | "get" | "dig" => (
            "convert does not carry over fields of a value",
            "mount each field with jmesPath, or store it as a separate secret in the vault",
        ),
        _ => (
            "convert carries over only templates that select a value",
            "write it in the class's parameter templates, or store the rendered text in the vault",
        ),
    };
    (format!("it calls the function {function}: {problem}"), help.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_template_selects_a_value() {
        for text in ["{{ .password }}", "{{.password}}", "{{- .password -}}", "{{ .password | toString }}"] {
            assert_eq!(Template::parse(text), Template::Value("password"), "{text}");
        }
        for text in ["{{ index . \"db-password\" }}", "{{index . `db-password`}}"] {
            assert_eq!(Template::parse(text), Template::Value("db-password"), "{text}");
        }
    }

    #[test]
    fn templates_that_select_a_part_of_a_certificate_are_recognized() {
        for (text, expected) in [
            ("{{ .tls | b64dec | pkcs12cert }}", Template::Certificates("tls", CertificateEncoding::Base64)),
            ("{{ .tls | b64dec | pkcs12key }}", Template::PrivateKey("tls", CertificateEncoding::Base64)),
            ("{{ .tls | pkcs12key }}", Template::PrivateKey("tls", CertificateEncoding::Binary)),
            ("{{ .blob | b64dec }}", Template::Decoded("blob")),
            (
                "{{ .pem | filterPEM \"CERTIFICATE\" }}",
                Template::Certificates("pem", CertificateEncoding::Pem),
            ),
            ("{{ .pem | filterPEM `Private Key` }}", Template::PrivateKey("pem", CertificateEncoding::Pem)),
            (
                "{{ .pem | filterPEM \"EC PRIVATE KEY\" }}",
                Template::PrivateKey("pem", CertificateEncoding::Pem),
            ),
            (
                "{{ .pem | b64dec | filterPEM \"CERTIFICATE\" }}",
                Template::Certificates("pem", CertificateEncoding::PemBase64),
            ),
            ("{{ .key | jwkPublicKeyPem }}", Template::PublicKey("key")),
        ] {
            assert_eq!(Template::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_function_that_a_class_cannot_express_is_reported_by_name() {
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
    fn any_other_template_is_not_converted() {
        for text in ["{{ .a }}{{ .b }}", "user={{ .user }}", "{{ .a }}\n", "{{ .a }}{{ .b | b64dec }}"] {
            assert_eq!(Template::parse(text), Template::Joined, "{text}");
        }
        for text in ["{{ .a.b }}", "{{ index . \"a\" \"b\" }}", "{{ .db-password }}", "{{", "{{ \"a }}"] {
            assert_eq!(Template::parse(text), Template::Other, "{text}");
        }
        assert_eq!(Template::parse("admin"), Template::Constant);
    }
}
