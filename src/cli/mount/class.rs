//! The class that is mounted, from a manifest.

use std::collections::BTreeMap;
use std::path::Path;

use super::message::Message;
use crate::lint::{self, Diagnostic};
use crate::manifest::{ManifestError, ManifestObject, ManifestSource, ManifestSources};
use crate::plan::{Defaults, Fault, Request, boolean};
use crate::yaml::{Entry, Node, Position};

const KIND: &str = "SecretProviderClass";
const GROUP: &str = "secrets-store.csi.x-k8s.io/";
const PROVIDER: &str = "azure";

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
    file: String,
    object: ManifestObject,
}

/// A class with which nothing is wrong for one request.
#[derive(Debug)]
pub(super) struct Examined {
    /// What is wrong or unwise, as the manifest has it.
    pub(super) findings: Vec<Diagnostic>,
    /// Where objects are: `objects[2]`, and its file, line and column.
    pub(super) objects: BTreeMap<String, String>,
}

impl Class {
    /// Reads the class called `name`, or the only one, of `file`, where `-` is standard input.
    ///
    /// # Errors
    /// If there is none or more than one, or it is not Azure's.
    pub(super) fn read(file: &Path, name: Option<&str>) -> Result<Self, Vec<Message>> {
        let (mut found, mut mistakes) = (Vec::new(), Vec::new());
        for source in ManifestSources::new(vec![file.to_owned()]) {
            match source {
                Ok(source) => classes(&source, &mut found, &mut mistakes),
                Err(error) => mistakes.push(
                    Message::error("", error.to_string())
                        .help("name the file of a class, or - for standard input"),
                ),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let all = found.iter().filter_map(|(_, class)| class.name.as_deref()).collect::<Vec<_>>().join(", ");
        if let Some(name) = name {
            found.retain(|(_, class)| class.name.as_deref() == Some(name));
        }
        let shown = match file.to_string_lossy() {
            stdin if stdin == "-" => "<stdin>".to_owned(),
            path => path.into_owned(),
        };
        let several =
            found.iter().map(|(file, class)| location(file, class.root.position)).collect::<Vec<_>>();
        let mut found = found.into_iter();
        match (found.next(), found.next(), name) {
            (Some((file, class)), None, _) => Self::of(file, class).map_err(|mistake| vec![mistake]),
            (None, ..) if all.is_empty() => {
                let help = format!("name the file of a {KIND} (apiVersion: {GROUP}v1)");
                Err(vec![Message::error(shown, format!("it has no {KIND}")).help(help)])
            }
            (None, ..) => {
                let problem = format!("it has no {KIND} {}", name.unwrap_or_default());
                Err(vec![Message::error(shown, problem).help(format!("choose one of those it has: {all}"))])
            }
            (Some(_), Some(_), None) => {
                let problem = format!("it has several classes: {all}");
                Err(vec![Message::error(shown, problem).help("choose one with --name")])
            }
            (Some(_), Some(_), Some(name)) => {
                let problem = format!("{name} is defined more than once, at {}", several.join(", "));
                Err(vec![Message::error(shown, problem).help("leave one")])
            }
        }
    }

    fn of(file: String, class: ManifestObject) -> Result<Self, Message> {
        let provider = class.root.at(&["spec", "provider"]);
        if provider.and_then(Node::text) != Some(PROVIDER) {
            let at = location(&file, provider.unwrap_or(&class.root).position);
            return Err(Message::error(at, "spec.provider: the class is not for this provider")
                .help(format!("write `provider: {PROVIDER}`")));
        }
        let parameters = class.root.at(&["spec", "parameters"]).map_or(&[][..], Node::entries);
        let text = |entry: &Entry| Some((entry.key.clone(), entry.value.text()?.to_owned()));
        Ok(Self {
            name: class.name.clone().unwrap_or_default(),
            namespace: class.namespace.clone(),
            parameters: parameters.iter().filter_map(text).collect(),
            location: location(&file, class.root.position),
            file,
            object: class,
        })
    }

    /// Finds what is wrong in the class for a request that mounts it.
    pub(super) fn examine(&self, request: Request<'_>, defaults: &Defaults) -> Examined {
        let lint::Examined { diagnostics, objects } =
            lint::examine(&self.object, PROVIDER, request, defaults);
        let place = |(name, position)| (name, self.at(position));
        Examined { findings: diagnostics, objects: objects.into_iter().map(place).collect() }
    }

    /// A position in the file of the class.
    pub(super) fn at(&self, position: Position) -> String {
        location(&self.file, position)
    }

    /// A parameter without the white space around it, if it is there and says something.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.parameters.get(key).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Whether a boolean is there and true.
    ///
    /// # Errors
    /// If it is there and none. [`Self::examine`] finds it, too.
    pub(super) fn says(&self, key: &str) -> Result<bool, Fault> {
        boolean(self.text(key).unwrap_or_default())
    }
}

fn classes(
    source: &ManifestSource,
    classes: &mut Vec<(String, ManifestObject)>,
    mistakes: &mut Vec<Message>,
) {
    for document in source.documents().filter(|document| document.mentions(KIND)) {
        match document.objects() {
            Ok(objects) => {
                let ours =
                    |object: &ManifestObject| object.kind == KIND && object.api_version.starts_with(GROUP);
                classes.extend(objects.into_iter().filter(ours).map(|class| (source.name.clone(), class)));
            }
            Err(ManifestError { file, position, problem, help }) => {
                mistakes.push(Message::error(location(&file, position), problem).help(help));
            }
        }
    }
}

fn location(file: &str, position: Position) -> String {
    format!("{file}:{}:{}", position.line, position.column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, name: Option<&str>) -> Result<Class, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("class.yaml");
        std::fs::write(&file, text).unwrap();
        Class::read(&file, name)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
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
            (&both, None, "several classes: one, two\n  help: choose one with --name"),
            (
                &both,
                Some("three"),
                "no SecretProviderClass three\n  help: choose one of those it has: one, two",
            ),
            (&other.to_owned(), None, "has no SecretProviderClass"),
            (&format!("{one}{one}"), Some("one"), "more than once"),
            (&one.replace("azure", "aws"), None, "write `provider: azure`"),
        ] {
            let error = read(text, name).unwrap_err();
            assert!(error.contains(words), "{words:?} is not in {error}");
        }
    }

    #[test]
    fn text_that_only_looks_like_something_else_is_a_string() {
        let right = "    useVMManagedIdentity: \"true\"\n    keyvaultName: '007'\n    rotationMaxAge: 1h\n    \
                     tenantID: 00000000-0000-4000-8000-000000000001\n    clientID: 1e2-3\n    objects: |\n      7\n";
        assert!(read(&class("one", right), None).unwrap().says("useVMManagedIdentity").unwrap());
    }
}
