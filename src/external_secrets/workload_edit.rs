//! A workload whose Secrets come from classes now.

use std::collections::BTreeSet;

use super::class::Class;
use super::edit::{self, Editor, Fixed};
use super::note::Note;
use super::output::Output;
use super::pieces::Piece;
use super::pod_specs;
use super::target::{Target, names_secrets};
use super::workload::{Volume, Workload};
use super::write::Tree;
use crate::manifest::{Document, Object};
use crate::plan::FileMode;
use crate::yaml::{Node, Position};

/// Changes all workloads that use a target.
pub(super) fn change(pieces: &[Piece<'_>], targets: &mut [Target<'_>], output: &mut Output<'_>) {
    for (index, piece) in pieces.iter().enumerate() {
        let Some(object) = &piece.object else { continue };
        let Some(workload) = Workload::parse(object) else {
            if names_secrets(object) {
                pod_specs::report(index, object, targets, output);
            }
            continue;
        };
        let names = workload.volumes.iter().map(|volume| volume.secret);
        let names = names.chain(workload.needs.iter().map(|need| need.secret)).collect::<BTreeSet<_>>();
        for target in targets.iter().filter(|target| names.iter().any(|name| target.may_be(name, object))) {
            output.keep(index, target.ambiguous());
        }
        let used = |target: &Target<'_>| {
            workload.volumes.iter().any(|volume| target.is(volume.secret, object))
                || workload.needs.iter().any(|need| target.is(need.secret, object))
        };
        if !targets.iter().any(used) {
            continue;
        }
        let mut change = Change::new(piece, object, &workload);
        for target in targets.iter_mut().filter(|target| used(target)) {
            change.use_classes(target);
        }
        change.finish(index, output);
    }
}

struct Change<'a> {
    piece: &'a Piece<'a>,
    object: &'a Object,
    workload: &'a Workload<'a>,
    editor: Editor<'a>,
    /// The names of the pod's volumes.
    names: BTreeSet<String>,
    account: Option<String>,
    /// The account that is set, and what must be known of that.
    sets_account: Option<(String, Note)>,
    new_volumes: Vec<Tree>,
    new_mounts: Vec<(&'a Node, Vec<Tree>)>,
    /// Notes, and where they belong.
    notes: Vec<(Position, Note)>,
}

