//! Writes a `SecretProviderClass`.

use super::data::{CertificatePart, KeyItem, VaultObject, VaultValue};
use super::login::ClassLogin;
use super::metadata::Pairs;
use super::note::Note;
use super::secret::ExternalSecret;
use super::store::{Store, Vault};
use super::workload::{ShownKey, VolumeView};
use super::write::{Tree, comment_lines, scalar};
use crate::plan::{FileMode, RelativePath, quoted};
use crate::secret_rules::{TLS, TLS_KEYS};

/// A class that mounts one view of the Secret of an `ExternalSecret`.
#[derive(Clone, Debug)]
pub(super) struct ConvertedClass {
    pub name: String,
    pub view: VolumeView,
    /// Whether the driver also creates the Secret.
    pub syncs: bool,
}

/// The input for a class.
pub(super) struct ClassSources<'a> {
    pub secret: &'a ExternalSecret,
    pub store: &'a Store,
    pub login: &'a ClassLogin,
    /// The store of an object whose element names one, or why the class cannot use that store.
    pub other_store: &'a dyn Fn(&VaultObject) -> Result<Option<&'a Store>, String>,
}

/// The text of a class.
#[derive(Debug)]
pub(super) struct WrittenClass {
    pub tree: Tree,
    /// What the class lacks or requires. The text has the same notes as comments.
    pub notes: Vec<Note>,
}

impl ConvertedClass {
    pub(super) fn write(&self, sources: &ClassSources<'_>) -> WrittenClass {
        let ClassSources { secret, store, login, .. } = sources;
        let mut notes = Vec::new();
        let objects = self.objects(sources, &mut notes);
        let mut metadata = vec![("name".to_owned(), Tree::text(&self.name))];
        metadata.extend(
            secret.namespace.as_ref().map(|namespace| ("namespace".to_owned(), Tree::text(namespace))),
        );
        metadata.extend(map_of("labels", &secret.own_labels));
        metadata.extend(map_of("annotations", &secret.own_annotations));
        let mut spec = vec![("provider".to_owned(), Tree::text("azure"))];
        let mut parameters = vec![match &store.vault {
            Vault::Name(name) => ("keyvaultName", name.clone()),
            Vault::Url(url) => ("vaultURL", url.clone()),
        }];
        parameters.extend(store.cloud.map(|cloud| ("cloudName", cloud.to_owned())));
        parameters.extend(login.parameters.iter().cloned());
        parameters.push(("rotationMaxAge", secret.max_age.clone()));
        let parameters = parameters.into_iter().map(|(key, value)| (key.to_owned(), Tree::Text(value)));
        let parameters = parameters.chain([("objects".to_owned(), Tree::Block(objects))]).collect();
        let comments = [&secret.notes, &store.notes, &login.notes];
        let comments = comments.into_iter().flatten().map(Note::comment).collect();
        notes.splice(0..0, secret.notes.iter().chain(&store.notes).chain(&login.notes).cloned());
        spec.push(("parameters".to_owned(), Tree::Map(parameters).commented(comments)));
        if self.syncs {
            spec.push(("secretObjects".to_owned(), Self::secret_object(secret, &mut notes)));
        }
        let tree = Tree::map([
            ("apiVersion", Tree::text("secrets-store.csi.x-k8s.io/v1")),
            ("kind", Tree::text("SecretProviderClass")),
            ("metadata", Tree::Map(metadata)),
            ("spec", Tree::Map(spec)),
        ]);
        WrittenClass { tree, notes }
    }

    /// The parameter `objects`, with comments for the keys that it lacks.
    fn objects(&self, sources: &ClassSources<'_>, notes: &mut Vec<Note>) -> String {
        let secret = sources.secret;
        let mut out = String::from("array:\n");
        let mut written: Vec<(String, String)> = Vec::new();
        let shown = self.view.items.as_deref();
        for item in &secret.items {
            // A volume of selected keys does not need the others.
            if shown.is_some_and(|shown| !shown.iter().any(|shown| item.is_key(&shown.key))) {
                continue;
            }
            let mut comments = item.comments.clone();
            let mut lost = item.notes.clone();
            lost.extend(item.value.as_ref().and_then(|value| value.difference.clone()));
            let mut objects = String::new();
            for file in item.value.iter().flat_map(|value| self.files(value)) {
                match file.and_then(|file| file.written(sources, self)) {
                    Ok((path, text)) => match written.iter().find(|(other, _)| *other == path) {
                        None => {
                            objects.push_str(&text);
                            written.push((path, text));
                        }
                        // The two parts of one certificate.
                        Some((_, same)) if *same == text => {}
                        Some(_) => {
                            let problem =
                                format!("the file {} already belongs to another key", quoted(&path));
                            lost.push(Note::lost("objectAlias", problem, "rename one of the two keys"));
                        }
                    },
                    Err(note) => lost.push(note),
                }
            }
            comments.extend(lost.iter().map(Note::comment));
            out.push_str(&comment_lines(&comments, 2));
            out.push_str(&objects);
            notes.append(&mut lost);
        }
        for shown in shown.unwrap_or_default() {
            if !secret.items.iter().any(|item| item.is_key(&shown.key)) {
                let problem = format!(
                    "the volume mounts the key {}, which the ExternalSecret does not have",
                    quoted(&shown.key)
                );
                let note = Note::lost("objects", problem, "add the object for this key");
                out.push_str(&comment_lines(&[note.comment()], 2));
                notes.push(note);
            }
        }
        out
    }

