//! A Secret that an `ExternalSecret` made, and who uses it.

use std::collections::BTreeSet;

use super::annotations::is_found_by_others;
use super::class::{Class, Sources};
use super::cluster::{Cluster, GROUP, is_external, is_store, may_be_same};
use super::data;
use super::login::Login;
use super::note::Note;
use super::other_operators;
use super::output::Output;
use super::pieces::Piece;
use super::secret::ExternalSecret;
use super::store::Store;
use super::workload::{View, Volume, Workload, secret_names};
use crate::manifest::Object;

/// A Secret, and the classes that take its place.
#[derive(Debug)]
pub(super) struct Target<'a> {
    /// The document of the `ExternalSecret`.
    pub index: usize,
    pub secret: ExternalSecret,
    pub store: &'a Store,
    /// The documents of its stores.
    stores: Vec<usize>,
    pub login: Login,
    /// The first is the one that syncs, if one does.
    pub classes: Vec<Class>,
    /// The documents that use it.
    users: BTreeSet<usize>,
    /// Whether a workload here mounts the class that syncs.
    pub mounted: bool,
    /// Whether another namespace has a Secret of that name.
    namesake: bool,
}

impl<'a> Target<'a> {
    /// Of all `ExternalSecret`s that can be converted; the notes of the others go to `output`.
    pub(super) fn all(pieces: &[Piece<'_>], cluster: &'a Cluster<'_>, output: &mut Output<'_>) -> Vec<Self> {
        let mut targets: Vec<Self> = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            let Some(object) = &piece.object else { continue };
            if !object.api_version.contains(GROUP) {
                if let Some(note) = other_operators::note(object) {
                    output.keep(index, note);
                }
                continue;
            }
            let target = match object.kind.as_str() {
                _ if is_store(object) => continue,
                "ExternalSecret" if is_external(object, &object.kind) => {
                    Self::of(index, piece, object, cluster).and_then(|target| target.alone(&targets))
                }
                _ => Err(foreign(object)),
            };
            match target {
                Ok(target) => targets.push(target),
                Err(note) => output.keep(index, note),
            }
        }
        let names = targets.iter().map(|target| target.secret.target.clone()).collect::<Vec<_>>();
        for target in &mut targets {
            target.namesake = names.iter().filter(|name| **name == target.secret.target).count() > 1;
        }
        targets
    }

