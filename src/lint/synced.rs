//! `spec.secretObjects`: the Secrets that the driver creates from files.

mod content;
mod metadata;

use super::Diagnostic;
use super::class::ClassManifest;
use super::parameters::{PlannedObjects, type_fault};
use crate::plan::{Fault, Severity, nearest, quoted, unknown};
use crate::secret_rules::{self, OPAQUE, SecretType, TLS, TLS_KEYS, TYPES};
use crate::yaml::{Node, Position, Value};
use content::MountedFiles;

const FIELDS: &[&str] = &["annotations", "data", "labels", "secretName", "type"];
const DATA_FIELDS: &[&str] = &["key", "objectName"];

/// Warns about Secrets that the driver cannot create, or creates with other content than intended.
pub(super) fn check(class: &ClassManifest<'_>, written: &PlannedObjects, diagnostics: &mut Vec<Diagnostic>) {
    let Some(entry) = class.secret_objects else { return };
    let mut check = SecretObjectsCheck { diagnostics, files: MountedFiles::new(written) };
    let list = check.list("secretObjects", &entry.value);
    let mut names: Vec<(&str, usize)> = Vec::new();
    for (index, secret) in list.iter().enumerate() {
        let location = format!("secretObjects[{index}]");
        check.secret(&location, secret);
        let Some((name, position)) = field(secret, "secretName") else { continue };
        match names.iter().find(|(other, _)| *other == name) {
            Some((_, other)) => check.warn(
                position,
                format!("{location}.secretName"),
                format!("secretObjects[{other}] already creates the Secret {}", quoted(name)),
                "this entry replaces its keys; put the data of both into one entry",
            ),
            None => names.push((name, index)),
        }
    }
}

/// The trimmed text of a field, as the driver reads it.
fn field<'a>(node: &'a Node, key: &str) -> Option<(&'a str, Position)> {
    let value = &node.entry(key)?.value;
    let text = value.text()?.trim();
    (!text.is_empty()).then_some((text, value.position))
}

struct SecretObjectsCheck<'a> {
    diagnostics: &'a mut Vec<Diagnostic>,
    files: MountedFiles<'a>,
}

