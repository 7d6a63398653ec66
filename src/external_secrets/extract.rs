//! `dataFrom`: of `extract`, each key of a JSON object is a key of the Secret.

use super::data::{KeyItem, ObjectReference, StoreRef, VaultValue, generated, object, text};
use super::note::Note;
use super::{gjson, schema};
use crate::plan::ObjectKind;
use crate::secret_rules::is_key;
use crate::yaml::Node;

/// The item of a key of the Secret: one of the elements of `data`, or else a key of the JSON object of the only element of
/// `dataFrom`. `None` if there is none, or if it cannot be converted.
pub(super) fn find(items: &[KeyItem], key: &str) -> Option<KeyItem> {
    if let Some(item) = items.iter().find(|item| item.key.as_deref() == Some(key)) {
        return item.is_converted().then(|| item.clone());
    }
    let mut unnamed = items.iter().filter(|item| item.key.is_none());
    let (Some(item), None) = (unnamed.next(), unnamed.next()) else { return None };
    let mut item = item.clone();
    let value = item.value.as_mut()?;
    let (before, after) = value.key.split_once('*')?;
    let name = key.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    let path = gjson::key(name.filter(|name| is_key(name))?);
    value.field = match value.field.as_deref()? {
        "@" => Some(path),
        object => Some(format!("{object}.{path}")),
    };
    key.clone_into(&mut value.key);
    key.clone_into(&mut value.object.alias);
    item.key = Some(key.to_owned());
    Some(item)
}

/// Parses an element of `spec.dataFrom`. Only `extract` can be converted.
pub(super) fn data_from_item(location: &str, element: &Node) -> KeyItem {
    let is_generated = element.at(&["sourceRef", "generatorRef"]).is_some();
    let note = if is_generated {
        generated(&format!("{location}.sourceRef"))
    } else if let Some(find) = element.at(&["find"]) {
        let by = if find.entry("tags").is_some() { "tags" } else { "name" };
        let problem = format!(
            "a class cannot find objects by {by}, which needs a listing of the vault: it must name each one"
        );
        Note::lost(
            format!("{location}.find"),
            problem,
            "add an object for each one that the operator finds now",
        )
    } else if let Some(extract) = element.at(&["extract"]) {
        let mut notes = Vec::new();
        let value = extracted(location, element, extract, &mut notes);
        return KeyItem { notes, value, ..KeyItem::default() };
    } else {
        Note::lost(location, "it has neither find nor extract", "add one of the two")
    };
    KeyItem { notes: vec![note], ..KeyItem::default() }
}

/// The keys of a JSON object.
fn extracted(location: &str, element: &Node, extract: &Node, notes: &mut Vec<Note>) -> Option<VaultValue> {
    schema::check(location, element, schema::DATA_FROM, notes);
    let operations = element.at(&["rewrite"]).map(Node::items).unwrap_or_default();
    let Some(key) = renamed(operations) else {
        let problem = "a class can only add text before and after keys that only the vault knows";
        let help = "add an element of spec.data with property for each key";
        notes.push(Note::lost(format!("{location}.rewrite"), problem, help));
        return None;
    };
    let place = format!("{location}.extract");
    let ObjectReference { mut object, field, .. } = object(&place, extract, notes)?;
    if object.kind != ObjectKind::Secret {
        let problem = format!("a {} has no JSON fields", object.kind);
        notes.push(Note::lost(format!("{place}.key"), problem, "name a secret"));
        return None;
    }
    if object.decoded {
        let problem = "a class decodes the whole secret, not its fields";
        let help = "decode the fields with templates and the filter b64decode, or store them decoded";
        notes.push(Note::lost(format!("{place}.decodingStrategy"), problem, help));
        return None;
    }
    object.store = element.at(&["sourceRef", "storeRef"]).and_then(StoreRef::parse);
    (object.location, object.alias) = (location.to_owned(), key.clone());
    let field = Some(field.unwrap_or_else(|| "@".to_owned()));
    Some(VaultValue { key, object, field, part: None, difference: None })
}

/// The names of keys after `rewrite`, with a `*` for each key; `None` for an operation that only the operator has.
fn renamed(operations: &[Node]) -> Option<String> {
    let operation = match operations {
        [] => return Some("*".to_owned()),
        [operation] => operation.at(&["regexp"])?,
        _ => return None,
    };
    let target = text(operation, &["target"]).unwrap_or_default();
    let (before, after) = match text(operation, &["source"])? {
        "^" => (target, ""),
        "$" => ("", target),
        "(.*)" | "(.+)" | "^(.*)$" | "^(.+)$" => {
            let whole = target.split_once("${1}").or_else(|| target.split_once("$1"));
            // In Go, `$1_x` is the group of the name `1_x`.
            let is_name = |after: &str| after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
            whole.filter(|(_, after)| target.contains("${1}") || !is_name(after))?
        }
        _ => return None,
    };
    let is_plain = is_key(&format!("{before}key{after}"));
    is_plain.then(|| format!("{before}*{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{self, Budget};

    #[test]
    fn rewrite_may_add_text_before_and_after_keys() {
        for (rewrite, names) in [
            ("[]", Some("*")),
            ("[{regexp: {source: ^, target: db_}}]", Some("db_*")),
            ("[{regexp: {source: $, target: .txt}}]", Some("*.txt")),
            ("[{regexp: {source: (.*), target: \"a-$1.b\"}}]", Some("a-*.b")),
            ("[{regexp: {source: ^(.+)$, target: \"${1}_x\"}}]", Some("*_x")),
            ("[{regexp: {source: (.*), target: $1_x}}]", None),
            ("[{regexp: {source: (.*), target: $1$1}}]", None),
            ("[{regexp: {source: (.*), target: same}}]", None),
            ("[{regexp: {source: ^, target: a/b}}]", None),
            ("[{regexp: {source: \"-\", target: _}}]", None),
            ("[{transform: {template: x}}]", None),
            ("[{regexp: {source: ^, target: a}}, {regexp: {source: ^, target: b}}]", None),
        ] {
            let node = yaml::parse(rewrite, &mut Budget::default()).unwrap().unwrap();
            assert_eq!(renamed(node.items()).as_deref(), names, "{rewrite}");
        }
    }
}