    /// The files of a key of the Secret in this view.
    fn files<'a>(&self, value: &'a VaultValue) -> Vec<Result<ObjectFile<'a>, Note>> {
        let file = |path: &str, mode: Option<FileMode>| {
            let path = RelativePath::parse(path)
                .map_err(|fault| Note::lost("objectAlias", fault.problem, fault.help))?;
            Ok(ObjectFile { object: &value.object, path, mode: mode.or(self.view.mode) })
        };
        match &self.view.items {
            None => vec![file(&value.file(), None)],
            Some(items) => {
                let items = items.iter().filter(|shown| shown.key == value.key);
                items.map(|ShownKey { path, mode, .. }| file(path, *mode)).collect()
            }
        }
    }

    fn secret_object(secret: &ExternalSecret, notes: &mut Vec<Note>) -> Tree {
        let data = secret.items.iter().filter_map(|item| item.value.as_ref());
        // With any other key the driver creates no Secret of this type.
        let fills = |value: &&VaultValue| secret.kind != TLS || TLS_KEYS.contains(&value.key.as_str());
        let data = data.filter(fills).filter(|value| RelativePath::parse(&value.file()).is_ok());
        let data = data.map(|value| {
            Tree::map([("objectName", Tree::text(value.file())), ("key", Tree::text(&value.key))])
        });
        let mut object = vec![
            ("secretName".to_owned(), Tree::text(&secret.target_name)),
            ("type".to_owned(), Tree::text(&secret.kind)),
        ];
        object.extend(map_of("labels", &secret.labels));
        object.extend(map_of("annotations", &secret.annotations));
        object.push(("data".to_owned(), Tree::List(data.collect())));
        let problem =
            format!("the driver creates Secret {} while a pod mounts this class", secret.target_name);
        let mut own =
            vec![Note::remark("secretObjects", problem, "install the driver with syncSecret.enabled=true")];
        if secret.optional {
            let problem =
                "an object that is missing in the vault stops the pods, because the Secret needs all objects";
            own.push(Note::lost(
                "spec.target.deletionPolicy",
                problem,
                "mount the keys as files instead, where objects can be optional",
            ));
        }
        let comments = own.iter().map(Note::comment).collect();
        notes.append(&mut own);
        Tree::List(vec![Tree::Map(object)]).commented(comments)
    }
}

fn map_of(key: &str, pairs: &Pairs) -> Option<(String, Tree)> {
    let entries = pairs.iter().map(|(key, value)| (key.clone(), Tree::text(value))).collect::<Vec<_>>();
    (!entries.is_empty()).then(|| (key.to_owned(), Tree::Map(entries)))
}

impl KeyItem {
    /// Whether it is for this key of the Secret, even if it cannot be converted.
    fn is_key(&self, key: &str) -> bool {
        self.key.as_deref() == Some(key)
    }
}

impl VaultValue {
    /// The name of its file in a view of all keys.
    fn file(&self) -> String {
        match self.part {
            None => self.key.clone(),
            Some(CertificatePart::Certificates | CertificatePart::PrivateKey) => {
                format!("{}.pem", self.object.alias)
            }
        }
    }
}

struct ObjectFile<'a> {
    object: &'a VaultObject,
    path: RelativePath,
    mode: Option<FileMode>,
}

impl ObjectFile<'_> {
    /// The path, and the element of `objects`.
    fn written(&self, sources: &ClassSources<'_>, class: &ConvertedClass) -> Result<(String, String), Note> {
        let Self { object, path, mode } = self;
        let mut fields = vec![
            ("objectName", object.name.as_str().to_owned()),
            ("objectType", object.kind.name().to_owned()),
        ];
        let mut field = |key, value: Option<String>| fields.extend(value.map(|value| (key, value)));
        field("objectAlias", (path.as_str() != object.name.as_str()).then(|| path.as_str().to_owned()));
        field("objectVersion", object.version.clone());
        field("objectFormat", object.pfx.then(|| "PFX".to_owned()));
        field("objectEncoding", object.decoded.then(|| "base64".to_owned()));
        field("filePermission", mode.map(|mode| mode.to_string()));
        field("optional", (sources.secret.optional && !class.syncs).then(|| "true".to_owned()));
        let split = |problem: String| {
            let location = format!("{}.sourceRef.storeRef", object.location);
            Note::lost(location, problem, "move the keys of that store to another ExternalSecret")
        };
        let other = (sources.other_store)(object).map_err(split)?;
        match other.map(|other| &other.vault) {
            None => {}
            Some(Vault::Name(name)) => field("keyvaultName", Some(name.clone())),
            Some(Vault::Url(url)) => {
                return Err(split(format!("an object cannot set its vault by URL ({})", quoted(url))));
            }
        }
        let lines = fields.into_iter().map(|(key, value)| {
            let value = if key == "optional" { value } else { scalar(&value) };
            format!("    {key}: {value}\n")
        });
        Ok((path.as_str().to_owned(), format!("  - |\n{}", lines.collect::<String>())))
    }
}
