//! A pod with which nothing is wrong, so that only its class can be.

use crate::plan::Attributes;

/// What kubelet says of a pod.
const CONTEXT: [(&str, &str); 3] = [
    ("csi.storage.k8s.io/pod.name", "pod"),
    ("csi.storage.k8s.io/pod.namespace", "namespace"),
    ("csi.storage.k8s.io/serviceAccount.tokens", TOKENS),
];

/// `{"alg":"RS256"}`, `{"iss":"https://issuer/","sub":"system:serviceaccount:namespace:account"}` and
/// a signature that nobody checks here, for either audience.
const TOKENS: &str = concat!(
    r#"{"api://AzureADTokenExchange":{"token":"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci8iLCJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQ6bmFtZXNwYWNlOmFjY291bnQifQ.c2lnbmF0dXJl"},"#,
    r#""api://AKSIdentityBinding":{"token":"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci8iLCJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQ6bmFtZXNwYWNlOmFjY291bnQifQ.c2lnbmF0dXJl"}}"#
);

/// Where its volume is.
pub(super) const TARGET: &str = "/target";
/// The mode that the driver asks for, 0644.
pub(super) const PERMISSION: &str = "420";

/// The attributes of a request that it makes with these parameters.
pub(super) fn attributes(parameters: impl Iterator<Item = (String, String)>) -> Attributes {
    // As for kubelet and the driver, what a class says of the pod does not count.
    parameters.chain(CONTEXT.map(|(key, value)| (key.to_owned(), value.to_owned()))).collect()
}
