//! `spec.data` and `spec.dataFrom` of an `ExternalSecret`: the keys of the Secret and their objects in the vault.

use super::gjson;
use super::note::Note;
use super::schema;
use super::template_text::TemplateText;
use crate::plan::{ObjectKind, ObjectName, ObjectVersion, quoted};
use crate::secret_rules::is_key;
use crate::yaml::Node;

/// A key of the Secret, or an element that cannot be converted.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyItem {
    /// The key, even if its value cannot be converted; `None` for an element that creates several keys.
    pub key: Option<String>,
    /// The comments of the element.
    pub comments: Vec<String>,
    pub notes: Vec<Note>,
    /// `None` if it cannot be converted, or is a template.
    pub value: Option<VaultValue>,
    /// The template that makes the value.
    pub template: Option<KeyTemplate>,
}

/// A text with values of the vault.
#[derive(Clone, Debug)]
pub(super) struct KeyTemplate {
    pub location: String,
    pub text: TemplateText,
    /// The values that it uses, each with the `secretKey` that the text calls it.
    pub sources: Vec<VaultValue>,
}

impl KeyItem {
    /// Whether the class has its value.
    pub(super) fn is_converted(&self) -> bool {
        self.value.is_some() || self.template.is_some()
    }

    /// The values of the vault that it needs.
    pub(super) fn values(&self) -> impl Iterator<Item = &VaultValue> {
        self.value.iter().chain(self.template.iter().flat_map(|template| &template.sources))
    }

    /// The key of the Secret, if the class has its value and the files name the key.
    pub(super) fn converted_key(&self) -> Option<&str> {
        self.key.as_deref().filter(|_| self.is_converted())
    }
}

/// A key of the Secret, and the source of its value.
#[derive(Clone, Debug)]
pub(super) struct VaultValue {
    /// With a `*`, which stands for each key of a JSON object: `*`.
    pub key: String,
    pub object: VaultObject,
    /// The `JMESPath` of the field of a JSON secret; `None` for the whole object.
    pub field: Option<String>,
    /// The part of the object that the value holds; `None` for the whole object.
    pub part: Option<CertificatePart>,
    /// How the bytes differ from those that the operator writes.
    pub difference: Option<Note>,
}

/// A part of a certificate's secret, which the driver extracts for Secrets of type kubernetes.io/tls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CertificatePart {
    Certificates,
    PrivateKey,
}

/// An object of the vault, and how the provider writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VaultObject {
    /// The element that names it, for example `spec.data[2]`.
    pub location: String,
    /// The `secretKey`, which is unique in the `ExternalSecret`.
    pub alias: String,
    pub kind: ObjectKind,
    pub name: ObjectName,
    pub version: Option<String>,
    pub decoded: bool,
    /// Whether a secret that backs a certificate stays PKCS#12.
    pub pfx: bool,
    /// The store of the element, if it names one.
    pub store: Option<StoreRef>,
}

/// A reference to a store.
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

/// Parses an element of `spec.data`.
pub(super) fn item(location: &str, node: &Node) -> KeyItem {
    let mut notes = Vec::new();
    let key = text(node, &["secretKey"]).map(str::to_owned);
    let value = value(location, node, key.as_deref().unwrap_or_default(), &mut notes);
    KeyItem { key, notes, value, ..KeyItem::default() }
}

