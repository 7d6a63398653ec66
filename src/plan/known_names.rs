//! The names of parameters and fields, and suggestions for unknown names.

/// The parameters of a `SecretProviderClass`.
pub(super) const PARAMETERS: &[&str] = &[
    "clientID",
    "cloudEnvFileName",
    "cloudName",
    "failoverKeyvaultName",
    "keyvaultName",
    "objects",
    "rotationMaxAge",
    "staleIfError",
    "templates",
    "tenantID",
    "tenantId",
    "useAzureTokenProxy",
    "usePodIdentity",
    "useVMManagedIdentity",
    "userAssignedIdentityID",
    "vaultURL",
];

/// The fields of an object.
pub(super) const FIELDS: &[&str] = &[
    "filePermission",
    "hidden",
    "jmesPath",
    "keyvaultName",
    "objectAlias",
    "objectEncoding",
    "objectFormat",
    "objectName",
    "objectType",
    "objectVersion",
    "objectVersionHistory",
    "optional",
];

/// The fields of an element of `templates`.
pub(super) const TEMPLATE_FIELDS: &[&str] = &["filePermission", "path", "template"];

/// The fields of an element of `jmesPath`.
pub(super) const JSON_FIELDS: &[&str] = &["filePermission", "objectAlias", "path"];

/// Wrong names that users often write, and the correct ones.
const SYNONYMS: [(&str, &str); 27] = [
    ("alias", "objectAlias"),
    ("cloud", "cloudName"),
    ("defaultMode", "filePermission"),
    ("encoding", "objectEncoding"),
    ("fileMode", "filePermission"),
    ("fileName", "objectAlias"),
    ("format", "objectFormat"),
    ("history", "objectVersionHistory"),
    ("identityID", "userAssignedIdentityID"),
    ("keyVault", "keyvaultName"),
    ("kind", "objectType"),
    ("mode", "filePermission"),
    ("name", "objectName"),
    ("objectAlias", "objectName"),
    ("path", "objectAlias"),
    ("permission", "filePermission"),
    ("permissions", "filePermission"),
    ("secretName", "objectName"),
    ("tenant", "tenantID"),
    ("type", "objectType"),
    ("useManagedIdentity", "useVMManagedIdentity"),
    ("userAssignedIdentity", "userAssignedIdentityID"),
    ("vault", "keyvaultName"),
    ("vaultName", "keyvaultName"),
    ("vaultUri", "vaultURL"),
    ("version", "objectVersion"),
    ("versionHistory", "objectVersionHistory"),
];

/// The known name for which `name` is often written.
pub(super) fn synonym<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let (_, meant) = SYNONYMS.iter().find(|(synonym, _)| synonym.eq_ignore_ascii_case(name))?;
    known.iter().copied().find(|candidate| candidate == meant)
}

/// The correct location of a name that is not in `known`, as the end of a "did you mean" sentence.
pub(super) fn known_elsewhere(name: &str, known: &[&str]) -> Option<&'static str> {
    if known.contains(&name) {
        return None;
    }
    match name {
        "provider" | "secretObjects" | "parameters" => Some("the field of this name under `spec`?"),
        "objects" if PARAMETERS != known => Some("the parameter of this name, under `spec.parameters`?"),
        "nodePublishSecretRef" | "secretProviderClass" | "volumeAttributes" => {
            Some("the field of this name in the pod's volume, under `csi`?")
        }
        "namespace" | "labels" | "annotations" => Some("the field of this name under `metadata`?"),
        _ if PARAMETERS.contains(&name) => Some("the parameter of this name, under `spec.parameters`?"),
        _ if FIELDS.contains(&name) => {
            Some("the field of this name in an element of the parameter `objects`?")
        }
        _ => None,
    }
}
