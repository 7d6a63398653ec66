//! A Secret that an `ExternalSecret` creates, and the objects that use it.

use std::collections::BTreeSet;

use super::cluster::{Cluster, GROUP, is_external, is_store, may_be_same_namespace};
use super::converted_class::{ClassSources, ConvertedClass};
use super::data;
use super::extract;
use super::input::InputDocument;
use super::login::ClassLogin;
use super::metadata::is_read_by_others;
use super::note::Note;
use super::other_operators;
use super::output::ConversionOutput;
use super::secret::ExternalSecret;
use super::store::Store;
use super::workload::{SecretVolume, VolumeView, Workload, secret_names};
use crate::manifest::ManifestObject;

/// A Secret, and the classes that replace it.
#[derive(Debug)]
pub(super) struct TargetSecret<'a> {
    /// The document of the `ExternalSecret`.
    pub index: usize,
    pub secret: ExternalSecret,
    pub store: &'a Store,
    stores: Vec<usize>,
    pub login: ClassLogin,
    /// If a class syncs the Secret, it is the first.
    pub classes: Vec<ConvertedClass>,
    /// The indices of the documents that use the Secret.
    users: BTreeSet<usize>,
    /// Whether a workload in the files mounts the class that syncs.
    pub mounted: bool,
    /// Whether another namespace has a Secret of the same name.
    is_ambiguous: bool,
}

impl<'a> TargetSecret<'a> {
    /// Parses all `ExternalSecret`s, and reports those that cannot be converted.
    pub(super) fn all(
        documents: &[InputDocument<'_>],
        cluster: &'a Cluster<'_>,
        output: &mut ConversionOutput<'_>,
    ) -> Vec<Self> {
        let mut targets: Vec<Self> = Vec::new();
        for (index, document) in documents.iter().enumerate() {
            let Some(object) = &document.object else { continue };
            if !object.api_version.contains(GROUP) {
                if let Some(note) = other_operators::note(object) {
                    output.annotate(index, note);
                }
                continue;
            }
            let target = match object.kind.as_str() {
                _ if is_store(object) => continue,
                "ExternalSecret" if is_external(object, &object.kind) => {
                    Self::parse(index, document, object, cluster)
                        .and_then(|target| target.reject_duplicate(&targets))
                }
                _ => Err(unsupported_object(object)),
            };
            match target {
                Ok(target) => targets.push(target),
                Err(note) => output.annotate(index, note),
            }
        }
        let names = targets.iter().map(|target| target.secret.target_name.clone()).collect::<Vec<_>>();
        for target in &mut targets {
            target.is_ambiguous = names.iter().filter(|name| **name == target.secret.target_name).count() > 1;
        }
        targets
    }

    fn parse(
        index: usize,
        document: &InputDocument<'_>,
        object: &ManifestObject,
        cluster: &'a Cluster<'_>,
    ) -> Result<Self, Note> {
        let secret = ExternalSecret::parse(document, object)?;
        let namespace = secret.namespace.as_deref();
        let reference = &secret.store;
        let location = "spec.secretStoreRef";
        let Some((store_index, store)) = cluster.store(reference, namespace) else {
            let problem = format!("{} {} is not in the files", reference.kind(), reference.name);
            return Err(Note::lost(location, problem, "add the file that contains it to the command line"));
        };
        let store = store.as_ref().map_err(|note| {
            let problem =
                format!("{} {}: {}: {}", reference.kind(), reference.name, note.location, note.problem);
            Note::lost(location, problem, &note.help)
        })?;
        let login = ClassLogin::of(store, namespace, cluster);
        let objects = secret.items.iter().flat_map(data::KeyItem::values).map(|value| &value.object);
        let others = objects.filter_map(|object| Some(cluster.store(object.store.as_ref()?, namespace)?.0));
        let stores = std::iter::once(store_index).chain(others).collect();
        Ok(Self {
            index,
            secret,
            store,
            stores,
            login,
            classes: Vec::new(),
            users: BTreeSet::new(),
            mounted: false,
            is_ambiguous: false,
        })
    }

    /// Refuses a Secret that an earlier `ExternalSecret` creates.
    fn reject_duplicate(self, before: &[Self]) -> Result<Self, Note> {
        match before.iter().find(|other| {
            other.secret.target_name == self.secret.target_name
                && other.secret.namespace == self.secret.namespace
        }) {
            None => Ok(self),
            Some(other) => {
                let problem = format!(
                    "ExternalSecret {} already creates Secret {}",
                    other.secret.name, self.secret.target_name
                );
                Err(Note::lost(
                    "spec.target.name",
                    problem,
                    "it is left unchanged; rename one of the two Secrets",
                ))
            }
        }
    }

    /// Whether an object means this Secret by `name`.
    pub(super) fn matches(&self, name: &str, object: &ManifestObject) -> bool {
        // Annotations of Ingresses write `namespace/name` for a Secret of another namespace.
        let (other, name) = match name.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (object.namespace.as_deref(), name),
        };
        let own = self.secret.namespace.as_deref();
        self.secret.target_name == name
            && if self.is_ambiguous { own == other } else { may_be_same_namespace(own, other) }
    }