    fn of(index: usize, piece: &Piece<'_>, object: &Object, cluster: &'a Cluster<'_>) -> Result<Self, Note> {
        let secret = ExternalSecret::parse(piece, object)?;
        let namespace = secret.namespace.as_deref();
        let reference = &secret.store;
        let location = "spec.secretStoreRef";
        let Some((store_index, store)) = cluster.store(reference, namespace) else {
            let problem = format!("{} {} is in none of the files", reference.kind(), reference.name);
            return Err(Note::lost(location, problem, "name the file that has it, too"));
        };
        let store = store.as_ref().map_err(|note| {
            let problem =
                format!("{} {}: {}: {}", reference.kind(), reference.name, note.location, note.problem);
            Note::lost(location, problem, &note.help)
        })?;
        let login = Login::of(store, namespace, cluster);
        let objects = secret.items.iter().filter_map(|item| item.value.as_ref()).map(|value| &value.object);
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
            namesake: false,
        })
    }

    /// Two cannot make one Secret.
    fn alone(self, before: &[Self]) -> Result<Self, Note> {
        match before.iter().find(|other| {
            other.secret.target == self.secret.target && other.secret.namespace == self.secret.namespace
        }) {
            None => Ok(self),
            Some(other) => {
                let problem = format!(
                    "ExternalSecret {} makes Secret {} already",
                    other.secret.name, self.secret.target
                );
                Err(Note::lost(
                    "spec.target.name",
                    problem,
                    "it stays as it is; let one of them have another name",
                ))
            }
        }
    }

    /// Whether `name`, named in a document of `namespace`, is this Secret.
    pub(super) fn is(&self, name: &str, object: &Object) -> bool {
        // Annotations of Ingresses name a Secret of another namespace so.
        let (other, name) = match name.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (object.namespace.as_deref(), name),
        };
        let own = self.secret.namespace.as_deref();
        self.secret.target == name && if self.namesake { own == other } else { may_be_same(own, other) }
    }

    /// Whether it may be this Secret, or one of the same name in another namespace.
    pub(super) fn may_be(&self, name: &str, object: &Object) -> bool {
        let unsaid = object.namespace.is_none() || self.secret.namespace.is_none();
        self.namesake && self.secret.target == name && unsaid && !self.is(name, object)
    }

    pub(super) fn ambiguous(&self) -> Note {
        let problem = format!(
            "Secret {} is there in several namespaces, and one of its users or makers names none",
            self.secret.target
        );
        Note::lost("metadata.namespace", problem, "name the namespace everywhere, and convert again")
    }

    /// Whether a volume of it can be one of a class: not if the driver has to take it apart for the
    /// Secret.
    pub(super) fn replaces(&self, volume: &Volume<'_>, workload: &Workload<'_>) -> bool {
        let values = || self.secret.items.iter().filter_map(|item| item.value.as_ref());
        let parts = values().any(|value| value.part.is_some());
        // A class without objects cannot be mounted.
        let shows = |value: &data::Value| match &volume.view.items {
            None => true,
            Some(items) => items.iter().any(|shown| shown.key == value.key),
        };
        !parts && values().any(shows) && workload.holds(volume.node) && volume.entry.stands_in(volume.node)
    }

    /// Finds out which classes there must be.
    pub(super) fn look_for_users(&mut self, pieces: &[Piece<'_>]) {
        let mut views: Vec<View> = Vec::new();
        let (mut users, mut syncs) = (BTreeSet::new(), false);
        for (index, piece) in pieces.iter().enumerate() {
            let Some(object) = &piece.object else { continue };
            let Some(workload) = Workload::parse(object) else {
                if names_secrets(object) && secret_names(&object.root).any(|name| self.is(name, object)) {
                    syncs = true;
                    users.insert(index);
                }
                continue;
            };
            for volume in workload.volumes.iter().filter(|volume| self.is(volume.secret, object)) {
                users.insert(index);
                if !self.replaces(volume, &workload) {
                    syncs = true;
                } else if !views.contains(&volume.view) {
                    views.push(volume.view.clone());
                }
            }
            if workload.needs.iter().any(|need| self.is(need.secret, object)) {
                users.insert(index);
                syncs = true;
            }
        }
        syncs |= users.is_empty()
            || is_found_by_others(&self.secret.labels)
            || is_found_by_others(&self.secret.annotations);
        self.users = users;
        // Only a view of all keys has the files of the whole Secret.
        let whole = views.iter().position(|view| view.items.is_none());
        match whole {
            Some(whole) => views.swap(0, whole),
            None if syncs => views.insert(0, View::default()),
            None => {}
        }
        let class = |(index, view)| Class { name: String::new(), view, syncs: syncs && index == 0 };
        self.classes = views.into_iter().enumerate().map(class).collect();
    }

    /// The class of a view.
    pub(super) fn class(&self, view: &View) -> Option<&Class> {
        self.classes.iter().find(|class| class.view == *view)
    }

    /// The class by which the Secret comes to be.
    pub(super) fn syncing(&self) -> Option<&Class> {
        self.classes.first().filter(|class| class.syncs)
    }

    /// Writes the classes in the place of the `ExternalSecret`.
    pub(super) fn write(&self, cluster: &'a Cluster<'_>, output: &mut Output<'_>) {
        let namespace = self.secret.namespace.as_deref();
        let others = |object: &data::Object| match object
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
                    Err(format!("{} has another identity, and a class has one", other.label()))
                }
                Some((_, Err(note))) => {
                    Err(format!("{} {}: {}", reference.kind(), reference.name, note.problem))
                }
                None => Err(format!("{} {} is in none of the files", reference.kind(), reference.name)),
            },
        };
        let sources =
            Sources { secret: &self.secret, store: self.store, login: &self.login, others: &others };
        let mut head =
            vec![format!("Converted from ExternalSecret {} and {}.", self.secret.name, self.store.label())];
        head.extend(self.secret.comments.iter().cloned());
        if let Some(class) = self.syncing().filter(|_| !self.mounted) {
            let users = if self.users.is_empty() {
                "nothing here uses it".to_owned()
            } else {
                "no pod here mounts it".to_owned()
            };
            let problem = format!(
                "Secret {} is there only while a pod mounts class {}, and {users}",
                self.secret.target, class.name
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

    /// The documents of the stores that it reads.
    pub(super) fn stores(&self) -> &[usize] {
        &self.stores
    }
}

/// Whether names of Secrets in an object are such that they must be there.
pub(super) fn names_secrets(object: &Object) -> bool {
    !object.api_version.contains(GROUP)
        && !object.api_version.starts_with("secrets-store.csi.x-k8s.io/")
        && (object.api_version.as_str(), object.kind.as_str()) != ("v1", "Secret")
}

/// Something of the operator's that no class can be.
fn foreign(object: &Object) -> Note {
    let known = ["ExternalSecret", "SecretStore", "ClusterSecretStore"].contains(&object.kind.as_str());
    match object.kind.as_str() {
        _ if known => {
            let problem = format!("version {} is not understood", object.api_version);
            Note::lost(
                "apiVersion",
                problem,
                "it stays as it is; write it as external-secrets.io/v1 and see what that changes",
            )
        }
        "PushSecret" => {
            Note::lost("kind", "the provider only reads", "it stays as it is, and so does the operator")
        }
        "ClusterExternalSecret" => {
            let help = "it stays as it is; write an ExternalSecret for each namespace, and convert those";
            Note::lost("kind", "a class belongs to one namespace", help)
        }
        _ => Note::lost("kind", "no vault is behind it", "it stays as it is, and so does the operator"),
    }
}

/// Gives every class its name: the `ExternalSecret`'s, and a number where there are several.
pub(super) fn name_classes(targets: &mut [Target<'_>], pieces: &[Piece<'_>]) {
    let objects = pieces.iter().filter_map(|piece| piece.object.as_ref());
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
