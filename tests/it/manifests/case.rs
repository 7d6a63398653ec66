//! Reads the cases in `tests/data/manifests`. Its README describes the files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use keyvault_emulator::Seed;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A folder with a class and its expected result.
pub struct Case {
    pub name: String,
    pub class: Class,
    pub expected: Expectations,
}

/// The parts of a `SecretProviderClass` that a provider receives.
pub struct Class {
    pub name: String,
    pub namespace: String,
    pub parameters: BTreeMap<String, String>,
}

/// The expected result, the provider's flags and the pod's identity.
pub struct Expectations {
    pub arguments: Vec<String>,
    pub account: String,
    pub secret: Option<BTreeMap<String, String>>,
    pub outcome: Expectation,
    pub hosts: Option<BTreeSet<String>>,
}

pub enum Expectation {
    Mounted(Expected),
    Refused(Vec<String>),
}

pub struct Expected {
    /// By path.
    pub files: Vec<ExpectedFile>,
    /// Ids, and the versions.
    pub versions: Vec<(String, String)>,
}

pub struct ExpectedFile {
    pub path: String,
    /// Four octal digits.
    pub mode: String,
    pub contents: Vec<u8>,
}

impl Case {
    /// All cases. Other files and folders are refused.
    pub fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for entry in entries(&manifests()) {
            let name = entry.file_name().unwrap().to_str().unwrap().to_owned();
            if entry.is_dir() {
                cases.push(Self::read(&entry, name));
            } else {
                assert!(["README.md", "seed.yaml"].contains(&name.as_str()), "{name} belongs to no case");
            }
        }
        cases
    }

    fn read(folder: &Path, name: String) -> Self {
        for file in entries(folder) {
            let known = ["class.yaml", "expected.yaml", "environment.json"].map(|file| folder.join(file));
            assert!(known.contains(&file), "unknown file {}", file.display());
        }
        let written: Written = typed(&folder.join("expected.yaml"));
        let class = Class::read(&folder.join("class.yaml"));
        Self { expected: written.expectations(&name), name, class }
    }
}

impl Class {
    fn read(path: &Path) -> Self {
        let class = yaml(path);
        let required = |name: &str, value: Option<&Value>| {
            let text = value.and_then(Value::as_str);
            text.unwrap_or_else(|| panic!("{}: {name} is not text", path.display())).to_owned()
        };
        let text = |pointer: &str| required(pointer, class.pointer(pointer));
        let kind = (text("/apiVersion"), text("/kind"), text("/spec/provider"));
        assert_eq!(
            (kind.0.as_str(), kind.1.as_str(), kind.2.as_str()),
            ("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass", "azure"),
            "{}",
            path.display()
        );
        let parameters = class.pointer("/spec/parameters").and_then(Value::as_object).unwrap();
        // The API server accepts only text as parameters.
        let parameters =
            parameters.iter().map(|(key, value)| (key.clone(), required(key, Some(value)))).collect();
        Self { name: text("/metadata/name"), namespace: text("/metadata/namespace"), parameters }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    arguments: Vec<String>,
    #[serde(default)]
    identity: WrittenIdentity,
    files: Option<Vec<WrittenFile>>,
    versions: Option<Vec<WrittenVersion>>,
    refused: Option<Vec<String>>,
    hosts: Option<BTreeSet<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WrittenIdentity {
    service_account: Option<String>,
    secret: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WrittenFile {
    path: String,
    mode: String,
    text: Option<String>,
    base64: Option<String>,
    file: Option<OneOrSeveral>,
    base64_of: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrSeveral {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenVersion {
    id: String,
    version: String,
}

impl Written {
    fn expectations(self, case: &str) -> Expectations {
        let outcome = match (self.files, self.versions, self.refused) {
            (Some(files), Some(versions), None) => {
                let mut files = files.into_iter().map(|file| file.read(case)).collect::<Vec<_>>();
                files.sort_by(|one, other| one.path.cmp(&other.path));
                let versions = versions.into_iter().map(|version| (version.id, version.version)).collect();
                Expectation::Mounted(Expected { files, versions })
            }
            (None, None, Some(words)) if !words.is_empty() => Expectation::Refused(words),
            _ => panic!("{case}: set files and versions, or refused"),
        };
        Expectations {
            arguments: self.arguments,
            account: self.identity.service_account.unwrap_or_else(|| "workload-identity-sa".to_owned()),
            secret: self.identity.secret,
            outcome,
            hosts: self.hosts,
        }
    }
}

impl WrittenFile {
    fn read(self, case: &str) -> ExpectedFile {
        let contents = match (self.text, self.base64, self.file, self.base64_of) {
            (Some(text), None, None, None) => text.into_bytes(),
            (None, Some(text), None, None) => BASE64.decode(text.as_bytes()).unwrap(),
            (None, None, Some(OneOrSeveral::One(name)), None) => fixture(&name),
            (None, None, Some(OneOrSeveral::Several(names)), None) => {
                names.iter().flat_map(|name| fixture(name)).collect()
            }
            (None, None, None, Some(name)) => BASE64.encode(&fixture(&name)).into_bytes(),
            _ => panic!("{case}: {} needs one of text, base64, file and base64Of", self.path),
        };
        ExpectedFile { path: self.path, mode: self.mode, contents }
    }
}

/// The contents of the emulated Azure.
pub fn seed() -> Seed {
    typed(&manifests().join("seed.yaml"))
}

fn manifests() -> PathBuf {
    data().join("manifests")
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// The entries of a folder, sorted by name.
fn entries(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn fixture(name: &str) -> Vec<u8> {
    bytes(&data().join(name))
}

fn yaml(path: &Path) -> Value {
    let text = String::from_utf8(bytes(path)).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A YAML file in which references to files of `tests/data` are replaced by their contents.
fn typed<T: DeserializeOwned>(path: &Path) -> T {
    serde_json::from_value(filled(yaml(path))).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Replaces `{file: <name>}` by the file's text, and `{base64: <name>}` by its contents in base64.
fn filled(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(filled).collect(),
        Value::Object(fields) => {
            let mut pairs = fields.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
            match (fields.len(), pairs.next()) {
                (1, Some(("file", name))) => String::from_utf8(fixture(name)).unwrap().into(),
                (1, Some(("base64", name))) => BASE64.encode(&fixture(name)).into(),
                _ => fields.into_iter().map(|(key, value)| (key, filled(value))).collect(),
            }
        }
        scalar => scalar,
    }
}