    /// Whether `name` is ambiguous: this Secret, or one of the same name in another namespace.
    pub(super) fn may_match(&self, name: &str, object: &ManifestObject) -> bool {
        let without_namespace = object.namespace.is_none() || self.secret.namespace.is_none();
        self.is_ambiguous
            && self.secret.target_name == name
            && without_namespace
            && !self.matches(name, object)
    }

    /// The note on an object for which [`Self::may_match`] is true.
    pub(super) fn ambiguity_note(&self) -> Note {
        let problem = format!(
            "Secret {} exists in several namespaces, and an object that creates or uses it does not set its namespace",
            self.secret.target_name
        );
        Note::lost("metadata.namespace", problem, "set metadata.namespace everywhere, and convert again")
    }

    /// Whether a volume of the class can replace a volume of the Secret. This is not so if the driver separates
    /// a certificate and its key for the Secret.
    pub(super) fn replaces(&self, volume: &SecretVolume<'_>, workload: &Workload<'_>) -> bool {
        let items = &self.secret.items;
        let parts = items.iter().flat_map(data::KeyItem::values).any(|value| value.part.is_some());
        // A class without objects cannot be mounted.
        let needs = |item: &data::KeyItem| item.values().next().is_some();
        let shows = match &volume.view.items {
            None => items.iter().any(needs),
            Some(shown) => {
                shown.iter().filter_map(|shown| extract::find(items, &shown.key)).any(|item| needs(&item))
            }
        };
        !parts && shows && workload.is_inline_item(volume.node) && volume.entry.is_written_in(volume.node)
    }