impl SecretObjectsCheck<'_> {
    fn warn(&mut self, position: Position, location: String, problem: impl Into<String>, help: &str) {
        self.diagnostics.push(Diagnostic::warning(position, location, Fault::new(problem, help)));
    }

    /// The items of a list. The API server rejects any other value.
    fn list<'n>(&mut self, location: &str, node: &'n Node) -> &'n [Node] {
        if matches!(&node.value, Value::Mapping(_)) || node.text().is_some_and(|text| !text.is_empty()) {
            let problem = format!("it is {}, but the API server accepts only a list", node.kind());
            let fault = Fault::new(problem, "write a list, with `- ` before each entry");
            self.diagnostics.push(Diagnostic::error(node.position, location, fault));
        }
        node.items()
    }

    fn secret(&mut self, location: &str, secret: &Node) {
        self.fields(location, secret, FIELDS);
        for key in ["secretName", "type", "data"] {
            let value = secret.entry(key).map(|entry| &entry.value);
            let given = value.is_some_and(|value| value.text().is_none_or(|text| !text.trim().is_empty()));
            let empty =
                value.is_some_and(|value| matches!(&value.value, Value::Sequence(items) if items.is_empty()));
            if !given || empty {
                let position = value.map_or(secret.position, |value| value.position);
                self.warn(position, format!("{location}.{key}"), "it is missing", NO_SECRET);
            }
        }
        if let Some((name, position)) =
            field(secret, "secretName").filter(|(name, _)| !secret_rules::is_name(name))
        {
            let help = "use at most 253 lower-case letters, digits, `-` and `.`";
            let problem = format!("the API server rejects {} as the name of a Secret", quoted(name));
            self.warn(position, format!("{location}.secretName"), problem, help);
        }
        let kind = field(secret, "type").map(|(kind, position)| self.kind(location, kind, position));
        let kind = kind.unwrap_or(OPAQUE);
        for (index, item) in secret
            .entry("data")
            .map_or(&[][..], |entry| self.list(&format!("{location}.data"), &entry.value))
            .iter()
            .enumerate()
        {
            self.item(&format!("{location}.data[{index}]"), kind, item);
        }
        self.keys(location, kind, secret);
        metadata::check(location, secret, kind, self.diagnostics);
    }

    /// The type. The driver passes on an unknown type, for which no keys are required.
    fn kind(&mut self, location: &str, kind: &str, position: Position) -> SecretType {
        if let Some(known) = SecretType::named(kind) {
            return known;
        }
        if let Some(meant) = nearest(kind, &TYPES.map(|known| known.name)) {
            let problem = format!("{} is not a Secret type of Kubernetes", quoted(kind));
            self.warn(position, format!("{location}.type"), problem, &format!("did you mean `{meant}`?"));
        }
        OPAQUE
    }

    /// Reports fields that the API server does not know, or whose values it rejects.
    fn fields(&mut self, location: &str, node: &Node, known: &[&str]) {
        for entry in node.entries() {
            if !known.contains(&entry.key.as_str()) {
                let fault = unknown(&entry.key, known);
                self.diagnostics.push(Diagnostic::warning(entry.position, location, fault));
            } else if matches!(&entry.value.value, Value::Scalar(scalar) if !scalar.text().is_empty()) {
                let fault = type_fault(entry).filter(|_| entry.key != "data");
                let error = |fault| {
                    Diagnostic::error(entry.value.position, format!("{location}.{}", entry.key), fault)
                };
                self.diagnostics.extend(fault.map(error));
            }
        }
    }

    fn item(&mut self, location: &str, kind: SecretType, item: &Node) {
        self.fields(location, item, DATA_FIELDS);
        for key in DATA_FIELDS {
            if field(item, key).is_none() {
                self.warn(item.position, format!("{location}.{key}"), "it is missing", NO_SECRET);
            }
        }
        let key = field(item, "key");
        if let Some((key, position)) = key {
            let location = format!("{location}.key");
            if !secret_rules::is_key(key) {
                let problem = format!("the API server rejects {} as the key of a Secret", quoted(key));
                self.warn(position, location, problem, "use only letters, digits, `-`, `_` and `.`");
            } else if kind.name == TLS && !TLS_KEYS.contains(&key) {
                let problem = format!(
                    "in a Secret of type {TLS} the driver writes only the keys tls.crt and tls.key, not {}",
                    quoted(key)
                );
                self.warn(
                    position,
                    location,
                    problem,
                    "move it to an entry of type Opaque; with it, the driver creates no Secret",
                );
            }
        }
        let Some((name, position)) = field(item, "objectName") else { return };
        let fault = self.files.missing(name).or_else(|| self.files.unfit(name, kind, key?.0));
        if let Some(fault) = fault {
            let location = format!("{location}.objectName");
            self.diagnostics.push(Diagnostic::new(Severity::Warning, position, location, fault));
        }
    }

    /// Reports duplicate keys, and missing keys that the type requires.
    fn keys(&mut self, location: &str, kind: SecretType, secret: &Node) {
        let Some(data) = secret.entry("data").filter(|data| !data.value.items().is_empty()) else { return };
        let mut keys = Vec::new();
        for (index, item) in data.value.items().iter().enumerate() {
            let Some((key, position)) = field(item, "key") else { return };
            if keys.contains(&key) {
                let problem = format!("the key {} appears twice", quoted(key));
                self.warn(
                    position,
                    format!("{location}.data[{index}].key"),
                    problem,
                    "the last one wins; remove one of them",
                );
            }
            keys.push(key);
        }
        if let Some(missing) = kind.missing_text(&keys) {
            let problem = format!("the API server rejects a Secret of type {} without {missing}", kind.name);
            self.warn(
                data.position,
                format!("{location}.data"),
                problem,
                "add the missing keys, or write type Opaque",
            );
        }
    }
}

const NO_SECRET: &str = "add it; without it the driver creates no Secret";
