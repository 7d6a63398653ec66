//! Kubernetes manifests: files with many documents, and the objects in the documents.
//!
//! A document is parsed only on demand, because most documents are of kinds that a command does not need.

mod documents;
mod kustomize;
mod sources;

pub use documents::{Document, Documents};
pub use kustomize::Fragments;
pub use sources::{ManifestSource, ManifestSources, SourceError};

use crate::yaml::{Node, Position, Value};

/// One object of the Kubernetes API, as written in its manifest.
#[derive(Clone, Debug)]
pub struct ManifestObject {
    /// `apiVersion`; empty if it is missing.
    pub api_version: String,
    /// `kind`; empty if it is missing.
    pub kind: String,
    /// `metadata.name`.
    pub name: Option<String>,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// The root node. Its positions are those of the file.
    pub root: Node,
}

/// A document that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{}:{}: {problem}; {help}", position.line, position.column)]
pub struct ManifestError {
    /// The file.
    pub file: String,
    /// The position in the file.
    pub position: Position,
    /// What is wrong.
    pub problem: String,
    /// How to fix it.
    pub help: &'static str,
}

/// Adds the objects of a document: one, or the items of a list such as `kubectl get` prints.
fn unfold(root: Node, objects: &mut Vec<ManifestObject>) {
    let text = |keys: &[&str]| root.at(keys).and_then(Node::text).map(str::to_owned);
    let api_version = text(&["apiVersion"]).unwrap_or_default();
    let kind = text(&["kind"]).unwrap_or_default();
    let (name, namespace) = (text(&["metadata", "name"]), text(&["metadata", "namespace"]));
    let listed = kind.strip_suffix("List").filter(|_| root.entry("items").is_some());
    let Some(listed) = listed else {
        if !root.entries().is_empty() {
            objects.push(ManifestObject { api_version, kind, name, namespace, root });
        }
        return;
    };
    let Value::Mapping(entries) = root.value else { return };
    let items = entries.into_iter().find(|entry| entry.key == "items").map(|entry| entry.value.value);
    let Some(Value::Sequence(items)) = items else { return };
    for item in items {
        let first = objects.len();
        unfold(item, objects);
        // Lists of the API server set kind and version only once, for all items.
        for object in objects.iter_mut().skip(first).filter(|object| object.kind.is_empty()) {
            listed.clone_into(&mut object.kind);
            api_version.clone_into(&mut object.api_version);
        }
    }
}
