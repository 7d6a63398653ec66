//! The pod of a mount request.

use std::collections::BTreeMap;

/// The pod that a request is for.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its service account.
    pub service_account: String,
    /// The `SecretProviderClass` of its volume.
    pub class: String,
}

impl Pod {
    /// The attributes of a request: kubelet's attributes of this pod, its `tokens`, and its class's `parameters`.
    pub fn attributes(
        &self,
        tokens: &str,
        parameters: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let said = [
            ("csi.storage.k8s.io/pod.name", self.name.as_str()),
            ("csi.storage.k8s.io/pod.namespace", &self.namespace),
            ("csi.storage.k8s.io/pod.uid", &self.uid),
            ("csi.storage.k8s.io/serviceAccount.name", &self.service_account),
            ("csi.storage.k8s.io/serviceAccount.tokens", tokens),
            ("secretProviderClass", &self.class),
        ];
        let said = said.map(|(key, value)| (key.to_owned(), value.to_owned()));
        // As in the driver, a class's parameters do not replace kubelet's attributes.
        parameters.clone().into_iter().chain(said).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_parameter_of_a_class_replaces_what_kubelet_says() {
        let words = ["pod", "uid", "namespace", "account", "class"].map(str::to_owned);
        let [name, uid, namespace, service_account, class] = words;
        let pod = Pod { name, uid, namespace, service_account, class };
        let parameters = [("csi.storage.k8s.io/pod.namespace", "other"), ("objects", "[]")];
        let parameters = parameters.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let attributes = pod.attributes("{}", &parameters);
        assert_eq!(attributes["csi.storage.k8s.io/pod.namespace"], "namespace");
        assert_eq!(attributes["objects"], "[]");
        assert_eq!(attributes.len(), 7);
    }
}
