//! The entries of a mapping, including those that `<<` merges.

use std::collections::HashSet;

use saphyr_parser::ScalarStyle;

use super::{Entry, MERGE, Node, Position, Scalar, Value, YamlError, wrong};
use crate::quoted::quoted;

/// Collects the entries of a mapping.
#[derive(Default)]
pub(super) struct MergedEntries {
    own: Vec<Entry>,
    seen: HashSet<String>,
    /// The entries that `<<` merges; `None` without `<<`.
    others: Option<Vec<Entry>>,
}

impl MergedEntries {
    /// Adds an entry, which may be a merge. A quoted `<<` is an ordinary key.
    pub(super) fn add(&mut self, key: Scalar, position: Position, value: Node) -> Result<(), YamlError> {
        let Scalar { source: key, style, .. } = key;
        let is_merge = key == MERGE && style == ScalarStyle::Plain;
        if is_merge && self.others.is_none() {
            self.others = Some(entries_to_merge(value)?);
        } else if !is_merge && self.seen.insert(key.clone()) {
            self.own.push(Entry { key, position, value });
        } else {
            return Err(wrong(
                position,
                format!("the key {} appears twice", quoted(&key)),
                "keep one of them",
            ));
        }
        Ok(())
    }

    /// All entries. The mapping's own entries take precedence over merged ones; among these, the first wins.
    pub(super) fn merged(self) -> Vec<Entry> {
        let Self { mut own, mut seen, others } = self;
        let others = others.into_iter().flatten();
        own.extend(others.filter(|entry| seen.insert(entry.key.clone())));
        own
    }
}

/// The entries of a mapping, or of a list of mappings.
fn entries_to_merge(value: Node) -> Result<Vec<Entry>, YamlError> {
    let position = value.position;
    let (is_list, nodes) = match value.value {
        Value::Sequence(items) => (true, items),
        _ => (false, vec![value]),
    };
    let mut entries = Vec::new();
    for node in nodes {
        let Value::Mapping(more) = node.value else {
            let problem = if is_list {
                "`<<` merges a list with an item that is not a mapping"
            } else {
                "`<<` merges a value that is not a mapping"
            };
            return Err(wrong(position, problem, "write a mapping, or a list of mappings"));
        };
        entries.extend(more);
    }
    Ok(entries)
}
