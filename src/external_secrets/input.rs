//! Splits the input files into documents with one object each; the items of a list become documents.

use std::borrow::Cow;

use super::edit::Editor;
use super::note::Note;
use crate::manifest::{Document, ManifestError, ManifestObject, ManifestSource};
use crate::yaml::{self, Budget, Node};

/// A document of the input, and its object.
#[derive(Debug)]
pub(super) struct InputDocument<'a> {
    pub file: &'a str,
    pub first_line: usize,
    pub text: Cow<'a, str>,
    /// `None` if the document cannot be read, or does not hold exactly one object.
    pub object: Option<ManifestObject>,
    /// The text of the list that contains the object.
    pub list: Option<&'a str>,
}

impl InputDocument<'_> {
    pub(super) fn editor(&self) -> Editor<'_> {
        Editor::new(&self.text, self.first_line)
    }

    /// Adds the origin of this document's object to a note.
    pub(super) fn note(&self, note: Note) -> Note {
        let Some(object) = &self.object else { return note };
        let name = object.name.as_deref().unwrap_or("without a name");
        let namespace =
            object.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        let line = object.root.position.line;
        let text = format!("{}:{line}: {} {namespace}{name}", self.file, object.kind);
        Note { origin: text.chars().filter(|c| !c.is_control()).collect(), ..note }
    }
}

/// Reads all files. The result also contains the documents that cannot be read.
pub(super) fn read(sources: &[ManifestSource]) -> (Vec<InputDocument<'_>>, Vec<ManifestError>) {
    let (mut documents, mut errors) = (Vec::new(), Vec::new());
    for document in sources.iter().flat_map(ManifestSource::documents) {
        let objects = document.objects().unwrap_or_else(|error| {
            errors.push(error);
            Vec::new()
        });
        match split_list(document, &objects) {
            Some(items) => documents.extend(items),
            None => {
                let object = if is_list(document) { None } else { objects.into_iter().next() };
                let Document { file, first_line, text } = document;
                documents.push(InputDocument {
                    file,
                    first_line,
                    text: Cow::Borrowed(text),
                    object,
                    list: None,
                });
            }
        }
    }
    (documents, errors)
}

fn is_list(document: Document<'_>) -> bool {
    let root =
        || yaml::parse_only(document.text, document.first_line, &mut Budget::of_file(document.text.len()));
    let kind =
        |root: &Node| root.at(&["kind"]).and_then(Node::text).is_some_and(|kind| kind.ends_with("List"));
    document.mentions("List")
        && root().ok().flatten().is_some_and(|root| kind(&root) && root.entry("items").is_some())
}

/// The items of a list as separate documents; `None` if one of them cannot be separated.
fn split_list<'a>(document: Document<'a>, objects: &[ManifestObject]) -> Option<Vec<InputDocument<'a>>> {
    if !is_list(document) {
        return None;
    }
    let editor = Editor::new(document.text, document.first_line);
    // Comments above the list go above its first item.
    let head = document.text.split_inclusive('\n').take_while(|line| is_above_list(line));
    let mut head = head.filter(|line| line.starts_with('#')).collect::<String>();
    let mut documents = Vec::with_capacity(objects.len());
    for object in objects {
        let Node { position, end, .. } = object.root;
        let mut lines = std::mem::take(&mut head) + "---\n";
        let first_line = position.line.saturating_sub(lines.lines().count());
        let indentation = " ".repeat(position.column - 1);
        let text = document.text.get(editor.offset(position)..editor.offset(end))?;
        for line in text.trim_end_matches(['\r', '\n']).lines() {
            lines.push_str(line.strip_prefix(&indentation).unwrap_or(line.trim_start_matches(' ')));
            lines.push('\n');
        }
        let item = Document { file: document.file, first_line, text: &lines }.objects().ok()?;
        // An item may take its kind from the list.
        let [item] = <[ManifestObject; 1]>::try_from(item).ok()?;
        (item.kind == object.kind).then_some(())?;
        let text = Cow::Owned(lines);
        documents.push(InputDocument {
            file: document.file,
            first_line,
            text,
            object: Some(item),
            list: Some(document.text),
        });
    }
    Some(documents)
}

fn is_above_list(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with('#') || line.starts_with("---")
}
