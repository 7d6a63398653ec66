//! The documents that come out.

use std::collections::BTreeSet;

use super::cluster::{Cluster, GROUP};
use super::note::Note;
use super::pieces::Piece;
use super::target::Target;
use super::write::{Tree, comment_lines};
use crate::yaml::Node;

/// What becomes of each document.
#[derive(Debug)]
pub(super) struct Output<'a> {
    pieces: &'a [Piece<'a>],
    fates: Vec<Fate>,
    notes: Vec<(usize, Note)>,
}

#[derive(Debug, Default)]
struct Fate {
    /// What stands above it.
    comments: Vec<String>,
    becomes: Becomes,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Becomes {
    #[default]
    Itself,
    Text(String),
    /// Documents in its place.
    Others(Vec<String>),
    Nothing,
}

impl<'a> Output<'a> {
    pub(super) fn new(pieces: &'a [Piece<'a>]) -> Self {
        Self { pieces, fates: pieces.iter().map(|_| Fate::default()).collect(), notes: Vec::new() }
    }

    /// A note about a document's object.
    pub(super) fn note(&mut self, index: usize, note: Note) {
        let note = self.pieces.get(index).map_or(note.clone(), |piece| piece.note(note));
        if !self.notes.iter().any(|(_, known)| *known == note) {
            self.notes.push((index, note));
        }
    }

    pub(super) fn notes(&mut self, index: usize, notes: Vec<Note>) {
        for note in notes {
            self.note(index, note);
        }
    }

    pub(super) fn comment(&mut self, index: usize, comment: String) {
        if let Some(fate) = self.fates.get_mut(index) {
            fate.comments.push(comment);
        }
    }

    /// A document stays, with the reason above it.
    pub(super) fn keep(&mut self, index: usize, note: Note) {
        self.comment(index, note.comment());
        self.note(index, note);
    }

    pub(super) fn edit(&mut self, index: usize, text: String) {
        self.become_of(index, Becomes::Text(text));
    }

    /// Other documents take the place of one, below comments.
    pub(super) fn replace(&mut self, index: usize, head: &[String], trees: &[Tree]) {
        for comment in head {
            self.comment(index, comment.clone());
        }
        self.become_of(index, Becomes::Others(trees.iter().map(|tree| tree.lines(0)).collect()));
    }

    fn become_of(&mut self, index: usize, becomes: Becomes) {
        if let Some(fate) = self.fates.get_mut(index) {
            fate.becomes = becomes;
        }
    }

    /// Leaves out the stores that only converted `ExternalSecret`s used.
    pub(super) fn leave_out_stores(&mut self, cluster: &Cluster<'_>, targets: &[Target<'_>]) {
        let used = targets.iter().flat_map(Target::stores).copied().collect::<BTreeSet<_>>();
        for (index, object) in cluster.stores().filter(|(index, _)| used.contains(index)) {
            let name = object.name.as_deref().unwrap_or_default();
            let others =
                self.pieces.iter().zip(&self.fates).filter(|(_, fate)| fate.becomes == Becomes::Itself);
            let objects = others.filter_map(|(piece, _)| piece.object.as_ref());
            let mut kept = objects
                .filter(|other| other.api_version.contains(GROUP) && !other.kind.ends_with("SecretStore"));
            if kept.any(|other| mentions(&other.root, name)) {
                continue;
            }
            let problem = format!("{} {name} is left out, since nothing here needs it any more", object.kind);
            let help = "delete it from the cluster once nothing else does";
            let note = Note::remark("spec", problem, help);
            self.comment(index, note.comment());
            self.note(index, note);
            self.become_of(index, Becomes::Nothing);
        }
    }

    /// All documents, and all notes in the order of what they are about.
    pub(super) fn finish(mut self) -> (String, Vec<Note>) {
        let mut out = Stream::default();
        let mut list = None;
        for (piece, fate) in self.pieces.iter().zip(&self.fates) {
            let Some(text) = piece.list else {
                out.add(&fate.text(piece), fate.becomes != Becomes::Nothing && piece.object.is_some());
                continue;
            };
            // A list nothing of which changes stays one.
            let of_list = |other: &Piece<'_>| other.list.is_some_and(|other| std::ptr::eq(other, text));
            let mut fates = self.pieces.iter().zip(&self.fates).filter(|(other, _)| of_list(other));
            if fates.all(|(_, fate)| fate.becomes == Becomes::Itself && fate.comments.is_empty()) {
                if list != Some(text.as_ptr()) {
                    out.add(text, true);
                }
                list = Some(text.as_ptr());
                continue;
            }
            out.add(&fate.text(piece), fate.becomes != Becomes::Nothing);
        }
        self.notes.sort_by_key(|(index, _)| *index);
        (out.text, self.notes.into_iter().map(|(_, note)| note).collect())
    }
}

impl Fate {
    fn text(&self, piece: &Piece<'_>) -> String {
        let comments = comment_lines(&self.comments, 0);
        let text = match &self.becomes {
            Becomes::Text(text) => text.as_str(),
            _ => &piece.text,
        };
        let editor = super::edit::Editor::new(text, piece.first_line);
        let (start, end) = match &piece.object {
            // The first line of an object may be that of its marker.
            Some(object) => (editor.offset(object.root.position), editor.line_end(object.root.end)),
            None => (0, text.len()),
        };
        let line = text.get(..start).and_then(|text| text.rfind('\n')).map_or(0, |index| index + 1);
        let start =
            if text.get(line..start).is_some_and(|indent| indent.trim().is_empty()) { line } else { start };
        let mut head = text.get(..start).unwrap_or_default().to_owned();
        if !head.is_empty() && !head.ends_with('\n') && !comments.is_empty() {
            head = format!("{}\n", head.trim_end());
        }
        // The position of an empty last item is that of its key, so that the item itself is behind the end.
        let is_outside =
            |line: &&str| matches!(line.trim(), "" | "...") || line.trim_start().starts_with('#');
        let tail =
            text.get(end..).unwrap_or_default().split_inclusive('\n').filter(is_outside).collect::<String>();
        match &self.becomes {
            Becomes::Itself | Becomes::Text(_) => {
                format!("{head}{comments}{}", text.get(start..).unwrap_or_default())
            }
            Becomes::Others(documents) => format!("{head}{comments}{}{tail}", documents.join("---\n")),
            Becomes::Nothing => {
                let kept = |text: &str| {
                    let comments =
                        text.split_inclusive('\n').filter(|line| line.trim_start().starts_with('#'));
                    comments.collect::<String>()
                };
                format!("{}{comments}{}", kept(&head), kept(&tail))
            }
        }
    }
}

fn mentions(node: &Node, name: &str) -> bool {
    node.text() == Some(name)
        || node.items().iter().any(|item| mentions(item, name))
        || node.entries().iter().any(|entry| mentions(&entry.value, name))
}

/// Documents, end to end.
#[derive(Debug, Default)]
struct Stream {
    text: String,
    /// Whether a document is there that another must be kept apart from.
    open: bool,
}

impl Stream {
    fn add(&mut self, text: &str, document: bool) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        if self.open && document && !starts_with_marker(text) {
            self.text.push_str("---\n");
        }
        self.open |= document;
        self.text.push_str(text);
    }
}

/// Whether a document begins with `---`, perhaps below comments.
fn starts_with_marker(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}');
    let head = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with(['#', '%']));
    head.is_some_and(|line| line.starts_with("---"))
}
