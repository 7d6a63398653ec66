//! The parameters `objects` and `templates` of a class.

mod element;

use super::converted_class::{ClassSources, ConvertedClass};
use super::data::{KeyItem, KeyTemplate, VaultObject, VaultValue};
use super::note::Note;
use super::write::{Tree, comment_lines};
use crate::plan::{FileMode, RelativePath, TemplateSource, quoted};
use element::{EntryField, EntryObject, is_same};

/// The parameters, as they are written.
pub(super) struct WrittenObjects {
    pub objects: String,
    pub templates: Option<String>,
}

/// The parameters while they are made.
struct ObjectsBuilder<'a> {
    class: &'a ConvertedClass,
    entries: Vec<Entry>,
    /// The files, each with what it is made of.
    files: Vec<(String, Option<VaultObject>)>,
}

/// Comments, and the element of `objects` below them, if there is one.
#[derive(Default)]
struct Entry {
    comments: Vec<String>,
    object: Option<EntryObject>,
}

/// A template, and its file.
struct MadeFile<'a> {
    template: &'a KeyTemplate,
    comments: Vec<String>,
    path: RelativePath,
    mode: Option<FileMode>,
}

/// Writes the parameters of a class, with comments for the keys that it lacks.
pub(super) fn write(
    class: &ConvertedClass,
    sources: &ClassSources<'_>,
    notes: &mut Vec<Note>,
) -> WrittenObjects {
    let mut builder = ObjectsBuilder { class, entries: Vec::new(), files: Vec::new() };
    let (items, missing) = class.items(&sources.secret.items);
    let mut made = Vec::new();
    // Several templates may use a value, and each has the comments of its element.
    let mut seen: Vec<String> = Vec::new();
    for item in &items {
        let mut files = builder.item(item, notes);
        for file in &mut files {
            file.comments.retain(|comment| !seen.contains(comment));
            seen.extend(file.comments.iter().cloned());
        }
        made.extend(files);
    }
    for key in missing {
        let problem =
            format!("the volume mounts the key {}, which the ExternalSecret does not have", quoted(key));
        let note = Note::lost("objects", problem, "add the object for this key");
        builder.entries.push(Entry { comments: vec![note.comment()], object: None });
        notes.push(note);
    }
    builder.add_hidden(&made);
    let templates = builder.templates(&made, notes);
    let mut objects = String::from("array:\n");
    for entry in &builder.entries {
        let mut comments = entry.comments.clone();
        let text = match entry.object.as_ref().map(|object| object.write(sources, class)) {
            None => String::new(),
            Some(Ok(text)) => text,
            Some(Err(note)) => {
                comments.push(note.comment());
                notes.push(note);
                String::new()
            }
        };
        objects.push_str(&comment_lines(&comments, 2));
        objects.push_str(&text);
    }
    WrittenObjects { objects, templates }
}

