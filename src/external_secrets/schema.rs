//! The fields of the operator's API. `convert` reports every field that is not in this list.

use super::note::Note;
use crate::yaml::Node;

/// The fields of a mapping, and the content of each.
pub(super) type KnownFields = &'static [(&'static str, FieldShape)];

/// The content of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum FieldShape {
    /// A value, or a structure that another module checks.
    Any,
    /// A mapping with these fields.
    Map(KnownFields),
    /// A list of mappings with these fields.
    List(KnownFields),
}

use FieldShape::{Any, List, Map};

/// `spec` of an `ExternalSecret`. Each element of `data` is checked separately, with [`ELEMENT`].
pub(super) const EXTERNAL_SECRET: KnownFields = &[
    ("secretStoreRef", Map(STORE_REFERENCE)),
    ("target", Map(TARGET)),
    ("refreshPolicy", Any),
    ("refreshInterval", Any),
    ("syncWindows", Any),
    ("data", Any),
    ("dataFrom", Any),
];

const STORE_REFERENCE: KnownFields = &[("name", Any), ("kind", Any)];

const TARGET: KnownFields = &[
    ("name", Any),
    ("creationPolicy", Any),
    ("deletionPolicy", Any),
    ("template", Map(TEMPLATE)),
    ("manifest", Any),
    ("immutable", Any),
];

const TEMPLATE: KnownFields = &[
    ("type", Any),
    ("engineVersion", Any),
    ("metadata", Map(&[("annotations", Any), ("labels", Any), ("finalizers", Any)])),
    ("mergePolicy", Any),
    ("data", Any),
    ("templateFrom", Any),
];

/// An element of `spec.data`.
pub(super) const ELEMENT: KnownFields = &[
    ("secretKey", Any),
    ("remoteRef", Map(REMOTE_REFERENCE)),
    ("sourceRef", Map(&[("storeRef", Map(STORE_REFERENCE)), ("generatorRef", Any)])),
];

/// An element of `spec.dataFrom` with `extract`.
pub(super) const DATA_FROM: KnownFields = &[
    ("extract", Map(REMOTE_REFERENCE)),
    ("rewrite", Any),
    ("sourceRef", Map(&[("storeRef", Map(STORE_REFERENCE)), ("generatorRef", Any)])),
];

const REMOTE_REFERENCE: KnownFields = &[
    ("key", Any),
    ("version", Any),
    ("property", Any),
    ("decodingStrategy", Any),
    ("conversionStrategy", Any),
    ("metadataPolicy", Any),
    ("nullBytePolicy", Any),
];

/// `spec` of a store.
pub(super) const STORE: KnownFields = &[
    ("controller", Any),
    ("provider", Map(&[("azurekv", Map(AZURE))])),
    ("retrySettings", Any),
    ("refreshInterval", Any),
    ("conditions", List(&[("namespaces", Any), ("namespaceSelector", Any), ("namespaceRegexes", Any)])),
];

const AZURE: KnownFields = &[
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

const SECRET_KEY: KnownFields = &[("name", Any), ("key", Any), ("namespace", Any)];

/// Reports each field below `node` that is not among `known`.
pub(super) fn check(location: &str, node: &Node, known: KnownFields, notes: &mut Vec<Note>) {
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
                "the field is unknown to convert",
                "check what the operator does with it, and whether your pods depend on that",
            )),
        }
    }
}
