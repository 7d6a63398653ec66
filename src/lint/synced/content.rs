//! The files that a class mounts, and the keys that the driver can fill from each.

use std::collections::BTreeMap;

use crate::lint::parameters::PlannedObjects;
use crate::plan::{Fault, ObjectEncoding, ObjectFormat, ObjectKind, ObjectPlan, nearest, quoted};
use crate::secret_rules::{CERTIFICATE_KEY, PRIVATE_KEY_KEY, SecretType, TLS};

/// The content of a file, as far as it is known before a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileContent {
    /// The content depends on the vault.
    Unknown,
    /// Certificates without a private key.
    Certificates,
    /// A private key without a certificate.
    PrivateKey,
    PublicKey,
    /// PKCS#12 as base64 text.
    Pkcs12Text,
    /// Binary PKCS#12.
    Pkcs12,
}

/// The files that the class mounts.
pub(super) struct MountedFiles<'a> {
    written: &'a PlannedObjects,
    paths: BTreeMap<String, MountedFile>,
}

struct MountedFile {
    /// Whether its object is optional.
    optional: bool,
    content: FileContent,
}

impl<'a> MountedFiles<'a> {
    pub(super) fn new(written: &'a PlannedObjects) -> Self {
        let mut paths = BTreeMap::new();
        for object in written.objects.iter().map(|object| &object.plan) {
            let may_be_split = object.kind == ObjectKind::Secret && object.json_fields.is_empty();
            for path in object.first_paths() {
                if may_be_split {
                    // The flag --write-cert-and-key-in-separate-files adds these files.
                    for (ending, content) in
                        [(".crt", FileContent::Certificates), (".key", FileContent::PrivateKey)]
                    {
                        let path = path.with_suffix(ending).as_str().to_owned();
                        paths.entry(path).or_insert(MountedFile { optional: object.optional, content });
                    }
                }
            }
        }
        // A file that an object names explicitly takes precedence.
        for object in written.objects.iter().map(|object| &object.plan) {
            let file = |path: &str| {
                (path.to_owned(), MountedFile { optional: object.optional, content: content(object) })
            };
            paths.extend(object.first_paths().iter().map(|path| file(path.as_str())));
        }
        let templates = written.templates.iter().map(|template| template.path.as_str().to_owned());
        let made = || MountedFile { optional: false, content: FileContent::Unknown };
        paths.extend(templates.map(|path| (path, made())));
        Self { written, paths }
    }

    /// Whether it is the path of an older version of an object.
    fn is_in_history(&self, name: &str) -> bool {
        let whole = [".crt", ".key"].iter().find_map(|ending| name.strip_suffix(ending));
        self.written.objects.iter().any(|object| {
            let may_be_split = object.plan.kind == ObjectKind::Secret && object.plan.json_fields.is_empty();
            let split = whole.filter(|_| may_be_split);
            object.plan.may_write(name) || split.is_some_and(|path| object.plan.may_write(path))
        })
    }

    /// The fault of a name that is not a mounted file.
    pub(super) fn missing(&self, name: &str) -> Option<Fault> {
        if !self.written.complete || self.paths.contains_key(name) || self.is_in_history(name) {
            return None;
        }
        let mut objects = self.written.objects.iter().map(|object| &object.plan);
        let help = if let Some(object) = objects.find(|object| object.name.as_str() == name) {
            match object.history {
                Some(_) => format!("its files are `{0}/0`, `{0}/1` and so on; name one of them", object.path),
                None => format!("write the name of its file, `{}`", object.path),
            }
        } else {
            let paths = self.paths.keys().map(String::as_str).collect::<Vec<_>>();
            match nearest(name, &paths) {
                Some(path) => format!("did you mean `{path}`?"),
                None => {
                    "write the objectAlias of an object in `objects`, or its objectName if it has no alias"
                        .to_owned()
                }
            }
        };
        Some(Fault::new(format!("no file {} is mounted", quoted(name)), help))
    }

    /// The fault of a file whose content does not fit a key.
    pub(super) fn unfit(&self, name: &str, kind: SecretType, key: &str) -> Option<Fault> {
        let file = self.paths.get(name)?;
        let name = quoted(name);
        let both = "name an object of objectType: secret, which has the certificate and its key";
        let fault = |what: &str, needs: &str, help: &str| {
            Some(Fault::new(format!("the file {name} is {what}, but {key} needs {needs}"), help))
        };
        let json = [".dockerconfigjson", ".dockercfg"].contains(&key) && kind.missing(&[]).contains(&key);
        match (file.content, key) {
            (FileContent::Pkcs12Text, CERTIFICATE_KEY | PRIVATE_KEY_KEY) if kind.name == TLS => {
                let help = "remove objectFormat to get PEM, or add objectEncoding: base64";
                fault("PKCS#12 as base64 text", "PEM or binary PKCS#12", help)
            }
            (FileContent::Certificates, PRIVATE_KEY_KEY) if kind.name == TLS => {
                fault("a certificate without its private key", "the key", both)
            }
            (FileContent::PublicKey, CERTIFICATE_KEY | PRIVATE_KEY_KEY) if kind.name == TLS => {
                fault("a public key", "a certificate and its private key", both)
            }
            (FileContent::PrivateKey, CERTIFICATE_KEY) if kind.name == TLS => {
                fault("a private key without its certificate", "the certificate", both)
            }
            (FileContent::Certificates | FileContent::PublicKey, "ssh-privatekey")
                if !kind.missing(&[]).is_empty() =>
            {
                fault("not a private key", "one", "name a secret that holds the private key")
            }
            (content, _) if json && content != FileContent::Unknown => {
                fault("not JSON", "JSON", "name a secret that holds the JSON")
            }
            _ if file.optional => Some(Fault::new(
                format!("the object of the file {name} is optional, but the Secret needs all of its files"),
                "remove `optional`, or remove the file from the Secret; without the object the driver creates no Secret",
            )),
            _ => None,
        }
    }
}

fn content(object: &ObjectPlan) -> FileContent {
    match (object.kind, object.format) {
        (ObjectKind::Certificate, _) => FileContent::Certificates,
        (ObjectKind::Key, _) => FileContent::PublicKey,
        (ObjectKind::Secret, ObjectFormat::Pfx) if object.encoding == ObjectEncoding::Utf8 => {
            FileContent::Pkcs12Text
        }
        (ObjectKind::Secret, ObjectFormat::Pfx) => FileContent::Pkcs12,
        (ObjectKind::Secret, _) => FileContent::Unknown,
    }
}
