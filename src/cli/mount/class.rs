//! The class that is mounted, from a manifest.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{anyhow, bail};

use crate::lint::type_fault;
use crate::manifest::{ManifestObject, ManifestSource, ManifestSources};
use crate::plan::{Fault, boolean};
use crate::yaml::{Entry, Node};

const KIND: &str = "SecretProviderClass";
const GROUP: &str = "secrets-store.csi.x-k8s.io/";

/// A `SecretProviderClass` for Azure.
#[derive(Debug)]
pub(super) struct Class {
    /// Its name; empty if it has none.
    pub(super) name: String,
    /// Its namespace, if the manifest says it.
    pub(super) namespace: Option<String>,
    /// Its parameters, as they are written.
    pub(super) parameters: BTreeMap<String, String>,
    /// The file, and the line in which it begins.
    pub(super) location: String,
}

impl Class {
    /// Reads the class called `name`, or the only one, of `file`, where `-` is standard input.
    ///
    /// # Errors
    /// If there is none or more than one, it is not Azure's, or a parameter is no string, with its line.
    pub(super) fn read(file: &Path, name: Option<&str>) -> anyhow::Result<Self> {
        let sources = ManifestSources::new(vec![file.to_owned()]).collect::<Result<Vec<_>, _>>()?;
        let mut found = Vec::new();
        for source in &sources {
            found.extend(classes(source)?.into_iter().map(|class| (source.name.as_str(), class)));
        }
        let shown = file.display();
        let all = found.iter().filter_map(|(_, class)| class.name.as_deref()).collect::<Vec<_>>().join(", ");
        if let Some(name) = name {
            found.retain(|(_, class)| class.name.as_deref() == Some(name));
        }
        match (found.as_slice(), name) {
            ([(file, class)], _) => Self::of(file, class),
            ([], _) if all.is_empty() => {
                bail!("{shown} has no {KIND} (apiVersion {GROUP}v1); name the file of one")
            }
            ([], _) => bail!("{shown} has no {KIND} of this name; it has {all}"),
            (_, None) => bail!("{shown} has several classes: {all}; choose one with --name"),
            (several, Some(name)) => {
                let places =
                    several.iter().map(|(file, class)| location(file, &class.root)).collect::<Vec<_>>();
                bail!("{name} is there more than once, at {}; leave one", places.join(", "))
            }
        }
    }

    fn of(file: &str, class: &ManifestObject) -> anyhow::Result<Self> {
        let provider = class.root.at(&["spec", "provider"]);
        if provider.and_then(Node::text) != Some("azure") {
            let at = location(file, provider.unwrap_or(&class.root));
            bail!("{at}: the class is not for this provider; spec.provider must be azure");
        }
        let parameters = class.root.at(&["spec", "parameters"]).map_or(&[][..], Node::entries);
        let mistake = |entry: &Entry| {
            let Fault { problem, help, .. } = type_fault(entry)?;
            Some(format!("{}: parameters.{}: {problem}; {help}.", location(file, &entry.value), entry.key))
        };
        let mistakes = parameters.iter().filter_map(mistake).collect::<Vec<_>>();
        if !mistakes.is_empty() {
            bail!("{}", mistakes.join(" "));
        }
        let text = |entry: &Entry| Some((entry.key.clone(), entry.value.text()?.to_owned()));
        Ok(Self {
            name: class.name.clone().unwrap_or_default(),
            namespace: class.namespace.clone(),
            parameters: parameters.iter().filter_map(text).collect(),
            location: location(file, &class.root),
        })
    }

    /// A parameter without the white space around it, if it is there and says something.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.parameters.get(key).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Whether a boolean is there and true.
    ///
    /// # Errors
    /// If it is there and none.
    pub(super) fn says(&self, key: &str) -> anyhow::Result<bool> {
        boolean(self.text(key).unwrap_or_default()).map_err(|Fault { problem, help, .. }| {
            anyhow!("{}: parameters.{key}: {problem}; {help}", self.location)
        })
    }
}

fn classes(source: &ManifestSource) -> anyhow::Result<Vec<ManifestObject>> {
    let mut classes = Vec::new();
    for document in source.documents().filter(|document| document.mentions(KIND)) {
        let objects = document.objects().map_err(|error| anyhow!(error))?;
        classes.extend(
            objects.into_iter().filter(|object| object.kind == KIND && object.api_version.starts_with(GROUP)),
        );
    }
    Ok(classes)
}

fn location(file: &str, node: &Node) -> String {
    format!("{file}:{}:{}", node.position.line, node.position.column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, name: Option<&str>) -> Result<Class, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("class.yaml");
        std::fs::write(&file, text).unwrap();
        Class::read(&file, name).map_err(|error| error.to_string())
    }

    fn class(name: &str, parameters: &str) -> String {
        format!(
            "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\nmetadata: {{name: {name}}}\n\
             spec:\n  provider: azure\n  parameters:\n{parameters}---\n"
        )
    }

    #[test]
    fn the_only_class_of_a_manifest_needs_no_name_and_one_of_several_does() {
        let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\n---\n";
        let (one, two) = (class("one", "    keyvaultName: ' a '\n"), class("two", "    keyvaultName: b\n"));
        let found = read(&format!("{other}{one}"), None).unwrap();
        assert_eq!((found.name.as_str(), found.text("keyvaultName")), ("one", Some("a")));
        assert!(found.location.ends_with("class.yaml:5:1"), "{}", found.location);
        let both = format!("{one}{two}");
        assert_eq!(read(&both, Some("two")).unwrap().text("keyvaultName"), Some("b"));
        for (text, name, words) in [
            (&both, None, "several classes: one, two; choose one with --name"),
            (&both, Some("three"), "no SecretProviderClass of this name; it has one, two"),
            (&other.to_owned(), None, "has no SecretProviderClass"),
            (&format!("{one}{one}"), Some("one"), "more than once"),
            (&one.replace("azure", "aws"), None, "spec.provider must be azure"),
        ] {
            let error = read(text, name).unwrap_err();
            assert!(error.contains(words), "{words:?} is not in {error}");
        }
    }

    #[test]
    fn parameters_that_are_no_strings_are_all_named_with_their_lines() {
        let wrong = "    useVMManagedIdentity: true\n    keyvaultName: 0x10\n    tenantID:\n    objects: [a]\n    \
                     rotationMaxAge: 1_0\n    staleIfError: {a: b}\n    clientID: Yes\n";
        let error = read(&class("one", wrong), None).unwrap_err();
        for (line, words) in [
            (
                7,
                "parameters.useVMManagedIdentity: it is a boolean, but the API server accepts only strings; put it in quotes",
            ),
            (8, "parameters.keyvaultName: it is a number"),
            (9, "parameters.tenantID: it is null"),
            (10, "parameters.objects: it is a list"),
            (11, "parameters.rotationMaxAge: it is a number"),
            (12, "parameters.staleIfError: it is a mapping"),
            (13, "parameters.clientID: it is a boolean"),
        ] {
            let found = error.split(&format!("class.yaml:{line}:")).nth(1);
            assert!(found.is_some_and(|rest| rest.contains(words)), "{line} {words:?} is not in {error}");
        }
    }

    #[test]
    fn text_that_only_looks_like_something_else_is_a_string() {
        let right = "    useVMManagedIdentity: \"true\"\n    keyvaultName: '007'\n    rotationMaxAge: 1h\n    \
                     tenantID: 00000000-0000-4000-8000-000000000001\n    clientID: 1e2-3\n    objects: |\n      7\n";
        assert!(read(&class("one", right), None).unwrap().says("useVMManagedIdentity").unwrap());
    }
}
