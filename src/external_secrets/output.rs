//! The output: the documents, and the notes on them.

use super::input::InputDocument;
use super::note::Note;
use super::write::{Tree, comment_lines};
use crate::manifest::ManifestObject;

/// The output for each document of the input.
#[derive(Debug)]
pub(super) struct ConversionOutput<'a> {
    documents: &'a [InputDocument<'a>],
    outputs: Vec<OutputDocument>,
    notes: Vec<(usize, Note)>,
}

#[derive(Debug, Default)]
struct OutputDocument {
    /// Comments above it.
    comments: Vec<String>,
    content: OutputContent,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum OutputContent {
    #[default]
    Unchanged,
    Edited(String),
    Replaced(Vec<String>),
    Removed,
}

impl<'a> ConversionOutput<'a> {
    pub(super) fn new(documents: &'a [InputDocument<'a>]) -> Self {
        Self {
            documents,
            outputs: documents.iter().map(|_| OutputDocument::default()).collect(),
            notes: Vec::new(),
        }
    }

    /// Adds a note on a document's object.
    pub(super) fn note(&mut self, index: usize, note: Note) {
        let note = self.documents.get(index).map_or(note.clone(), |document| document.note(note));
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
        if let Some(output) = self.outputs.get_mut(index) {
            output.comments.push(comment);
        }
    }

    /// Adds a note, and writes it as a comment above the document.
    pub(super) fn annotate(&mut self, index: usize, note: Note) {
        self.comment(index, note.comment());
        self.note(index, note);
    }

    pub(super) fn edit(&mut self, index: usize, text: String) {
        self.set_content(index, OutputContent::Edited(text));
    }

    /// Replaces a document with others, below comments.
    pub(super) fn replace(&mut self, index: usize, head: &[String], trees: &[Tree]) {
        for comment in head {
            self.comment(index, comment.clone());
        }
        self.set_content(index, OutputContent::Replaced(trees.iter().map(|tree| tree.lines(0)).collect()));
    }

    fn set_content(&mut self, index: usize, content: OutputContent) {
        if let Some(output) = self.outputs.get_mut(index) {
            output.content = content;
        }
    }

    /// The objects of the documents that are neither replaced nor edited nor removed.
    pub(super) fn unchanged_objects(&self) -> impl Iterator<Item = &ManifestObject> {
        let unchanged = self.documents.iter().zip(&self.outputs);
        let unchanged = unchanged.filter(|(_, output)| output.content == OutputContent::Unchanged);
        unchanged.filter_map(|(document, _)| document.object.as_ref())
    }

    /// Removes a document, and puts the note in its place.
    pub(super) fn remove(&mut self, index: usize, note: Note) {
        self.annotate(index, note);
        self.set_content(index, OutputContent::Removed);
    }

    /// The text of all documents, and the notes in the order of the documents.
    pub(super) fn finish(mut self) -> (String, Vec<Note>) {
        let mut out = YamlStream::default();
        let mut list = None;
        for (document, output) in self.documents.iter().zip(&self.outputs) {
            let Some(text) = document.list else {
                out.add(
                    &output.text(document),
                    output.content != OutputContent::Removed && document.object.is_some(),
                );
                continue;
            };
            // A list without changes stays a list.
            let of_list =
                |other: &InputDocument<'_>| other.list.is_some_and(|other| std::ptr::eq(other, text));
            let mut outputs = self.documents.iter().zip(&self.outputs).filter(|(other, _)| of_list(other));
            if outputs
                .all(|(_, output)| output.content == OutputContent::Unchanged && output.comments.is_empty())
            {
                if list != Some(text.as_ptr()) {
                    out.add(text, true);
                }
                list = Some(text.as_ptr());
                continue;
            }
            out.add(&output.text(document), output.content != OutputContent::Removed);
        }
        self.notes.sort_by_key(|(index, _)| *index);
        (out.text, self.notes.into_iter().map(|(_, note)| note).collect())
    }
}

impl OutputDocument {
    fn text(&self, document: &InputDocument<'_>) -> String {
        let comments = comment_lines(&self.comments, 0);
        let text = match &self.content {
            OutputContent::Edited(text) => text.as_str(),
            _ => &document.text,
        };
        let editor = super::edit::Editor::new(text, document.first_line);
        let (start, end) = match &document.object {
            // An object may start in the line of its `---`.
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
        // An empty last item has the position of its key, so its dash comes after the end.
        let is_outside =
            |line: &&str| matches!(line.trim(), "" | "...") || line.trim_start().starts_with('#');
        let tail =
            text.get(end..).unwrap_or_default().split_inclusive('\n').filter(is_outside).collect::<String>();
        match &self.content {
            OutputContent::Unchanged | OutputContent::Edited(_) => {
                format!("{head}{comments}{}", text.get(start..).unwrap_or_default())
            }
            OutputContent::Replaced(documents) => {
                format!("{head}{comments}{}{tail}", documents.join("---\n"))
            }
            OutputContent::Removed => {
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

/// A stream of documents.
#[derive(Debug, Default)]
struct YamlStream {
    text: String,
    /// Whether the next document needs a `---`.
    needs_marker: bool,
}

impl YamlStream {
    fn add(&mut self, text: &str, document: bool) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        if self.needs_marker && document && !starts_with_marker(text) {
            self.text.push_str("---\n");
        }
        self.needs_marker |= document;
        self.text.push_str(text);
    }
}

/// Whether a document begins with `---`, optionally after comments.
fn starts_with_marker(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}');
    let head = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with(['#', '%']));
    head.is_some_and(|line| line.starts_with("---"))
}
