//! Kubernetes manifests, for the commands that read them: files of many documents, and the objects
//! in those.
//!
//! A document is a part of its file that is read only when somebody asks for it, since most are of
//! kinds that nobody here wants.

mod documents;
mod kustomize;
mod sources;

pub use documents::{Document, Documents};
pub use kustomize::Fragments;
pub use sources::{ManifestSource, ManifestSources, SourceError};

use crate::yaml::{Node, Position, Value};

/// One object of the Kubernetes API, as its manifest has it.
#[derive(Clone, Debug)]
pub struct Object {
    /// `apiVersion`; empty if it is missing.
    pub api_version: String,
    /// `kind`; empty if it is missing.
    pub kind: String,
    /// `metadata.name`.
    pub name: Option<String>,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// The whole of it. Its positions are those of the file.
    pub root: Node,
}

/// A document that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{}:{}: {problem}; {help}", position.line, position.column)]
pub struct ManifestError {
    /// The file.
    pub file: String,
    /// Where in the file.
    pub position: Position,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub help: &'static str,
}

/// The objects of a document: one, or those of a list such as `kubectl get` prints.
fn unfold(root: Node, objects: &mut Vec<Object>) {
    let text = |keys: &[&str]| root.at(keys).and_then(Node::text).map(str::to_owned);
    let api_version = text(&["apiVersion"]).unwrap_or_default();
    let kind = text(&["kind"]).unwrap_or_default();
    let (name, namespace) = (text(&["metadata", "name"]), text(&["metadata", "namespace"]));
    let listed = kind.strip_suffix("List").filter(|_| root.entry("items").is_some());
    let Some(listed) = listed else {
        if !root.entries().is_empty() {
            objects.push(Object { api_version, kind, name, namespace, root });
        }
        return;
    };
    let Value::Mapping(entries) = root.value else { return };
    let items = entries.into_iter().find(|entry| entry.key == "items").map(|entry| entry.value.value);
    let Some(Value::Sequence(items)) = items else { return };
    for item in items {
        let first = objects.len();
        unfold(item, objects);
        // The API server's own lists say it once for all.
        for object in objects.iter_mut().skip(first).filter(|object| object.kind.is_empty()) {
            listed.clone_into(&mut object.kind);
            api_version.clone_into(&mut object.api_version);
        }
    }
}
