//! The documents of all files, those of lists one by one.

use std::borrow::Cow;

use super::edit::Editor;
use super::note::Note;
use crate::manifest::{Document, ManifestError, ManifestSource, Object};
use crate::yaml::{self, Budget, Node};

/// A document, and the object in it.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    pub file: &'a str,
    pub first_line: usize,
    pub text: Cow<'a, str>,
    /// Nothing, if it cannot be read, or holds none or several.
    pub object: Option<Object>,
    /// The text of the list that it is taken out of.
    pub list: Option<&'a str>,
}

impl Piece<'_> {
    pub(super) fn editor(&self) -> Editor<'_> {
        Editor::new(&self.text, self.first_line)
    }

    /// A note about its object.
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

/// Reads all files. A document that cannot be read is a piece nevertheless.
pub(super) fn read(sources: &[ManifestSource]) -> (Vec<Piece<'_>>, Vec<ManifestError>) {
    let (mut pieces, mut errors) = (Vec::new(), Vec::new());
    for document in sources.iter().flat_map(ManifestSource::documents) {
        let objects = document.objects().unwrap_or_else(|error| {
            errors.push(error);
            Vec::new()
        });
        match taken_apart(document, &objects) {
            Some(items) => pieces.extend(items),
            None => {
                let object = if is_list(document) { None } else { objects.into_iter().next() };
                let Document { file, first_line, text } = document;
                pieces.push(Piece { file, first_line, text: Cow::Borrowed(text), object, list: None });
            }
        }
    }
    (pieces, errors)
}

fn is_list(document: Document<'_>) -> bool {
    let root =
        || yaml::parse_only(document.text, document.first_line, &mut Budget::of_file(document.text.len()));
    let kind =
        |root: &Node| root.at(&["kind"]).and_then(Node::text).is_some_and(|kind| kind.ends_with("List"));
    document.mentions("List")
        && root().ok().flatten().is_some_and(|root| kind(&root) && root.entry("items").is_some())
}

/// The items of a list, each a document of its own; nothing, if one of them cannot be.
fn taken_apart<'a>(document: Document<'a>, objects: &[Object]) -> Option<Vec<Piece<'a>>> {
    if !is_list(document) {
        return None;
    }
    let editor = Editor::new(document.text, document.first_line);
    // What stands above the list stands above its first item.
    let head = document.text.split_inclusive('\n').take_while(|line| is_head(line));
    let mut head = head.filter(|line| line.starts_with('#')).collect::<String>();
    let mut pieces = Vec::with_capacity(objects.len());
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
        let alone = Document { file: document.file, first_line, text: &lines }.objects().ok()?;
        // A kind that only the list says is not there any more.
        let [alone] = <[Object; 1]>::try_from(alone).ok()?;
        (alone.kind == object.kind).then_some(())?;
        let text = Cow::Owned(lines);
        pieces.push(Piece {
            file: document.file,
            first_line,
            text,
            object: Some(alone),
            list: Some(document.text),
        });
    }
    Some(pieces)
}

fn is_head(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with('#') || line.starts_with("---")
}
