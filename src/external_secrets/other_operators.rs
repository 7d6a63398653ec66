//! Objects of other operators that sync secrets from Key Vault. `convert` reports and does not convert them.

use super::data::text;
use super::note::Note;
use crate::manifest::ManifestObject;

/// The note on an object of another operator.
pub(super) fn note(object: &ManifestObject) -> Option<Note> {
    let group = object.api_version.split_once('/')?.0;
    let root = &object.root;
    let kind = object.kind.as_str();
    let (operator, vault, names) = match group {
        "kubernetes-client.io" if kind == "ExternalSecret" => {
            let spec = root.at(&["spec"]).or_else(|| root.at(&["secretDescriptor"]));
            let vault = spec.and_then(|spec| text(spec, &["keyVaultName"]));
            let data = spec.and_then(|spec| spec.at(&["data"]));
            let keys = data.iter().flat_map(|data| data.items()).filter_map(|item| text(item, &["key"]));
            ("kubernetes-external-secrets", vault, keys.collect::<Vec<_>>())
        }
        "spv.no" if kind.starts_with("AzureKeyVault") => {
            let vault = text(root, &["spec", "vault", "name"]);
            ("akv2k8s", vault, text(root, &["spec", "vault", "object", "name"]).into_iter().collect())
        }
        _ => return None,
    };
    let name = object.name.as_deref().unwrap_or("without a name");
    let problem = format!("{kind} {name} belongs to {operator} and is not converted");
    let objects = match (vault, names.is_empty()) {
        (Some(vault), false) => format!("for vault {vault} with the objects {}", names.join(", ")),
        (Some(vault), true) => format!("for vault {vault}"),
        (None, _) => "for its vault".to_owned(),
    };
    let help = format!(
        "it is left unchanged; write a SecretProviderClass {objects}, or write an ExternalSecret of external-secrets.io/v1 and convert that"
    );
    Some(Note::lost("apiVersion", problem, help))
}