impl ObjectsBuilder<'_> {
    /// Adds the files of a key, and returns those that a template makes.
    fn item<'t>(&mut self, item: &'t KeyItem, notes: &mut Vec<Note>) -> Vec<MadeFile<'t>> {
        let mut lost = item.notes.clone();
        lost.extend(item.value.as_ref().and_then(|value| value.difference.clone()));
        let mut added = Vec::new();
        if let Some(value) = &item.value {
            for (path, mode) in self.class.paths(&value.key, &value.file()) {
                match self.claim(path, Some(&value.object)) {
                    Ok(true) => added.push((path.to_owned(), mode)),
                    Ok(false) => {}
                    Err(note) => lost.push(note),
                }
            }
        }
        let mut made = Vec::new();
        if let Some(template) = &item.template {
            let key = item.key.as_deref().unwrap_or_default();
            for (path, mode) in self.class.paths(key, key) {
                let parsed = RelativePath::parse(path);
                let parsed = parsed.map_err(|fault| Note::lost("templates", fault.problem, fault.help));
                match self.claim(path, None).and(parsed) {
                    Ok(path) => made.push(MadeFile { template, comments: Vec::new(), path, mode }),
                    Err(note) => lost.push(note),
                }
            }
        }
        let mut comments = item.comments.clone();
        comments.extend(lost.iter().map(Note::comment));
        notes.append(&mut lost);
        match made.first_mut() {
            Some(first) => first.comments = comments,
            None => self.add(item.value.as_ref(), added, comments),
        }
        made
    }

    /// Whether the path is new. It is not if it is a file of the same object already, as the two parts of a certificate.
    fn claim(&mut self, path: &str, object: Option<&VaultObject>) -> Result<bool, Note> {
        if path.contains('*') {
            return Ok(true);
        }
        RelativePath::parse(path).map_err(|fault| Note::lost("objectAlias", fault.problem, fault.help))?;
        match self.files.iter().find(|(other, _)| other == path) {
            None => {
                self.files.push((path.to_owned(), object.cloned()));
                Ok(true)
            }
            Some((_, Some(same))) if object.is_some_and(|object| object == same) => Ok(false),
            Some(_) => {
                let problem = format!("the file {} already belongs to another key", quoted(path));
                Err(Note::lost("objectAlias", problem, "rename one of the two keys"))
            }
        }
    }

    /// Adds the files of a value; fields of one secret to one element.
    fn add(
        &mut self,
        value: Option<&VaultValue>,
        files: Vec<(String, Option<FileMode>)>,
        comments: Vec<String>,
    ) {
        let start = self.entries.len();
        self.entries.push(Entry { comments, object: None });
        let Some(value) = value else { return };
        for (alias, mode) in files {
            match &value.field {
                Some(path) => self.add_field(value, EntryField { path: path.clone(), alias, mode }, false),
                None => self.add_object(EntryObject {
                    object: value.object.clone(),
                    hidden: false,
                    alias: Some((alias, mode)),
                    fields: Vec::new(),
                }),
            }
        }
        // The comments belong to the element that has the field.
        if self.entries.len() == start + 1
            && let Some(Entry { comments, object: None }) =
                self.entries.pop_if(|entry| entry.object.is_none() && value.field.is_some())
        {
            match self.field_entry(value, false) {
                Some(entry) => entry.comments.extend(comments),
                None => self.entries.push(Entry { comments, object: None }),
            }
        }
    }

    fn add_object(&mut self, object: EntryObject) {
        match self.entries.last_mut() {
            Some(last) if last.object.is_none() && !object.hidden => last.object = Some(object),
            _ => self.entries.push(Entry { comments: Vec::new(), object: Some(object) }),
        }
    }

    /// The element for fields of the same secret. The files of a later `*` would win over those of an earlier element.
    fn field_entry(&mut self, value: &VaultValue, hidden: bool) -> Option<&mut Entry> {
        let entries = self.entries.iter_mut().rev();
        let last = |entry: &&mut Entry| entry.object.as_ref().is_some_and(EntryObject::has_every_key);
        let is_all = value.key.contains('*');
        let mut is_past = false;
        entries
            .take_while(|entry| {
                let stops = is_past;
                is_past |= last(entry);
                !stops
            })
            .find(|entry| {
                entry.object.as_ref().is_some_and(|object| {
                    object.hidden == hidden
                        && !is_all
                        && !object.fields.is_empty()
                        && is_same(&object.object, &value.object)
                })
            })
    }

    fn add_field(&mut self, value: &VaultValue, field: EntryField, hidden: bool) {
        if let Some(Entry { object: Some(object), .. }) = self.field_entry(value, hidden) {
            object.fields.push(field);
            return;
        }
        let object = EntryObject { object: value.object.clone(), hidden, alias: None, fields: vec![field] };
        self.add_object(object);
    }

    fn count(&self, name: &str) -> usize {
        let objects = self.entries.iter().filter_map(|entry| entry.object.as_ref());
        objects.filter(|object| object.is_called(name)).count()
    }

    /// The name by which templates use a value, if it is of one element only.
    fn name_of(&self, value: &VaultValue) -> Option<String> {
        let objects = self.entries.iter().filter_map(|entry| entry.object.as_ref());
        let mut names = objects.filter_map(|object| object.name_of(value));
        names.find(|name| self.count(name) == 1).map(str::to_owned)
    }

    /// Adds hidden elements for the values that templates use and no file has.
    fn add_hidden(&mut self, made: &[MadeFile<'_>]) {
        let sources = made.iter().flat_map(|file| &file.template.sources);
        // A new element can have the name of an earlier one, so that is looked at again.
        for value in sources.clone().chain(sources) {
            if self.name_of(value).is_some() {
                continue;
            }
            let names = (2_usize..).map(|number| format!("{}-{number}", value.key));
            let is_free = |name: &String| self.count(name) == 0;
            let alias = std::iter::once(value.key.clone()).chain(names).find(is_free).unwrap_or_default();
            match &value.field {
                Some(path) => {
                    self.add_field(value, EntryField { path: path.clone(), alias, mode: None }, true);
                }
                None => self.add_object(EntryObject {
                    object: value.object.clone(),
                    hidden: true,
                    alias: Some((alias, None)),
                    fields: Vec::new(),
                }),
            }
        }
    }

    /// The parameter `templates`, if there are any.
    fn templates(&self, made: &[MadeFile<'_>], notes: &mut Vec<Note>) -> Option<String> {
        let mut list = Vec::new();
        for MadeFile { template, comments, path, mode } in made {
            let name = |key: &str| {
                let value = template.sources.iter().find(|value| value.key == key);
                value.and_then(|value| self.name_of(value)).unwrap_or_default()
            };
            let text = template.text.write(&name);
            if let Err(fault) = TemplateSource::parse(text.clone()) {
                notes.push(Note::lost(&template.location, fault.problem, fault.help));
                continue;
            }
            let mut fields = vec![("path".to_owned(), Tree::text(path.as_str()))];
            fields.extend(mode.map(|mode| ("filePermission".to_owned(), Tree::text(mode.to_string()))));
            fields.push(("template".to_owned(), Tree::Block(text)));
            list.push(Tree::Map(fields).commented(comments.clone()));
        }
        (!list.is_empty()).then(|| Tree::List(list).lines(0))
    }
}
