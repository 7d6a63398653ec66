//! The files that a class mounts, and what the driver can make of each.

use std::collections::BTreeMap;

use crate::lint::parameters::Written;
use crate::plan::{Fault, ObjectEncoding, ObjectFormat, ObjectKind, ObjectPlan, nearest, quoted};
use crate::secret_rules::{CERTIFICATE_KEY, PRIVATE_KEY_KEY, SecretType, TLS};

/// What is known of a file before it is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// The vault alone knows.
    Unknown,
    /// Certificates without a private key.
    Certificates,
    /// A private key without a certificate.
    PrivateKey,
    PublicKey,
    /// PKCS#12 as base64 text.
    Pkcs12Text,
    /// PKCS#12, the bytes themselves.
    Pkcs12,
}

/// The files that the class mounts.
pub(super) struct Files<'a> {
    written: &'a Written,
    paths: BTreeMap<String, File<'a>>,
}

struct File<'a> {
    object: &'a ObjectPlan,
    content: Content,
}

impl<'a> Files<'a> {
    pub(super) fn new(written: &'a Written) -> Self {
        let mut paths = BTreeMap::new();
        for object in written.objects.iter().map(|object| &object.plan) {
            for path in object.first_paths() {
                if object.kind == ObjectKind::Secret {
                    // The operator may have certificates split: --write-cert-and-key-in-separate-files.
                    for (ending, content) in [(".crt", Content::Certificates), (".key", Content::PrivateKey)]
                    {
                        let path = path.with_suffix(ending).as_str().to_owned();
                        paths.entry(path).or_insert(File { object, content });
                    }
                }
            }
        }
        // A file that an object names is that object's.
        for object in written.objects.iter().map(|object| &object.plan) {
            let file = |path: &str| (path.to_owned(), File { object, content: content(object) });
            paths.extend(object.first_paths().iter().map(|path| file(path.as_str())));
        }
        Self { written, paths }
    }

    /// Whether it is the path of a version further back.
    fn is_of_a_history(&self, name: &str) -> bool {
        let whole = [".crt", ".key"].iter().find_map(|ending| name.strip_suffix(ending));
        self.written.objects.iter().any(|object| {
            let split = whole.filter(|_| object.plan.kind == ObjectKind::Secret);
            object.plan.may_write(name) || split.is_some_and(|path| object.plan.may_write(path))
        })
    }

    /// The fault of a name that is none of the files.
    pub(super) fn missing(&self, name: &str) -> Option<Fault> {
        if !self.written.complete || self.paths.contains_key(name) || self.is_of_a_history(name) {
            return None;
        }
        let mut objects = self.written.objects.iter().map(|object| &object.plan);
        let help = if let Some(object) = objects.find(|object| object.name.as_str() == name) {
            match object.history {
                Some(_) => format!("its files are `{0}/0`, `{0}/1` and so on; name one of them", object.path),
                None => format!("its file is `{}`; write that", object.path),
            }
        } else {
            let paths = self.paths.keys().map(String::as_str).collect::<Vec<_>>();
            match nearest(name, &paths) {
                Some(path) => format!("did you mean `{path}`?"),
                None => "name an objectAlias, or an objectName without one, of `objects`".to_owned(),
            }
        };
        Some(Fault::new(format!("no file {} is mounted", quoted(name)), help))
    }

    /// The fault of a file of which the driver, or a user of the Secret, can make nothing for a key.
    pub(super) fn unfit(&self, name: &str, kind: SecretType, key: &str) -> Option<Fault> {
        let file = self.paths.get(name)?;
        let name = quoted(name);
        let both = "name an object of objectType: secret, which has the certificate and its key";
        let fault = |what: &str, needs: &str, help: &str| {
            Some(Fault::new(format!("the file {name} is {what}, and {key} needs {needs}"), help))
        };
        let json = [".dockerconfigjson", ".dockercfg"].contains(&key) && kind.missing(&[]).contains(&key);
        match (file.content, key) {
            (Content::Pkcs12Text, CERTIFICATE_KEY | PRIVATE_KEY_KEY) if kind.name == TLS => {
                let help = "remove objectFormat, so that it is PEM, or add objectEncoding: base64";
                fault("PKCS#12 as base64 text", "PEM or binary PKCS#12", help)
            }
            (Content::Certificates, PRIVATE_KEY_KEY) if kind.name == TLS => {
                fault("a certificate without its private key", "the key", both)
            }
            (Content::PublicKey, CERTIFICATE_KEY | PRIVATE_KEY_KEY) if kind.name == TLS => {
                fault("a public key", "a certificate and its private key", both)
            }
            (Content::PrivateKey, CERTIFICATE_KEY) if kind.name == TLS => {
                fault("a private key without its certificate", "the certificate", both)
            }
            (Content::Certificates | Content::PublicKey, "ssh-privatekey")
                if !kind.missing(&[]).is_empty() =>
            {
                fault("no private key", "one", "name a secret that holds the private key")
            }
            (content, _) if json && content != Content::Unknown => {
                fault("no JSON", "JSON", "name a secret that holds the JSON")
            }
            _ if file.object.optional => Some(Fault::new(
                format!("the object of the file {name} is optional, and the Secret needs all of its files"),
                "remove optional, or leave it out of the Secret: without the object the driver makes no Secret",
            )),
            _ => None,
        }
    }
}

fn content(object: &ObjectPlan) -> Content {
    match (object.kind, object.format) {
        (ObjectKind::Certificate, _) => Content::Certificates,
        (ObjectKind::Key, _) => Content::PublicKey,
        (ObjectKind::Secret, ObjectFormat::Pfx) if object.encoding == ObjectEncoding::Utf8 => {
            Content::Pkcs12Text
        }
        (ObjectKind::Secret, ObjectFormat::Pfx) => Content::Pkcs12,
        (ObjectKind::Secret, _) => Content::Unknown,
    }
}