impl<'a> Change<'a> {
    fn new(piece: &'a Piece<'a>, object: &'a Object, workload: &'a Workload<'a>) -> Self {
        let volumes = workload.spec.at(&["volumes"]).map(Node::items).unwrap_or_default();
        let names = volumes.iter().filter_map(|volume| volume.at(&["name"]).and_then(Node::text));
        Self {
            piece,
            object,
            workload,
            editor: piece.editor(),
            names: names.map(str::to_owned).collect(),
            account: workload.account().map(str::to_owned),
            sets_account: None,
            new_volumes: Vec::new(),
            new_mounts: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn use_classes(&mut self, target: &mut Target<'_>) {
        let (object, workload) = (self.object, self.workload);
        let (mut mounts, mut syncs) = (false, false);
        let mut classes = BTreeSet::new();
        for volume in workload.volumes.iter().filter(|volume| target.is(volume.secret, object)) {
            let class = target.class(&volume.view).filter(|_| target.replaces(volume, workload));
            if let Some(class) = class {
                mounts = true;
                syncs |= class.syncs;
                self.replace(volume, class, target);
                if !classes.insert(class.name.clone()) {
                    let problem = format!(
                        "two volumes of class {} are in one pod, of which the driver refreshes one",
                        class.name
                    );
                    self.note(
                        volume.node.position,
                        Note::lost("volumes", problem, "mount one volume in both places"),
                    );
                }
            }
        }
        let mut needs = workload.needs.iter().filter(|need| target.is(need.secret, object));
        let volumes = workload.volumes.iter().filter(|volume| target.is(volume.secret, object));
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

    fn replace(&mut self, volume: &Volume<'_>, class: &Class, target: &Target<'_>) {
        let at = volume.node.position;
        let location = "volumes";
        if volume.optional {
            let problem =
                format!("the pod started without Secret {}, and waits for the vault now", volume.secret);
            self.note(
                at,
                Note::lost(
                    location,
                    problem,
                    "set optional: \"true\" for the objects that it can do without",
                ),
            );
        }
        if volume.sub_path {
            let problem = "a file that is mounted by subPath is never refreshed";
            self.note(
                at,
                Note::remark(location, problem, "mount the folder, if the application reads the file anew"),
            );
        }
        let closed = |mode: Option<FileMode>| mode.is_some_and(|mode| mode.bits() & 0o004 == 0);
        let items = volume.view.items.iter().flatten();
        let closed = items.map(|shown| shown.mode).chain([volume.view.mode]).any(closed);
        if closed && self.workload.has_group() {
            let problem =
                "fsGroup does not reach files of this volume, and their mode keeps all but root out";
            self.note(
                at,
                Note::lost(
                    "securityContext.fsGroup",
                    problem,
                    "give the objects a filePermission with which others may read, 0444",
                ),
            );
        }
        let source = csi(class, target);
        if let Err(reason) = self.editor.replace(volume.node, volume.entry, "csi", source) {
            self.note(at, fixed(reason));
        }
    }

    /// Adds the class that syncs to the pod, and says whether it could.
    fn mount(&mut self, container: Option<&'a Node>, target: &Target<'_>) -> bool {
        let Some(class) = target.syncing() else { return false };
        let container = container.or_else(|| self.workload.spec.at(&["containers"])?.items().first());
        let Some(container) = container.filter(|container| self.workload.holds(container)) else {
            self.note(self.workload.spec.position, fixed(Fixed::Shared));
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

    /// A name for a volume: a DNS label that no other volume has.
    fn free_name(&mut self, class: &str) -> String {
        let label = class.replace('.', "-").chars().take(58).collect::<String>();
        let label = label.trim_end_matches('-').to_owned();
        let numbered = (2_usize..).map(|number| format!("{label}-{number}"));
        let name = std::iter::once(label.clone()).chain(numbered).find(|name| !self.names.contains(name));
        let name = name.unwrap_or(label);
        self.names.insert(name.clone());
        name
    }

    /// Has the pods run as the account whose identity asks.
    fn run_as(&mut self, target: &mut Target<'_>) {
        let Some(wanted) = target.login.account.clone() else { return };
        match self.account.clone().filter(|account| account != "default") {
            Some(account) if account == wanted => {}
            Some(account) => {
                let login = &mut target.login;
                login.parameters.append(&mut login.annotated);
                let problem = format!(
                    "its pods run as {account}, and the identity of class {} belongs to {wanted}",
                    target.secret.name
                );
                let given = target.login.parameters.iter().any(|(key, _)| *key == "clientID");
                let also = if given { "" } else { ", and set clientID in the class" };
                let help = format!(
                    "give the identity a federated credential of subject system:serviceaccount:{}:{account}{also}, or let the pods run as {wanted}",
                    target.secret.namespace.as_deref().unwrap_or("<namespace>")
                );
                let entry = self.workload.spec.entry("serviceAccountName");
                let at = entry.map_or(self.workload.spec.position, |entry| entry.position);
                self.note(at, Note::lost("serviceAccountName", problem, help));
            }
            None => {
                let problem = format!("its pods run as {wanted} now, whose identity asks the vault");
                let help = "see that what else the account may do is right for them";
                self.account = Some(wanted.clone());
                self.sets_account = Some((wanted, Note::remark("serviceAccountName", problem, help)));
            }
        }
    }

    fn note(&mut self, at: Position, note: Note) {
        self.notes.push((at, note));
    }

    fn finish(mut self, index: usize, output: &mut Output<'_>) {
        let flow = self.editor.is_flow(&self.object.root) != Ok(false);
        if let Err(reason) = self.add(index, output, flow) {
            self.note(self.workload.spec.position, fixed(reason));
            // Half a change is none.
            self.editor = self.piece.editor();
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
        let Piece { file, first_line, .. } = *self.piece;
        let reads = Document { file, first_line, text: &text }.objects();
        let same = |object: &Object| (&object.kind, &object.name) == (&self.object.kind, &self.object.name);
        if reads.is_ok_and(|objects| objects.len() == 1 && objects.iter().all(same)) {
            output.edit(index, text);
        } else {
            let shared = edit::shares(&self.object.root);
            let note = fixed(if shared { Fixed::Shared } else { Fixed::Style });
            output.comment(index, note.comment());
            output.note(index, note);
        }
    }

    fn add(&mut self, index: usize, output: &mut Output<'_>, flow: bool) -> Result<(), Fixed> {
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
fn csi(class: &Class, target: &Target<'_>) -> Vec<(String, Tree)> {
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

fn fixed(reason: Fixed) -> Note {
    let (problem, help) = match reason {
        Fixed::Shared => (
            "what must change stands behind an anchor or alias",
            "write it out and convert again, or put the class's volume there by hand",
        ),
        Fixed::Style => (
            "what must change is written in a style of YAML that is not changed here",
            "write it in block style and convert again, or put the class's volume there by hand",
        ),
    };
    Note::lost("spec", problem, help)
}
