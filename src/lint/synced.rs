//! `spec.secretObjects`: files that the driver copies into Secrets.

use std::collections::BTreeSet;

use super::Diagnostic;
use super::class::Class;
use super::parameters::Written;
use crate::plan::{Fault, ObjectKind, nearest, quoted};
use crate::yaml::{Node, Position};

/// Warns of Secrets that the driver will never make.
pub(super) fn check(class: &Class<'_>, written: &Written, diagnostics: &mut Vec<Diagnostic>) {
    let files = Files::new(written);
    for (index, secret) in class.secret_objects.iter().enumerate() {
        let place = format!("secretObjects[{index}]");
        for field in ["secretName", "type", "data"] {
            let value = secret.entry(field).map(|entry| &entry.value);
            let given = value.is_some_and(|value| {
                value.text().is_some_and(|text| !text.is_empty()) || !value.items().is_empty()
            });
            if !given {
                let fault = Fault::new("it is missing", "without it the driver makes no Secret");
                let position = value.map_or(secret.position, |value| value.position);
                diagnostics.push(Diagnostic::warning(position, format!("{place}.{field}"), fault));
            }
        }
        let data = secret.entry("data").map_or(&[][..], |entry| entry.value.items());
        for (index, item) in data.iter().enumerate() {
            let place = format!("{place}.data[{index}]");
            for field in ["objectName", "key"] {
                if item.entry(field).and_then(|entry| entry.value.text()).is_none_or(str::is_empty) {
                    let fault = Fault::new("it is missing", "without it the driver makes no Secret");
                    diagnostics.push(Diagnostic::warning(item.position, format!("{place}.{field}"), fault));
                }
            }
            diagnostics.extend(copied(item).and_then(|(name, position)| {
                let fault = files.missing(name)?;
                Some(Diagnostic::warning(position, format!("{place}.objectName"), fault))
            }));
        }
    }
}

/// The file that is copied.
fn copied(item: &Node) -> Option<(&str, Position)> {
    let value = &item.entry("objectName")?.value;
    value.text().filter(|text| !text.is_empty()).map(|text| (text, value.position))
}

/// The endings of a certificate's separate files.
const SEPARATE: [&str; 2] = [".crt", ".key"];

/// The files that the class mounts.
struct Files<'a> {
    written: &'a Written,
    paths: BTreeSet<String>,
}

impl<'a> Files<'a> {
    fn new(written: &'a Written) -> Self {
        let mut paths = BTreeSet::new();
        for object in &written.objects {
            for path in object.plan.first_paths() {
                if object.plan.kind == ObjectKind::Secret {
                    // The operator may have certificates split: --write-cert-and-key-in-separate-files.
                    paths.extend(SEPARATE.map(|ending| path.with_ending(ending).as_str().to_owned()));
                }
                paths.insert(path.as_str().to_owned());
            }
        }
        Self { written, paths }
    }

    /// Whether it is the path of a version further back.
    fn is_of_a_history(&self, name: &str) -> bool {
        let whole = SEPARATE.iter().find_map(|ending| name.strip_suffix(ending));
        self.written.objects.iter().any(|object| {
            let split = whole.filter(|_| object.plan.kind == ObjectKind::Secret);
            object.plan.may_write(name) || split.is_some_and(|path| object.plan.may_write(path))
        })
    }

    /// The fault of a name that is none of the files.
    fn missing(&self, name: &str) -> Option<Fault> {
        if !self.written.complete || self.paths.contains(name) || self.is_of_a_history(name) {
            return None;
        }
        let mut objects = self.written.objects.iter().map(|object| &object.plan);
        let mend = if let Some(object) = objects.find(|object| object.name.as_str() == name) {
            match object.history {
                Some(_) => format!("its files are `{0}/0`, `{0}/1` and so on; name one of them", object.path),
                None => format!("its file is `{}`; write that", object.path),
            }
        } else {
            let paths = self.paths.iter().map(String::as_str).collect::<Vec<_>>();
            match nearest(name, &paths) {
                Some(path) => format!("did you mean `{path}`?"),
                None => "name an objectAlias, or an objectName without one, of `objects`".to_owned(),
            }
        };
        Some(Fault::new(format!("no file {} is mounted", quoted(name)), mend))
    }
}
