//! Templates of the operator: what they select, or the text that they make.

use super::template_text::{TemplateText, Unsupported};

/// The meaning of the template of one key of the Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// A text, or values joined with text.
    Text(TemplateText),
    /// A function that a class cannot express.
    Function(String),
    /// A statement, such as `if`.
    Statement(String),
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
        if let Some(template) = Self::parse_action(text) {
            return template;
        }
        match TemplateText::parse(text) {
            Ok(text) => Self::Text(text),
            Err(Unsupported::Function(name)) => Self::Function(name),
            Err(Unsupported::Statement(name)) => Self::Statement(name),
            Err(Unsupported::Syntax) => Self::Other,
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
        "quote" | "squote" => (
            "the provider's templates quote values in another way",
            "use the filter json, dotenv or shell in the parameter templates",
        ),
        "fromJson" | "fromYaml" | "get" | "dig" => (
            "convert carries over only fields of a JSON value, as in (.key | fromJson).field",
            "select the field with property, or write the parameter templates for it",
        ),
        _ => (
            "convert does not carry it over to the provider's templates",
            "write the parameter templates with the filters of the provider, or store the rendered text in the vault",
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
    fn a_function_or_statement_that_a_class_cannot_express_is_reported_by_name() {
        for (text, function) in [
            ("{{ .a | quote }}", "quote"),
            ("{{ printf \"%d lower\" .a }}", "printf"),
            ("x {{ .a }} {{ .b | sha256sum }}", "sha256sum"),
            ("{{ .tls | pkcs12certPass \"x\" }}", "pkcs12certPass"),
            ("{{ .pem | filterPEM \"PUBLIC KEY\" }}", "filterPEM"),
            ("{{ .pem | filterCertChain \"leaf\" }}", "filterCertChain"),
            ("{{ .tls | b64dec | pkcs12keyPass \"x\" }}", "pkcs12keyPass"),
        ] {
            assert_eq!(Template::parse(text), Template::Function(function.to_owned()), "{text}");
        }
        assert_eq!(Template::parse("{{ if .a }}x{{ end }}"), Template::Statement("if".to_owned()));
    }

    #[test]
    fn any_other_template_is_a_text_or_is_not_converted() {
        for text in
            ["admin", "{{ .a }}{{ .b }}", "user={{ .user }}", "{{ .a }}\n", "{{ .key | b64dec | b64dec }}"]
        {
            assert!(matches!(Template::parse(text), Template::Text(_)), "{text}");
        }
        for text in ["{{ .a.b }}", "{{ index . \"a\" \"b\" }}", "{{ .db-password }}", "{{", "{{ \"a }}"] {
            let parsed = Template::parse(text);
            assert!(matches!(parsed, Template::Other | Template::Function(_)), "{text}: {parsed:?}");
        }
    }
}
