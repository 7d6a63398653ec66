//! The documents of a file.

use super::{ManifestError, ManifestObject, unfold};
use crate::yaml::{self, Budget, YamlError};

/// A part of a file, from one `---` to the next. The documents of a file contain all of its text.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// The file.
    pub file: &'a str,
    /// The number of its first line in the file, from 1.
    pub first_line: usize,
    /// The text, with its `---` and its comments.
    pub text: &'a str,
}

impl Document<'_> {
    /// Whether the text contains these words. A document that does not mention a kind holds no object of it, and need
    /// not be parsed.
    pub fn mentions(&self, words: &str) -> bool {
        self.text.contains(words)
    }

    /// The objects, including the items of lists; empty if there are none.
    ///
    /// # Errors
    /// [`ManifestError`], if it is not YAML. The documents after it may be.
    pub fn objects(&self) -> Result<Vec<ManifestObject>, ManifestError> {
        let mut budget = Budget::of_file(self.text.len());
        let root = yaml::parse_only(self.text, self.first_line, &mut budget);
        let mut objects = Vec::new();
        if let Some(root) = root.map_err(|error| self.error(error))? {
            unfold(root, &mut objects);
        }
        Ok(objects)
    }

    fn error(&self, error: YamlError) -> ManifestError {
        let YamlError { position, problem, help } = error;
        let template = self.mentions("{{");
        let help = if template {
            "it is a template: render it first, for example with `helm template`"
        } else {
            help
        };
        ManifestError { file: self.file.to_owned(), position, problem, help }
    }
}

/// The documents of a text, in their order.
#[derive(Clone, Debug)]
pub struct Documents<'a> {
    file: &'a str,
    line: usize,
    rest: &'a str,
}

impl<'a> Documents<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, line: 1, rest: text }
    }
}

impl<'a> Iterator for Documents<'a> {
    type Item = Document<'a>;

    /// In YAML, `---` at the start of a line always separates documents, even in a quoted text. So a broken document
    /// does not affect the documents after it.
    fn next(&mut self) -> Option<Document<'a>> {
        let (mut bytes, mut lines) = (0, 0);
        let (mut marked, mut filled) = (false, false);
        for line in self.rest.split_inclusive('\n') {
            match marker(line) {
                Some(Marker::Start(_)) if marked || filled => break,
                Some(Marker::Start(content)) => (marked, filled) = (true, content),
                Some(Marker::End) => {}
                None => filled |= is_content(line),
            }
            bytes += line.len();
            lines += 1;
            if matches!(marker(line), Some(Marker::End)) {
                break;
            }
        }
        let (text, rest) = self.rest.split_at_checked(bytes).filter(|(text, _)| !text.is_empty())?;
        let document = Document { file: self.file, first_line: self.line, text };
        (self.rest, self.line) = (rest, self.line + lines);
        Some(document)
    }
}

enum Marker {
    /// `---`, and whether content follows on its line.
    Start(bool),
    /// `...`
    End,
}

fn marker(line: &str) -> Option<Marker> {
    let line = line.strip_prefix('\u{feff}').unwrap_or(line);
    let ends = |rest: &str| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']);
    if let Some(rest) = line.strip_prefix("---").filter(|rest| ends(rest)) {
        return Some(Marker::Start(is_content(rest)));
    }
    line.strip_prefix("...").filter(|rest| ends(rest)).map(|_| Marker::End)
}

