//! `spec.data` and `spec.dataFrom` of an `ExternalSecret`: which value of the vault is which key.

use super::note::Note;
use super::schema;
use crate::plan::{ObjectKind, ObjectName, ObjectVersion, quoted};
use crate::secret_rules::is_key;
use crate::yaml::Node;

/// A key of the Secret, or what stands where it would.
#[derive(Clone, Debug, Default)]
pub(super) struct Item {
    /// The key, also where its value cannot be expressed; nothing for an element that makes several keys.
    pub key: Option<String>,
    /// What its author wrote beside it.
    pub comments: Vec<String>,
    pub notes: Vec<Note>,
    /// Nothing, if it cannot be said at all.
    pub value: Option<Value>,
}

/// A key of the Secret, and what is in it.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub key: String,
    pub object: Object,
    /// The part of the object that it is, where it is not all of it.
    pub part: Option<Part>,
    /// How its bytes differ from those that the operator wrote.
    pub otherwise: Option<Note>,
}

/// A part of a certificate's secret, which the driver takes out for Secrets of type kubernetes.io/tls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Certificates,
    PrivateKey,
}

/// An object of the vault, and how it becomes bytes.
#[derive(Clone, Debug)]
pub(super) struct Object {
    /// Where it is named: `spec.data[2]`.
    pub location: String,
    /// Its `secretKey`, a name among those of the same `ExternalSecret`.
    pub alias: String,
    pub kind: ObjectKind,
    pub name: ObjectName,
    pub version: Option<String>,
    pub decoded: bool,
    /// PKCS#12 as it is, if it should back a certificate; nothing otherwise.
    pub pfx: bool,
    /// The store it is in, where that is not the `ExternalSecret`'s own.
    pub store: Option<StoreRef>,
}

/// Which store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoreRef {
    pub cluster: bool,
    pub name: String,
}

impl StoreRef {
    pub(super) fn parse(node: &Node) -> Option<Self> {
        let text = |key| node.entry(key).and_then(|entry| entry.value.text());
        let name = text("name").filter(|name| !name.is_empty())?;
        Some(Self { cluster: text("kind") == Some("ClusterSecretStore"), name: name.to_owned() })
    }

    pub(super) fn kind(&self) -> &'static str {
        if self.cluster { "ClusterSecretStore" } else { "SecretStore" }
    }
}

/// Reads an element of `spec.data`.
pub(super) fn item(location: &str, node: &Node) -> Item {
    let mut notes = Vec::new();
    let key = text(node, &["secretKey"]).map(str::to_owned);
    let value = value(location, node, key.as_deref().unwrap_or_default(), &mut notes);
    Item { key, comments: Vec::new(), notes, value }
}

fn value(location: &str, node: &Node, key: &str, notes: &mut Vec<Note>) -> Option<Value> {
    schema::check(location, node, schema::ELEMENT, notes);
    if !is_key(key) {
        let help = "use letters, digits, `-`, `_` and `.`, as the API server demands of a Secret's keys";
        notes.push(Note::lost(
            format!("{location}.secretKey"),
            format!("{} is not a key", quoted(key)),
            help,
        ));
        return None;
    }
    let source = node.at(&["sourceRef"]);
    if source.is_some_and(|source| source.entry("generatorRef").is_some()) {
        notes.push(generated(&format!("{location}.sourceRef")));
        return None;
    }
    let element = location;
    let location = format!("{location}.remoteRef");
    let Some(reference) = node.at(&["remoteRef"]) else {
        notes.push(Note::lost(location, "it is missing", "name the object in the vault"));
        return None;
    };
    let (mut object, otherwise) = object(&location, reference, notes)?;
    object.store = source.and_then(|source| source.at(&["storeRef"])).and_then(StoreRef::parse);
    object.pfx = object.decoded || [".pfx", ".p12"].iter().any(|ending| key.to_lowercase().ends_with(ending));
    object.pfx &= object.kind == ObjectKind::Secret;
    (object.location, object.alias) = (element.to_owned(), key.to_owned());
    Some(Value { key: key.to_owned(), object, part: None, otherwise })
}

