//! Refuses manifests of a chart that has not been rendered.

use super::note::Note;
use crate::plan::quoted;
use crate::yaml::{Node, Value};

/// Refuses text that holds a template.
pub(super) fn refuse_template(location: &str, text: Option<&str>) -> Result<(), Note> {
    match text.filter(|text| text.contains("{{")) {
        None => Ok(()),
        Some(text) => {
            let problem = format!("{} is a template that was not rendered", quoted(text));
            Err(Note::lost(
                location,
                problem,
                "it is left unchanged; render it first, for example with `helm template`",
            ))
        }
    }
}

/// [`refuse_template`] for all text below a node, except fields that the operator renders.
pub(super) fn refuse_templates_below(location: &str, node: &Node) -> Result<(), Note> {
    match &node.value {
        Value::Scalar(scalar) => refuse_template(location, Some(scalar.text())),
        Value::Sequence(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| refuse_templates_below(&format!("{location}[{index}]"), item)),
        Value::Mapping(entries) => entries
            .iter()
            .filter(|entry| !["template", "templateFrom", "dataFrom"].contains(&entry.key.as_str()))
            .try_for_each(|entry| refuse_templates_below(&format!("{location}.{}", entry.key), &entry.value)),
    }
}