/// Whether a line has other text than a comment or a directive.
fn is_content(line: &str) -> bool {
    let line = line.trim_start_matches('\u{feff}');
    !line.starts_with('%') && !line.trim_start().starts_with('#') && !line.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn documents(text: &str) -> Vec<(usize, &str)> {
        Documents::new("file", text).map(|document| (document.first_line, document.text)).collect()
    }

    fn names(text: &str) -> Vec<Result<Vec<String>, String>> {
        let names =
            |objects: Vec<ManifestObject>| objects.into_iter().filter_map(|object| object.name).collect();
        Documents::new("file", text)
            .map(|document| document.objects().map(names).map_err(|error| error.to_string()))
            .collect()
    }

    #[test]
    fn a_document_starts_with_its_marker_and_comments() {
        let text = "# head\n%YAML 1.2\n---\na: 1\n# tail\n---\n# nothing\n--- # b\nb: |\n ---\n...\n# c\n---\nc: 1\n";
        assert_eq!(
            documents(text),
            [
                (1, "# head\n%YAML 1.2\n---\na: 1\n# tail\n"),
                (6, "---\n# nothing\n"),
                (8, "--- # b\nb: |\n ---\n...\n"),
                (12, "# c\n---\nc: 1\n")
            ]
        );
        assert_eq!(documents("a: 1\r\n---\r\nb: 1\r\n"), [(1, "a: 1\r\n"), (2, "---\r\nb: 1\r\n")]);
        assert_eq!(
            documents("---- no marker\n--- {a: 1}\n---"),
            [(1, "---- no marker\n"), (2, "--- {a: 1}\n"), (3, "---")]
        );
        assert_eq!(documents(""), []);
    }

    #[test]
    fn a_broken_document_is_reported_and_the_documents_after_it_are_read() {
        let text = "metadata: {name: a}\n---\nmetadata:\n  name: 'b\n---\nmetadata: {name: c}\n";
        let names = names(text);
        assert_eq!((&names[0], &names[2]), (&Ok(vec!["a".to_owned()]), &Ok(vec!["c".to_owned()])));
        let error = names[1].as_ref().unwrap_err();
        assert!(error.starts_with("file:4:") && error.contains("invalid YAML"), "{error}");
    }

    #[test]
    fn the_error_for_a_template_advises_to_render_it() {
        let error = names("kind: {{ .Values.kind }}\n").remove(0).unwrap_err();
        assert!(error.contains("helm template"), "{error}");
    }

    #[test]
    fn a_second_document_without_a_marker_is_refused() {
        let error = names("{\"a\": 1}\n{\"b\": 1}\n").remove(0).unwrap_err();
        assert!(error.starts_with("file:2:1: "), "{error}");
    }

    #[test]
    fn lists_are_unfolded() {
        let json = r#"{"kind": "List", "items": [
	{"kind": "A", "metadata": {"name": "a"}},
	{"kind": "BList", "apiVersion": "v1", "items": [{"metadata": {"name": "b", "namespace": "n"}}]}, 7]}"#;
        let objects = Documents::new("file", json).next().unwrap().objects().unwrap();
        let [a, b] = objects.as_slice() else { panic!("{objects:?}") };
        assert_eq!((a.kind.as_str(), a.name.as_deref()), ("A", Some("a")));
        assert_eq!((b.kind.as_str(), b.api_version.as_str(), b.name.as_deref()), ("B", "v1", Some("b")));
        assert_eq!(b.namespace.as_deref(), Some("n"));
        assert_eq!(b.root.position.line, 3);
    }

    #[test]
    fn text_without_an_object_gives_no_object() {
        assert_eq!(names("\u{feff}---\nmetadata: {name: a}\n"), [Ok(vec!["a".to_owned()])]);
        for text in
            ["# nothing\n", "---\n", "text\n", "- 1\n", "kind: List\nitems: 7\n", "kind: List\nitems: []\n"]
        {
            assert_eq!(names(text), [Ok(Vec::new())], "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn documents_contain_the_whole_file_and_never_panic(text in "((---|\\.\\.\\.|[-\\[\\]{}:,&*|> a\"'#%\u{feff}\r])*\n){0,8}") {
            let documents = Documents::new("file", &text).collect::<Vec<_>>();
            let lines = |text: &str| text.matches('\n').count();
            let mut before = String::new();
            for document in documents {
                prop_assert_eq!(document.first_line, lines(&before) + 1);
                before.push_str(document.text);
                let _ = document.objects();
            }
            prop_assert_eq!(before, text);
        }
    }
}
