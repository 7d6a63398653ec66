//! The attributes of a valid pod, so that all findings are about the class.

use crate::plan::Attributes;

/// The attributes that kubelet adds for a pod.
const CONTEXT: [(&str, &str); 3] = [
    ("csi.storage.k8s.io/pod.name", "pod"),
    ("csi.storage.k8s.io/pod.namespace", "namespace"),
    ("csi.storage.k8s.io/serviceAccount.tokens", TOKENS),
];

/// `{"alg":"RS256"}`, `{"iss":"https://issuer/","sub":"system:serviceaccount:namespace:account"}` and
/// a signature that is not checked, for both audiences.
const TOKENS: &str = concat!(
    r#"{"api://AzureADTokenExchange":{"token":"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci8iLCJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQ6bmFtZXNwYWNlOmFjY291bnQifQ.c2lnbmF0dXJl"},"#,
    r#""api://AKSIdentityBinding":{"token":"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci8iLCJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQ6bmFtZXNwYWNlOmFjY291bnQifQ.c2lnbmF0dXJl"}}"#
);

/// The path of the volume.
pub(super) const TARGET: &str = "/target";
/// The mode in the driver's request, 0644.
pub(super) const PERMISSION: &str = "420";

/// The attributes of a mount request with these parameters.
pub(super) fn attributes(parameters: impl Iterator<Item = (String, String)>) -> Attributes {
    // As in kubelet and the driver, attributes of the pod override parameters.
    parameters.chain(CONTEXT.map(|(key, value)| (key.to_owned(), value.to_owned()))).collect()
}
