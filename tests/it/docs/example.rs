//! A folder of examples/: what it says to the cluster, and what to Helm.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::page::{Page, below};
use super::repository;

/// A folder with manifests, or values of a chart, or both.
pub struct Folder {
    pub name: String,
    /// Every file as it is written.
    pub texts: Vec<String>,
    pub classes: Vec<Class>,
    pub mounts: Vec<Mount>,
    /// Names of its service accounts.
    pub accounts: Vec<String>,
    /// What its values let `vaultURL` use.
    pub allowed_vault_suffixes: Vec<String>,
    configs: BTreeMap<String, String>,
}

/// A `SecretProviderClass` for this provider, under whatever name it runs.
pub struct Class {
    pub name: String,
    pub namespace: String,
    pub parameters: BTreeMap<String, String>,
    /// The files that `secretObjects` copies.
    pub synced: Vec<String>,
}

/// A pod's volume of a class.
#[derive(Clone, Debug)]
pub struct Mount {
    pub class: String,
    /// Unknown where Helm decides.
    pub namespace: Option<String>,
    pub account: Option<String>,
    /// The Secret that `nodePublishSecretRef` names.
    pub secret: Option<String>,
    /// Where the container has it.
    pub path: String,
    pub environment: BTreeMap<String, String>,
}

impl Folder {
    pub fn all() -> Vec<Self> {
        let examples = repository().join("examples");
        let mut files: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for file in below(&examples, "yaml").into_iter().chain(below(&examples, "env")) {
            let inner = file.strip_prefix(&examples).unwrap();
            let folder = inner.parent().unwrap().display().to_string();
            assert!(!folder.is_empty(), "{} belongs to no example", file.display());
            files.entry(folder).or_default().push(file);
        }
        files.into_iter().map(|(name, files)| Self::read(name, &files)).collect()
    }

    /// What a page of the documentation shows in full.
    pub fn of(page: &Page) -> Self {
        let mut folder = Self::empty(page.name.clone());
        for block in page.blocks.iter().filter(|block| block.language == "yaml") {
            let documents = serde_saphyr::from_multiple::<Value>(&block.dedented()).unwrap();
            for document in &documents {
                folder.read_document(document);
            }
        }
        folder
    }

    pub fn named(name: &str) -> Self {
        Self::all().into_iter().find(|folder| folder.name == name).unwrap()
    }

    /// Every class, with each of its mounts; with one that is not shown, if the folder has none.
    pub fn uses(&self) -> Vec<(&Class, Mount)> {
        let mut uses = Vec::new();
        for class in &self.classes {
            let mounts = self.mounts.iter().filter(|mount| mount.class == class.name).cloned();
            let before = uses.len();
            uses.extend(mounts.map(|mount| (class, mount)));
            if uses.len() == before {
                uses.push((class, Mount::of_a_stranger(class)));
            }
        }
        uses
    }

    /// What a `ConfigMap` of the folder holds under this key.
    pub fn config(&self, key: &str) -> String {
        self.configs.get(key).unwrap_or_else(|| panic!("{}: no ConfigMap has {key}", self.name)).clone()
    }

    fn empty(name: String) -> Self {
        Self {
            name,
            texts: Vec::new(),
            classes: Vec::new(),
            mounts: Vec::new(),
            accounts: Vec::new(),
            allowed_vault_suffixes: Vec::new(),
            configs: BTreeMap::new(),
        }
    }

    fn read(name: String, files: &[PathBuf]) -> Self {
        let mut folder = Self::empty(name);
        for file in files {
            let text = std::fs::read_to_string(file).unwrap();
            if file.extension().is_some_and(|extension| extension == "yaml") {
                let documents = serde_saphyr::from_multiple::<Value>(&text);
                let documents = documents.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                for document in &documents {
                    folder.read_document(document);
                }
            }
            folder.texts.push(text);
        }
        folder
    }

    fn read_document(&mut self, document: &Value) {
        let text = |pointer: &str| text(document, pointer);
        let spec = ["/spec", "/spec/template/spec"].map(|pointer| document.pointer(pointer));
        match document["kind"].as_str() {
            Some("SecretProviderClass") => self.classes.extend(Class::read(document)),
            Some("ServiceAccount") => self.accounts.extend(text("/metadata/name").map(str::to_owned)),
            Some("ConfigMap") => self.configs.extend(texts(&document["data"])),
            Some("Pod") => self.read_pod(spec[0].unwrap(), text("/metadata/namespace")),
            Some("Deployment" | "DaemonSet") => self.read_pod(spec[1].unwrap(), text("/metadata/namespace")),
            Some(_) => {}
            None => self.read_values(document),
        }
    }

