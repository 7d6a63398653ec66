//! `spec.data` and `spec.dataFrom` of an `ExternalSecret`: which value of the vault is which key.

use super::note::Note;
use super::template::{Coding, Template};
use crate::plan::{ObjectKind, ObjectName, ObjectVersion, quoted};
use crate::yaml::Node;

/// A key of the Secret, or what stands where it would.
#[derive(Clone, Debug, Default)]
pub(super) struct Item {
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
    pub place: String,
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
pub(super) fn item(place: &str, node: &Node) -> Item {
    let mut notes = Vec::new();
    let value = value(place, node, &mut notes);
    Item { comments: Vec::new(), notes, value }
}

fn value(place: &str, node: &Node, notes: &mut Vec<Note>) -> Option<Value> {
    unknown_fields(place, node, &["secretKey", "remoteRef", "sourceRef"], notes);
    let key = text(node, &["secretKey"]).unwrap_or_default().to_owned();
    let source = node.at(&["sourceRef"]);
    if source.is_some_and(|source| source.entry("generatorRef").is_some()) {
        notes.push(generated(&format!("{place}.sourceRef")));
        return None;
    }
    let element = place;
    let place = format!("{place}.remoteRef");
    let Some(reference) = node.at(&["remoteRef"]) else {
        notes.push(Note::lost(place, "it is missing", "name the object in the vault"));
        return None;
    };
    let mut object = object(&place, reference, notes)?;
    object.store = source.and_then(|source| source.at(&["storeRef"])).and_then(StoreRef::parse);
    object.pfx = object.decoded || [".pfx", ".p12"].iter().any(|ending| key.to_lowercase().ends_with(ending));
    object.pfx &= object.kind == ObjectKind::Secret;
    (object.place, object.alias) = (element.to_owned(), key.clone());
    Some(Value { key, object, part: None })
}

const REFERENCE: [&str; 6] =
    ["key", "version", "property", "decodingStrategy", "conversionStrategy", "metadataPolicy"];

fn object(place: &str, reference: &Node, notes: &mut Vec<Note>) -> Option<Object> {
    unknown_fields(place, reference, &REFERENCE, notes);
    let field = |name: &str| format!("{place}.{name}");
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
        .map_err(|fault| notes.push(Note::lost(field("key"), fault.problem, fault.mend)))
        .ok()?;
    let version = text(reference, &["version"]).filter(|version| *version != "latest");
    ObjectVersion::parse(version.unwrap_or_default())
        .map_err(|fault| notes.push(Note::lost(field("version"), fault.problem, fault.mend)))
        .ok()?;
    if text(reference, &["metadataPolicy"]) == Some("Fetch") {
        let mend = "write what the tags say into a ConfigMap; the provider gives the object's value alone";
        notes.push(Note::lost(field("metadataPolicy"), "tags cannot be mounted", mend));
        return None;
    }
    if let Some(property) = text(reference, &["property"]).filter(|_| kind != ObjectKind::Certificate) {
        let problem =
            format!("{} is one field of the value, and only whole values can be mounted", quoted(property));
        let mend = "give the field a secret of its own in the vault, or let the application read the JSON";
        notes.push(Note::lost(field("property"), problem, mend));
        return None;
    }
    let decoded = match text(reference, &["decodingStrategy"]) {
        None | Some("None") => false,
        Some("Base64") if kind == ObjectKind::Secret => true,
        Some(other) => {
            let problem = format!("{} of a {kind} cannot be said", quoted(other));
            let mend = "store it decoded, or in standard base64 and with decodingStrategy: Base64";
            notes.push(Note::lost(field("decodingStrategy"), problem, mend));
            return None;
        }
    };
    match kind {
        ObjectKind::Secret => {}
        ObjectKind::Key => {
            let mend = "have the application read the PEM, or keep the ExternalSecret for this key";
            notes.push(Note::lost(field("key"), "the public key comes as PEM, and was a JSON Web Key", mend));
        }
        ObjectKind::Certificate => {
            let mend = "have the application read the PEM, or keep the ExternalSecret for this key";
            notes.push(Note::lost(field("key"), "the certificate comes as PEM, and was DER", mend));
        }
    }
    let (place, alias, version) = (String::new(), String::new(), version.map(str::to_owned));
    Some(Object { place, alias, kind, name, version, decoded, pfx: false, store: None })
}

/// An element of `spec.dataFrom`, none of which can be said; but what is to be done differs.
pub(super) fn item_of_all(place: &str, element: &Node) -> Item {
    let is_generated = element.at(&["sourceRef", "generatorRef"]).is_some();
    let note = if is_generated {
        generated(&format!("{place}.sourceRef"))
    } else if let Some(find) = element.at(&["find"]) {
        let by = if find.entry("tags").is_some() { "tags" } else { "name" };
        let problem = format!("objects cannot be found by {by}: a class names each");
        Note::lost(format!("{place}.find"), problem, "write an object for each that is found now")
    } else if let Some(extract) = element.at(&["extract"]) {
        let key = quoted(text(extract, &["key"]).unwrap_or_default());
        let problem = format!("the fields of {key} cannot be taken apart: only whole values can be mounted");
        let mend = "give each field a secret of its own in the vault, or let the application read the JSON";
        Note::lost(format!("{place}.extract"), problem, mend)
    } else {
        Note::lost(place, "it is neither find nor extract", "correct it")
    };
    Item { notes: vec![note], ..Item::default() }
}

fn generated(place: &str) -> Note {
    let mend = "keep the ExternalSecret for it, or put the value into the vault";
    Note::lost(place, "a generator makes the value, and no vault holds it", mend)
}

/// An element of `target.template.data`: another name for one of `sources`, or more than that.
pub(super) fn item_of_template(key: &str, template: &str, sources: &[Item]) -> Item {
    let place = format!("spec.target.template.data.{key}");
    let source =
        |name: &str| sources.iter().find(|item| item.value.as_ref().is_some_and(|value| value.key == name));
    let lost = |problem: String, mend: &str| Item {
        notes: vec![Note::lost(&place, problem, mend)],
        ..Item::default()
    };
    let (name, coding, part) = match Template::parse(template) {
        Template::Value(name) => (name, None, None),
        Template::Decoded(name) => (name, Some(Coding::Base64), None),
        Template::Certificates(name, coding) => (name, Some(coding), Some(Part::Certificates)),
        Template::PrivateKey(name, coding) => (name, Some(coding), Some(Part::PrivateKey)),
        Template::Constant => {
            return lost(
                "it is a constant, and a class names objects of a vault alone".to_owned(),
                "put it into a ConfigMap",
            );
        }
        Template::Other => {
            return lost(
                "a class has no templates".to_owned(),
                "store the finished text in the vault, or let the application put it together",
            );
        }
    };
    let Some(item) = source(name) else {
        return lost(format!("{} is not carried over", quoted(name)), "carry that over first");
    };
    let mut item = item.clone();
    if let Some(value) = &mut item.value {
        key.clone_into(&mut value.key);
        value.part = part;
        match (coding, part) {
            (None, _) => {}
            (Some(_), None) if !value.object.decoded => {
                (value.object.decoded, value.object.pfx) = (true, true);
            }
            // Undecoded here and decoded there, or the other way round: PKCS#12 either way, and PEM of
            // it is what the provider gives unasked.
            (Some(coding), Some(_)) if (coding == Coding::Base64) != value.object.decoded => {
                (value.object.decoded, value.object.pfx) = (false, false);
            }
            _ => return lost("it is decoded twice".to_owned(), "store the finished text in the vault"),
        }
    }
    item
}

/// The text under some keys, if there is any.
pub(super) fn text<'a>(node: &'a Node, keys: &[&str]) -> Option<&'a str> {
    node.at(keys).and_then(Node::text).filter(|text| !text.is_empty())
}

/// Says which fields nobody here knows.
pub(super) fn unknown_fields(place: &str, node: &Node, known: &[&str], notes: &mut Vec<Note>) {
    for entry in node.entries().iter().filter(|entry| !known.contains(&entry.key.as_str())) {
        let place = format!("{place}.{}", entry.key.chars().filter(|c| !c.is_control()).collect::<String>());
        notes.push(Note::lost(
            place,
            "this field is not known here",
            "see what it did, and whether it is missed",
        ));
    }
}