fn value(location: &str, node: &Node, key: &str, notes: &mut Vec<Note>) -> Option<VaultValue> {
    schema::check(location, node, schema::ELEMENT, notes);
    if !is_key(key) {
        let help = "use only letters, digits, `-`, `_` and `.`";
        notes.push(Note::lost(
            format!("{location}.secretKey"),
            format!("{} is not a valid key of a Secret", quoted(key)),
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
    let ObjectReference { mut object, field, difference } = object(&location, reference, notes)?;
    object.store = source.and_then(|source| source.at(&["storeRef"])).and_then(StoreRef::parse);
    object.pfx = object.decoded || [".pfx", ".p12"].iter().any(|ending| key.to_lowercase().ends_with(ending));
    object.pfx &= object.kind == ObjectKind::Secret && field.is_none();
    (object.location, object.alias) = (element.to_owned(), key.to_owned());
    Some(VaultValue { key: key.to_owned(), object, field, part: None, difference })
}

/// What a reference names.
pub(super) struct ObjectReference {
    pub object: VaultObject,
    /// The `JMESPath` of a field of a JSON secret.
    pub field: Option<String>,
    /// How its bytes differ from those that the operator writes.
    pub difference: Option<Note>,
}

pub(super) fn object(location: &str, reference: &Node, notes: &mut Vec<Note>) -> Option<ObjectReference> {
    check_policies(location, reference, notes);
    let field = |name: &str| format!("{location}.{name}");
    let key = text(reference, &["key"]).unwrap_or_default();
    // The operator ignores what follows a second slash.
    let mut parts = key.split('/');
    let (kind, name) = match (parts.next().unwrap_or_default(), parts.next()) {
        (name, None) | ("secret", Some(name)) => (ObjectKind::Secret, name),
        ("key", Some(name)) => (ObjectKind::Key, name),
        ("cert", Some(name)) => (ObjectKind::Certificate, name),
        (other, Some(_)) => {
            let problem = format!("{} is not an object type", quoted(other));
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
            let help = "put the tags into a ConfigMap; the provider mounts only the object's value";
            notes.push(Note::lost(field("metadataPolicy"), "tags cannot be mounted", help));
            return None;
        }
        Some(other) => {
            notes.push(unknown_value(field("metadataPolicy"), other));
            return None;
        }
    }
    // The operator ignores it for a certificate.
    let property = text(reference, &["property"]).filter(|_| kind != ObjectKind::Certificate);
    let path = match property.map(|property| (property, gjson::jmes_path(property))) {
        None => None,
        Some(_) if kind == ObjectKind::Key => {
            let problem = "the provider mounts a key as PEM, which has no fields";
            let help = "read the PEM in the application, or keep the ExternalSecret for this key";
            notes.push(Note::lost(field("property"), problem, help));
            return None;
        }
        Some((_, Ok(path))) => Some(path),
        Some((property, Err(what))) => {
            let problem =
                format!("{} has {what}, which convert cannot express as JMESPath", quoted(property));
            let help = "write a path of names and indexes, or add the object with a jmesPath of your own";
            notes.push(Note::lost(field("property"), problem, help));
            return None;
        }
    };
    let decoded = match text(reference, &["decodingStrategy"]) {
        None | Some("None") => false,
        Some("Base64") if kind == ObjectKind::Secret && path.is_none() => true,
        Some("Base64" | "Base64URL" | "Auto") if path.is_some() => {
            let problem = "a class decodes the whole secret, not a field of it";
            let help = "decode the field with a template and the filter b64decode, or store it decoded";
            notes.push(Note::lost(field("decodingStrategy"), problem, help));
            return None;
        }
        Some("Auto") => {
            let problem =
                "the operator decodes the value only if it is base64, and a class must state whether it is";
            let help = "write Base64 if the value is base64, and None otherwise";
            notes.push(Note::lost(field("decodingStrategy"), problem, help));
            return None;
        }
        Some(other) => {
            let problem = format!("a class cannot apply {} to a {kind}", quoted(other));
            let help = "store the value decoded, or as standard base64 with decodingStrategy: Base64";
            notes.push(Note::lost(field("decodingStrategy"), problem, help));
            return None;
        }
    };
    let help = "read the PEM in the application, or keep the ExternalSecret for this key";
    let difference = match kind {
        ObjectKind::Secret => None,
        ObjectKind::Key => Some(Note::lost(
            field("key"),
            "the provider writes the public key as PEM, and the operator wrote a JSON Web Key",
            help,
        )),
        ObjectKind::Certificate => Some(Note::lost(
            field("key"),
            "the provider writes the certificate as PEM, and the operator wrote DER",
            help,
        )),
    };
    let (location, alias, version) = (String::new(), String::new(), version.map(str::to_owned));
    let object = VaultObject { location, alias, kind, name, version, decoded, pfx: false, store: None };
    Some(ObjectReference { object, field: path, difference })
}

/// Reports values that change what the operator does. Most values of these fields have no effect.
fn check_policies(location: &str, reference: &Node, notes: &mut Vec<Note>) {
    // It affects the names of keys only, and `secretKey` sets this name.
    match text(reference, &["conversionStrategy"]) {
        None | Some("Default" | "Unicode") => {}
        Some(other) => notes.push(unknown_value(format!("{location}.conversionStrategy"), other)),
    }
    match text(reference, &["nullBytePolicy"]) {
        None | Some("Ignore") => {}
        Some("Fail") => {
            let problem = "the operator refuses a value with a NUL byte, and the provider mounts it";
            let help = "write Ignore if the application accepts such a value; otherwise check for it in the application";
            notes.push(Note::lost(format!("{location}.nullBytePolicy"), problem, help));
        }
        Some(other) => notes.push(unknown_value(format!("{location}.nullBytePolicy"), other)),
    }
}

fn unknown_value(location: String, value: &str) -> Note {
    let problem = format!("the value {} is unknown to convert", quoted(value));
    Note::lost(
        location,
        problem,
        "check what the operator does with it, and whether your pods depend on that",
    )
}

pub(super) fn generated(location: &str) -> Note {
    let help = "keep the ExternalSecret for it, or store the value in the vault";
    Note::lost(location, "a generator creates the value, so it is not in a vault", help)
}

/// The text at the end of a path of keys, unless it is empty.
pub(super) fn text<'a>(node: &'a Node, keys: &[&str]) -> Option<&'a str> {
    node.at(keys).and_then(Node::text).filter(|text| !text.is_empty())
}