    fn read_pod(&mut self, spec: &Value, namespace: Option<&str>) {
        let account = spec["serviceAccountName"].as_str().map(str::to_owned);
        for container in items(&spec["containers"]) {
            let (mounts, environment) = (&container["volumeMounts"], &container["env"]);
            for mount in Mount::read(&spec["volumes"], mounts, environment) {
                let namespace = namespace.map(str::to_owned);
                self.mounts.push(Mount { namespace, account: account.clone(), ..mount });
            }
        }
    }

    /// The values of this chart, and of Velero's.
    fn read_values(&mut self, values: &Value) {
        let suffixes = items(&values["allowedVaultSuffixes"]).filter_map(Value::as_str);
        self.allowed_vault_suffixes.extend(suffixes.map(str::to_owned));
        let account = values.pointer("/serviceAccount/server/name").and_then(Value::as_str);
        let environment = &values["configuration"]["extraEnvVars"];
        for pod in [values, &values["nodeAgent"]] {
            for mount in Mount::read(&pod["extraVolumes"], &pod["extraVolumeMounts"], environment) {
                self.mounts.push(Mount { account: account.map(str::to_owned), ..mount });
            }
        }
    }
}

impl Class {
    /// `None` for a class of another provider.
    fn read(document: &Value) -> Option<Self> {
        text(document, "/spec/provider").filter(|provider| ["azure", "canary"].contains(provider))?;
        assert_eq!(text(document, "/apiVersion"), Some("secrets-store.csi.x-k8s.io/v1"));
        let parameters = document.pointer("/spec/parameters").unwrap();
        // The API server takes no parameter that is not text.
        let all_text = parameters.as_object().unwrap().values().all(Value::is_string);
        assert!(all_text, "{parameters}");
        let synced = items(&document["spec"]["secretObjects"]).flat_map(|secret| items(&secret["data"]));
        Some(Self {
            name: text(document, "/metadata/name").unwrap().to_owned(),
            namespace: text(document, "/metadata/namespace").unwrap_or("default").to_owned(),
            parameters: texts(parameters),
            synced: synced.map(|data| data["objectName"].as_str().unwrap().to_owned()).collect(),
        })
    }
}

impl Mount {
    /// One that the folder does not show.
    pub fn of_a_stranger(class: &Class) -> Self {
        Self {
            class: class.name.clone(),
            namespace: None,
            account: None,
            secret: None,
            path: String::new(),
            environment: BTreeMap::new(),
        }
    }

    /// The mounts of a container, in a pod whose other names the caller knows.
    fn read(volumes: &Value, mounts: &Value, environment: &Value) -> Vec<Self> {
        let environment = items(environment)
            .filter_map(|pair| Some((pair["name"].as_str()?.to_owned(), pair["value"].as_str()?.to_owned())))
            .collect::<BTreeMap<_, _>>();
        let ours = items(volumes).filter(|volume| volume["csi"]["driver"] == "secrets-store.csi.k8s.io");
        ours.filter_map(|volume| {
            let csi = &volume["csi"];
            assert_eq!(csi["readOnly"], true, "the driver refuses a volume that is not readOnly: {csi}");
            // Another container may be the one that mounts it.
            let mount = items(mounts).find(|mount| mount["name"] == volume["name"])?;
            let secret = csi["nodePublishSecretRef"]["name"].as_str();
            Some(Self {
                class: csi["volumeAttributes"]["secretProviderClass"].as_str().unwrap().to_owned(),
                namespace: None,
                account: None,
                secret: secret.map(str::to_owned),
                path: mount["mountPath"].as_str().unwrap().to_owned(),
                environment: environment.clone(),
            })
        })
        .collect()
    }
}

fn text<'a>(document: &'a Value, pointer: &str) -> Option<&'a str> {
    document.pointer(pointer).and_then(Value::as_str)
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The texts of a map.
fn texts(map: &Value) -> BTreeMap<String, String> {
    let pairs = map.as_object().into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