/// The object that a reference names, and how its bytes differ from those that the operator wrote.
fn object(location: &str, reference: &Node, notes: &mut Vec<Note>) -> Option<(Object, Option<Note>)> {
    without_effect(location, reference, notes);
    let field = |name: &str| format!("{location}.{name}");
    let key = text(reference, &["key"]).unwrap_or_default();
    // As the operator splits it: what follows a second slash means nothing.
    let mut parts = key.split('/');
    let (kind, name) = match (parts.next().unwrap_or_default(), parts.next()) {
        (name, None) | ("secret", Some(name)) => (ObjectKind::Secret, name),
        ("key", Some(name)) => (ObjectKind::Key, name),
        ("cert", Some(name)) => (ObjectKind::Certificate, name),
        (other, Some(_)) => {
            let problem = format!("{} is no type of object", quoted(other));
            notes.push(Note::lost(field("key"), problem, "write secret/, key/ or cert/ before the name"));
            return None;
        }
    };
    let name = ObjectName::parse(name)
        .map_err(|fault| notes.push(Note::lost(field("key"), fault.problem, fault.help)))
        .ok()?;
    let version = text(reference, &["version"]).filter(|version| *version != "latest");
    ObjectVersion::parse(version.unwrap_or_default())
        .map_err(|fault| notes.push(Note::lost(field("version"), fault.problem, fault.help)))
        .ok()?;
    match text(reference, &["metadataPolicy"]) {
        None | Some("None") => {}
        Some("Fetch") => {
            let help =
                "write what the tags say into a ConfigMap; the provider gives the object's value alone";
            notes.push(Note::lost(field("metadataPolicy"), "tags cannot be mounted", help));
            return None;
        }
        Some(other) => {
            notes.push(unknown_value(field("metadataPolicy"), other));
            return None;
        }
    }
    if let Some(property) = text(reference, &["property"]).filter(|_| kind != ObjectKind::Certificate) {
        let problem =
            format!("{} is one field of the value, and only whole values can be mounted", quoted(property));
        let help = "give the field a secret of its own in the vault, or let the application read the JSON";
        notes.push(Note::lost(field("property"), problem, help));
        return None;
    }
    let decoded = match text(reference, &["decodingStrategy"]) {
        None | Some("None") => false,
        Some("Base64") if kind == ObjectKind::Secret => true,
        Some("Auto") => {
            let problem =
                "the operator decoded the value where it was base64, and a class says one or the other";
            let help = "write Base64 or None, whichever the value is";
            notes.push(Note::lost(field("decodingStrategy"), problem, help));
            return None;
        }
        Some(other) => {
            let problem = format!("{} of a {kind} cannot be expressed", quoted(other));
            let help = "store it decoded, or in standard base64 and with decodingStrategy: Base64";
            notes.push(Note::lost(field("decodingStrategy"), problem, help));
            return None;
        }
    };
    let help = "have the application read the PEM, or keep the ExternalSecret for this key";
    let otherwise = match kind {
        ObjectKind::Secret => None,
        ObjectKind::Key => {
            Some(Note::lost(field("key"), "the public key comes as PEM, and was a JSON Web Key", help))
        }
        ObjectKind::Certificate => {
            Some(Note::lost(field("key"), "the certificate comes as PEM, and was DER", help))
        }
    };
    let (location, alias, version) = (String::new(), String::new(), version.map(str::to_owned));
    Some((Object { location, alias, kind, name, version, decoded, pfx: false, store: None }, otherwise))
}

/// Fields of which most values change nothing here, and a note on one that does.
fn without_effect(location: &str, reference: &Node, notes: &mut Vec<Note>) {
    // It is about the names of keys, and `secretKey` gives this one.
    match text(reference, &["conversionStrategy"]) {
        None | Some("Default" | "Unicode") => {}
        Some(other) => notes.push(unknown_value(format!("{location}.conversionStrategy"), other)),
    }
    match text(reference, &["nullBytePolicy"]) {
        None | Some("Ignore") => {}
        Some("Fail") => {
            let problem = "the operator refused a value with a NUL byte, and the provider mounts it";
            let help = "write Ignore, if the application can do with such a value; otherwise have it check";
            notes.push(Note::lost(format!("{location}.nullBytePolicy"), problem, help));
        }
        Some(other) => notes.push(unknown_value(format!("{location}.nullBytePolicy"), other)),
    }
}

fn unknown_value(location: String, value: &str) -> Note {
    let problem = format!("the value {} is not known here", quoted(value));
    Note::lost(location, problem, "find out what it did, and whether something depends on it")
}

/// An element of `spec.dataFrom`, none of which can be said; but what is to be done differs.
pub(super) fn item_of_all(location: &str, element: &Node) -> Item {
    let is_generated = element.at(&["sourceRef", "generatorRef"]).is_some();
    let note = if is_generated {
        generated(&format!("{location}.sourceRef"))
    } else if let Some(find) = element.at(&["find"]) {
        let by = if find.entry("tags").is_some() { "tags" } else { "name" };
        let problem = format!("objects cannot be found by {by}: a class names each");
        Note::lost(format!("{location}.find"), problem, "write an object for each that is found now")
    } else if let Some(extract) = element.at(&["extract"]) {
        let key = quoted(text(extract, &["key"]).unwrap_or_default());
        let problem = format!("the fields of {key} cannot be taken apart: only whole values can be mounted");
        let help = "give each field a secret of its own in the vault, or let the application read the JSON";
        Note::lost(format!("{location}.extract"), problem, help)
    } else {
        Note::lost(location, "it is neither find nor extract", "correct it")
    };
    Item { notes: vec![note], ..Item::default() }
}

fn generated(location: &str) -> Note {
    let help = "keep the ExternalSecret for it, or put the value into the vault";
    Note::lost(location, "a generator makes the value, and no vault holds it", help)
}

/// The text under some keys, if there is any.
pub(super) fn text<'a>(node: &'a Node, keys: &[&str]) -> Option<&'a str> {
    node.at(keys).and_then(Node::text).filter(|text| !text.is_empty())
}
