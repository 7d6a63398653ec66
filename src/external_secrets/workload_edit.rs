//! Edits workloads so that they mount classes instead of Secrets.

use std::collections::BTreeSet;

use super::converted_class::ConvertedClass;
use super::edit::{self, EditError, Editor};
use super::input::InputDocument;
use super::note::Note;
use super::other_workloads;
use super::output::ConversionOutput;
use super::target::{TargetSecret, may_use_secrets};
use super::workload::{SecretVolume, Workload};
use super::write::Tree;
use crate::manifest::{Document, ManifestObject};
use crate::plan::FileMode;
use crate::yaml::{Node, Position};

/// Edits all workloads that use a target.
pub(super) fn change(
    documents: &[InputDocument<'_>],
    targets: &mut [TargetSecret<'_>],
    output: &mut ConversionOutput<'_>,
) {
    for (index, document) in documents.iter().enumerate() {
        let Some(object) = &document.object else { continue };
        let Some(workload) = Workload::parse(object) else {
            if may_use_secrets(object) {
                other_workloads::report(index, object, targets, output);
            }
            continue;
        };
        let names = workload.volumes.iter().map(|volume| volume.secret);
        let names = names.chain(workload.secret_uses.iter().map(|need| need.secret)).collect::<BTreeSet<_>>();
        for target in targets.iter().filter(|target| names.iter().any(|name| target.may_match(name, object)))
        {
            output.annotate(index, target.ambiguity_note());
        }
        let used = |target: &TargetSecret<'_>| {
            workload.volumes.iter().any(|volume| target.matches(volume.secret, object))
                || workload.secret_uses.iter().any(|need| target.matches(need.secret, object))
        };
        if !targets.iter().any(used) {
            continue;
        }
        let mut change = WorkloadEdit::new(document, object, &workload);
        for target in targets.iter_mut().filter(|target| used(target)) {
            change.use_classes(target);
        }
        change.finish(index, output);
    }
}

struct WorkloadEdit<'a> {
    document: &'a InputDocument<'a>,
    object: &'a ManifestObject,
    workload: &'a Workload<'a>,
    editor: Editor<'a>,
    /// The names of the pod's volumes, including new ones.
    names: BTreeSet<String>,
    account: Option<String>,
    /// The account to set, and the note on it.
    sets_account: Option<(String, Note)>,
    new_volumes: Vec<Tree>,
    new_mounts: Vec<(&'a Node, Vec<Tree>)>,
    /// Notes, and their positions in the document.
    notes: Vec<(Position, Note)>,
}

impl<'a> WorkloadEdit<'a> {
    fn new(document: &'a InputDocument<'a>, object: &'a ManifestObject, workload: &'a Workload<'a>) -> Self {
        let volumes = workload.spec.at(&["volumes"]).map(Node::items).unwrap_or_default();
        let names = volumes.iter().filter_map(|volume| volume.at(&["name"]).and_then(Node::text));
        Self {
            document,
            object,
            workload,
            editor: document.editor(),
            names: names.map(str::to_owned).collect(),
            account: workload.account().map(str::to_owned),
            sets_account: None,
            new_volumes: Vec::new(),
            new_mounts: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn use_classes(&mut self, target: &mut TargetSecret<'_>) {
        let (object, workload) = (self.object, self.workload);
        let (mut mounts, mut syncs) = (false, false);
        let mut classes = BTreeSet::new();
        for volume in workload.volumes.iter().filter(|volume| target.matches(volume.secret, object)) {
            let class = target.class(&volume.view).filter(|_| target.replaces(volume, workload));
            if let Some(class) = class {
                mounts = true;
                syncs |= class.syncs;
                self.replace(volume, class, target);
                if !classes.insert(class.name.clone()) {
                    let problem = format!(
                        "the pod has two volumes of class {}, and the driver refreshes only one of them",
                        class.name
                    );
                    self.note(
                        volume.node.position,
                        Note::lost("volumes", problem, "mount one volume in both places"),
                    );
                }
            }
        }
        let mut needs = workload.secret_uses.iter().filter(|need| target.matches(need.secret, object));
        let volumes = workload.volumes.iter().filter(|volume| target.matches(volume.secret, object));
        let kept = volumes.filter(|volume| !target.replaces(volume, workload)).count() > 0;
        let container = needs.clone().find_map(|need| need.container);
        if (kept || needs.next().is_some()) && !syncs && self.mount(container, target) {
            (mounts, syncs) = (true, true);
        }
        target.mounted |= syncs;
        if mounts {
            self.run_as(target);
        }
    }

    fn replace(&mut self, volume: &SecretVolume<'_>, class: &ConvertedClass, target: &TargetSecret<'_>) {
        let at = volume.node.position;
        let location = "volumes";
        if volume.optional {
            let problem =
                format!("the pod could start without Secret {}, and now waits for the vault", volume.secret);
            self.note(
                at,
                Note::lost(location, problem, "set optional: true on the objects that the pod does not need"),
            );
        }
        if volume.sub_path {
            let problem = "a file that is mounted with subPath is never refreshed";
            self.note(
                at,
                Note::remark(
                    location,
                    problem,
                    "mount the whole directory if the application rereads the file",
                ),
            );
        }
        let closed = |mode: Option<FileMode>| mode.is_some_and(|mode| mode.bits() & 0o004 == 0);
        let items = volume.view.items.iter().flatten();
        let closed = items.map(|shown| shown.mode).chain([volume.view.mode]).any(closed);
        if closed && self.workload.has_group() {
            let problem =
                "fsGroup does not apply to files of this volume, and their mode lets only root read them";
            self.note(
                at,
                Note::lost(
                    "securityContext.fsGroup",
                    problem,
                    "set the objects' filePermission to a mode that lets others read, such as 0444",
                ),
            );
        }
        let source = csi(class, target);
        if let Err(reason) = self.editor.replace(volume.node, volume.entry, "csi", source) {
            self.note(at, edit_error_note(reason));
        }
    }

    /// Adds a volume of the class that syncs to the pod; returns whether this was possible.
    fn mount(&mut self, container: Option<&'a Node>, target: &TargetSecret<'_>) -> bool {
        let Some(class) = target.syncing() else { return false };
        let container = container.or_else(|| self.workload.spec.at(&["containers"])?.items().first());
        let Some(container) = container.filter(|container| self.workload.is_inline_item(container)) else {
            self.note(self.workload.spec.position, edit_error_note(EditError::Aliased));
            return false;
        };
        let name = self.free_name(&class.name);
        let source = Tree::Map(csi(class, target));
        self.new_volumes.push(Tree::map([("name", Tree::text(&name)), ("csi", source)]));
        let mount = Tree::map([
            ("name", Tree::text(&name)),
            ("mountPath", Tree::text(format!("/mnt/secrets-store/{}", class.name))),
            ("readOnly", Tree::True),
        ]);
        match self.new_mounts.iter_mut().find(|(known, _)| std::ptr::eq(*known, container)) {
            Some((_, mounts)) => mounts.push(mount),
            None => self.new_mounts.push((container, vec![mount])),
        }
        true
    }

    /// A name for a volume: a DNS label that no other volume of the pod has.
    fn free_name(&mut self, class: &str) -> String {
        let label = class.replace('.', "-").chars().take(58).collect::<String>();
        let label = label.trim_end_matches('-').to_owned();
        let numbered = (2_usize..).map(|number| format!("{label}-{number}"));
        let name = std::iter::once(label.clone()).chain(numbered).find(|name| !self.names.contains(name));
        let name = name.unwrap_or(label);
        self.names.insert(name.clone());
        name
    }

    /// Makes the pods run as the account whose identity reads the vault.
    fn run_as(&mut self, target: &mut TargetSecret<'_>) {
        let Some(required) = target.login.account.clone() else { return };
        match self.account.clone().filter(|account| account != "default") {
            Some(account) if account == required => {}
            Some(account) => {
                let login = &mut target.login;
                login.parameters.append(&mut login.account_parameters);
                let problem = format!(
                    "the pods run as {account}, but the identity of class {} belongs to {required}",
                    target.secret.name
                );
                let given = target.login.parameters.iter().any(|(key, _)| *key == "clientID");
                let also = if given { "" } else { ", and set clientID in the class" };
                let help = format!(
                    "add a federated credential with the subject system:serviceaccount:{}:{account} to the identity{also}, or run the pods as {required}",
                    target.secret.namespace.as_deref().unwrap_or("<namespace>")
                );
                let entry = self.workload.spec.entry("serviceAccountName");
                let at = entry.map_or(self.workload.spec.position, |entry| entry.position);
                self.note(at, Note::lost("serviceAccountName", problem, help));
            }
            None => {
                let problem = format!("the pods now run as {required}, whose identity reads the vault");
                let help = "check that the account's other permissions suit these pods";
                self.account = Some(required.clone());
                self.sets_account = Some((required, Note::remark("serviceAccountName", problem, help)));
            }
        }
    }

    fn note(&mut self, at: Position, note: Note) {
        self.notes.push((at, note));
    }

    fn finish(mut self, index: usize, output: &mut ConversionOutput<'_>) {
        let flow = self.editor.is_flow(&self.object.root) != Ok(false);
        if let Err(reason) = self.add(index, output, flow) {
            self.note(self.workload.spec.position, edit_error_note(reason));
            // Discard the partial edit.
            self.editor = self.document.editor();
        }
        for (at, note) in &self.notes {
            if flow {
                output.comment(index, note.comment());
            } else {
                self.editor.comment(*at, &[note.comment()]);
            }
            output.note(index, note.clone());
        }
        let Some(text) = self.editor.finish() else { return };
        let InputDocument { file, first_line, .. } = *self.document;
        let reads = Document { file, first_line, text: &text }.objects();
        let same =
            |object: &ManifestObject| (&object.kind, &object.name) == (&self.object.kind, &self.object.name);
        if reads.is_ok_and(|objects| objects.len() == 1 && objects.iter().all(same)) {
            output.edit(index, text);
        } else {
            let has_aliases = edit::has_aliases(&self.object.root);
            let note = edit_error_note(if has_aliases { EditError::Aliased } else { EditError::Style });
            output.comment(index, note.comment());
            output.note(index, note);
        }
    }

    fn add(&mut self, index: usize, output: &mut ConversionOutput<'_>, flow: bool) -> Result<(), EditError> {
        for (container, mounts) in std::mem::take(&mut self.new_mounts) {
            self.editor.append(container, "volumeMounts", mounts)?;
        }
        if !self.new_volumes.is_empty() {
            let volumes = std::mem::take(&mut self.new_volumes);
            self.editor.append(self.workload.spec, "volumes", volumes)?;
        }
        if let Some((account, note)) = self.sets_account.take() {
            let account = Tree::text(account).commented(vec![note.comment()]);
            self.editor.set(self.workload.spec, "serviceAccountName", account)?;
            if flow {
                output.comment(index, note.comment());
            }
            output.note(index, note);
        }
        Ok(())
    }
}

/// The volume source of a class.
fn csi(class: &ConvertedClass, target: &TargetSecret<'_>) -> Vec<(String, Tree)> {
    let attributes = Tree::map([("secretProviderClass", Tree::text(&class.name))]);
    let mut source = vec![
        ("driver".to_owned(), Tree::text("secrets-store.csi.k8s.io")),
        ("readOnly".to_owned(), Tree::True),
        ("volumeAttributes".to_owned(), attributes),
    ];
    if let Some(secret) = &target.login.secret {
        source.push(("nodePublishSecretRef".to_owned(), Tree::map([("name", Tree::text(secret))])));
    }
    source
}

fn edit_error_note(reason: EditError) -> Note {
    let (problem, help) = match reason {
        EditError::Aliased => (
            "the part to change uses a YAML anchor or alias",
            "write it without anchors and convert again, or add the class's volume by hand",
        ),
        EditError::Style => (
            "the part to change has a YAML style that convert does not edit",
            "write it in block style and convert again, or add the class's volume by hand",
        ),
    };
    Note::lost("spec", problem, help)
}