    /// Finds the objects that use the Secret, and derives the classes from them.
    pub(super) fn find_users(&mut self, documents: &[InputDocument<'_>]) {
        let mut views: Vec<VolumeView> = Vec::new();
        let (mut users, mut syncs) = (BTreeSet::new(), false);
        for (index, document) in documents.iter().enumerate() {
            let Some(object) = &document.object else { continue };
            let Some(workload) = Workload::parse(object) else {
                if may_use_secrets(object)
                    && secret_names(&object.root).any(|name| self.matches(name, object))
                {
                    syncs = true;
                    users.insert(index);
                }
                continue;
            };
            for volume in workload.volumes.iter().filter(|volume| self.matches(volume.secret, object)) {
                users.insert(index);
                if !self.replaces(volume, &workload) {
                    syncs = true;
                } else if !views.contains(&volume.view) {
                    views.push(volume.view.clone());
                }
            }
            if workload.secret_uses.iter().any(|need| self.matches(need.secret, object)) {
                users.insert(index);
                syncs = true;
            }
        }
        syncs |= users.is_empty()
            || is_read_by_others(&self.secret.labels)
            || is_read_by_others(&self.secret.annotations);
        self.users = users;
        // Only a class of all keys has the files for the whole Secret.
        let whole = views.iter().position(|view| view.items.is_none());
        match whole {
            Some(whole) => views.swap(0, whole),
            None if syncs => views.insert(0, VolumeView::default()),
            None => {}
        }
        let class = |(index, view)| ConvertedClass { name: String::new(), view, syncs: syncs && index == 0 };
        self.classes = views.into_iter().enumerate().map(class).collect();
    }

    /// The reason why the driver cannot create the Secret, although it must.
    pub(super) fn unnamed_keys(&self) -> Option<Note> {
        let named = self.secret.items.iter().any(|item| item.converted_key().is_some());
        self.syncing().filter(|_| !named)?;
        let problem = "the driver must know the keys of the Secret, and only the vault knows them";
        let help = "it is left unchanged; add an element of spec.data with property for each key";
        Some(Note::lost("spec", problem, help))
    }

    /// The class for a view.
    pub(super) fn class(&self, view: &VolumeView) -> Option<&ConvertedClass> {
        self.classes.iter().find(|class| class.view == *view)
    }

    /// The class from which the driver creates the Secret, if there is one.
    pub(super) fn syncing(&self) -> Option<&ConvertedClass> {
        self.classes.first().filter(|class| class.syncs)
    }

    /// Replaces the `ExternalSecret` with the classes.
    pub(super) fn write(&self, cluster: &'a Cluster<'_>, output: &mut ConversionOutput<'_>) {
        let namespace = self.secret.namespace.as_deref();
        let other_store = |object: &data::VaultObject| match object
            .store
            .as_ref()
            .filter(|store| **store != self.store.reference)
        {
            None => Ok(None),
            Some(reference) => match cluster.store(reference, namespace) {
                Some((_, Ok(other)))
                    if (&other.identity, other.cloud) == (&self.store.identity, self.store.cloud) =>
                {
                    Ok(Some(other))
                }
                Some((_, Ok(other))) => {
                    Err(format!("{} has another identity, and a class has only one", other.label()))
                }
                Some((_, Err(note))) => {
                    Err(format!("{} {}: {}", reference.kind(), reference.name, note.problem))
                }
                None => Err(format!("{} {} is not in the files", reference.kind(), reference.name)),
            },
        };
        let sources = ClassSources {
            secret: &self.secret,
            store: self.store,
            login: &self.login,
            other_store: &other_store,
        };
        let mut head =
            vec![format!("Converted from ExternalSecret {} and {}.", self.secret.name, self.store.label())];
        head.extend(self.secret.comments.iter().cloned());
        if let Some(class) = self.syncing().filter(|_| !self.mounted) {
            let users = if self.users.is_empty() {
                "no object in the files uses it".to_owned()
            } else {
                "no pod in the files mounts the class".to_owned()
            };
            let problem = format!(
                "Secret {} exists only while a pod mounts class {}, and {users}",
                self.secret.target_name, class.name
            );
            let help = "add a volume of the class to a pod that runs as long as the Secret is needed";
            let note = Note::lost("secretObjects", problem, help);
            head.push(note.comment());
            output.note(self.index, note);
        }
        let mut trees = Vec::new();
        for class in &self.classes {
            let written = class.write(&sources);
            trees.push(written.tree);
            output.notes(self.index, written.notes);
        }
        output.replace(self.index, &head, &trees);
    }

    /// The indices of the documents of its stores.
    pub(super) fn stores(&self) -> &[usize] {
        &self.stores
    }
}

/// Whether an object may use a Secret that it names.
pub(super) fn may_use_secrets(object: &ManifestObject) -> bool {
    !object.api_version.contains(GROUP)
        && !object.api_version.starts_with("secrets-store.csi.x-k8s.io/")
        && (object.api_version.as_str(), object.kind.as_str()) != ("v1", "Secret")
}

/// The note on a kind or version of the operator that cannot be converted.
fn unsupported_object(object: &ManifestObject) -> Note {
    let known = ["ExternalSecret", "SecretStore", "ClusterSecretStore"].contains(&object.kind.as_str());
    match object.kind.as_str() {
        _ if known => {
            let problem = format!("version {} is not supported", object.api_version);
            Note::lost(
                "apiVersion",
                problem,
                "it is left unchanged; change the version to external-secrets.io/v1 and check the fields",
            )
        }
        "PushSecret" => Note::lost(
            "kind",
            "the provider cannot write to a vault",
            "it is left unchanged; keep the operator for it",
        ),
        "ClusterExternalSecret" => {
            let help = "it is left unchanged; write an ExternalSecret for each namespace, and convert those";
            Note::lost("kind", "a class belongs to one namespace", help)
        }
        _ => Note::lost(
            "kind",
            "it does not read from a vault",
            "it is left unchanged; keep the operator for it",
        ),
    }
}

/// Names every class after its `ExternalSecret`, with a number if there are several.
pub(super) fn name_classes(targets: &mut [TargetSecret<'_>], documents: &[InputDocument<'_>]) {
    let objects = documents.iter().filter_map(|document| document.object.as_ref());
    let classes = objects.filter(|object| object.kind == "SecretProviderClass");
    let mut taken = classes
        .map(|class| (class.namespace.clone(), class.name.clone().unwrap_or_default()))
        .collect::<BTreeSet<_>>();
    let own = targets.iter().map(|target| (target.secret.namespace.clone(), target.secret.name.clone()));
    let own = own.collect::<BTreeSet<_>>();
    for target in targets {
        let (name, namespace) = (target.secret.name.clone(), target.secret.namespace.clone());
        for (index, class) in target.classes.iter_mut().enumerate() {
            let numbered = (2_usize..).map(|number| format!("{name}-{number}"));
            let first = (index == 0).then(|| name.clone());
            let free = |candidate: &String| {
                let key = (namespace.clone(), candidate.clone());
                !taken.contains(&key) && (*candidate == name || !own.contains(&key))
            };
            class.name = first.into_iter().chain(numbered).find(free).unwrap_or_default();
            taken.insert((namespace.clone(), class.name.clone()));
        }
    }
}
