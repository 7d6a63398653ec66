//! The fields of the operator's API, so that a field that this program does not know is always reported.

use super::note::Note;
use crate::yaml::Node;

/// The fields of a mapping, and what is below each.
pub(super) type Fields = &'static [(&'static str, Below)];

/// What is below a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Below {
    /// A value, or a structure that is read or reported as a whole.
    Any,
    /// A mapping with these fields.
    Map(Fields),
    /// A list of such mappings.
    List(Fields),
}

use Below::{Any, List, Map};

/// `spec` of an `ExternalSecret`. The elements of `data` are checked one by one, with [`ELEMENT`].
pub(super) const EXTERNAL_SECRET: Fields = &[
    ("secretStoreRef", Map(STORE_REFERENCE)),
    ("target", Map(TARGET)),
    ("refreshPolicy", Any),
    ("refreshInterval", Any),
    ("syncWindows", Any),
    ("data", Any),
    ("dataFrom", Any),
];

const STORE_REFERENCE: Fields = &[("name", Any), ("kind", Any)];

const TARGET: Fields = &[
    ("name", Any),
    ("creationPolicy", Any),
    ("deletionPolicy", Any),
    ("template", Map(TEMPLATE)),
    ("manifest", Any),
    ("immutable", Any),
];

const TEMPLATE: Fields = &[
    ("type", Any),
    ("engineVersion", Any),
    ("metadata", Map(&[("annotations", Any), ("labels", Any), ("finalizers", Any)])),
    ("mergePolicy", Any),
    ("data", Any),
    ("templateFrom", Any),
];

/// An element of `spec.data`.
pub(super) const ELEMENT: Fields = &[
    ("secretKey", Any),
    ("remoteRef", Map(REMOTE_REFERENCE)),
    ("sourceRef", Map(&[("storeRef", Map(STORE_REFERENCE)), ("generatorRef", Any)])),
];

const REMOTE_REFERENCE: Fields = &[
    ("key", Any),
    ("version", Any),
    ("property", Any),
    ("decodingStrategy", Any),
    ("conversionStrategy", Any),
    ("metadataPolicy", Any),
    ("nullBytePolicy", Any),
];

/// `spec` of a store.
pub(super) const STORE: Fields = &[
    ("controller", Any),
    ("provider", Map(&[("azurekv", Map(AZURE))])),
    ("retrySettings", Any),
    ("refreshInterval", Any),
    ("conditions", List(&[("namespaces", Any), ("namespaceSelector", Any), ("namespaceRegexes", Any)])),
];

const AZURE: Fields = &[
    ("authType", Any),
    (
        "authSecretRef",
        Map(&[
            ("clientId", Map(SECRET_KEY)),
            ("tenantId", Map(SECRET_KEY)),
            ("clientSecret", Map(SECRET_KEY)),
            ("clientCertificate", Map(SECRET_KEY)),
        ]),
    ),
    ("customCloudConfig", Any),
    ("environmentType", Any),
    ("identityId", Any),
    ("serviceAccountRef", Map(&[("name", Any), ("namespace", Any), ("audiences", Any)])),
    ("tenantId", Any),
    ("useAzureSDK", Any),
    ("vaultUrl", Any),
];

const SECRET_KEY: Fields = &[("name", Any), ("key", Any), ("namespace", Any)];

/// Reports each field below `node` that is not among `known`.
pub(super) fn check(location: &str, node: &Node, known: Fields, notes: &mut Vec<Note>) {
    for entry in node.entries() {
        let key = entry.key.chars().filter(|c| !c.is_control()).collect::<String>();
        let location = format!("{location}.{key}");
        match known.iter().find(|(name, _)| *name == entry.key).map(|(_, below)| below) {
            Some(Any) => {}
            Some(Map(fields)) => check(&location, &entry.value, fields, notes),
            Some(List(fields)) => {
                for (index, item) in entry.value.items().iter().enumerate() {
                    check(&format!("{location}[{index}]"), item, fields, notes);
                }
            }
            None => notes.push(Note::lost(
                location,
                "this field is not known here",
                "find out what it did, and whether something depends on it",
            )),
        }
    }
}
