//! Links between pages, and the anchors that they lead to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A relative link of a page.
pub struct Link {
    /// As it is written.
    pub text: String,
    pub file: PathBuf,
    pub anchor: Option<String>,
}

impl Link {
    /// The relative links of a line of Markdown, on a page in `folder` with this file name. Code spans have none.
    pub fn of_line(line: &str, folder: &Path, page: &str) -> Vec<Self> {
        let prose = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        let inline = prose.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
        // A definition, such as `[name]: target`.
        let definition =
            prose.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target);
        let targets =
            inline.chain(definition).map(|target| target.split_whitespace().next().unwrap_or_default());
        let relative = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
        relative.map(|target| Self::parse(target, folder, page)).collect()
    }

    fn parse(target: &str, folder: &Path, page: &str) -> Self {
        let (file, anchor) = match target.split_once('#') {
            Some((file, anchor)) => (file, Some(anchor.to_owned())),
            None => (target, None),
        };
        let file = folder.join(if file.is_empty() { page } else { file });
        Self { text: target.to_owned(), file, anchor }
    }

    fn is_to_page(&self) -> bool {
        self.file.extension().is_some_and(|extension| extension == "md")
    }

    /// What is wrong with the link, if anything is.
    pub fn mistake(&self) -> Option<String> {
        if !self.file.exists() {
            return Some(format!("({}): there is no {}", self.text, self.file.display()));
        }
        let anchor = self.anchor.as_ref()?;
        if !self.is_to_page() {
            return Some(format!("({}): only Markdown files have anchors", self.text));
        }
        let anchors = anchors(&std::fs::read_to_string(&self.file).unwrap());
        let missing = !anchors.contains(anchor);
        missing.then(|| format!("({}): no heading has this anchor; there are {anchors:?}", self.text))
    }
}

/// The pages of `docs/` that a text names, from the top folder.
pub fn named_pages(text: &str, repository: &Path) -> Vec<Link> {
    let is_path = |letter: char| letter.is_ascii_alphanumeric() || "/._-#".contains(letter);
    let paths = text.split("docs/").skip(1).map(|rest| rest.split(|letter| !is_path(letter)).next().unwrap());
    let paths = paths.map(|path| path.trim_end_matches('.'));
    let links = paths.map(|path| Link::parse(&format!("docs/{path}"), repository, ""));
    links.filter(Link::is_to_page).collect()
}

/// The anchors that GitHub gives to the headings of a page.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let level = line.chars().take_while(|letter| *letter == '#').count();
        let Some(title) = line[level..].strip_prefix(' ').filter(|_| !fenced && (1..=6).contains(&level))
        else {
            continue;
        };
        let slug = slug(title);
        let count = seen.entry(slug.clone()).or_default();
        anchors.insert(if *count == 0 { slug } else { format!("{slug}-{count}") });
        *count += 1;
    }
    anchors
}

/// Lower case, a hyphen for each space, and no other punctuation than hyphens and underscores. A link in a heading
/// counts with its text.
fn slug(title: &str) -> String {
    let mut text = String::new();
    for part in title.trim().split("](") {
        // What a link leads to is not in the slug.
        let shown = if text.is_empty() { part } else { part.split_once(')').map_or(part, |(_, rest)| rest) };
        text.push_str(shown);
    }
    let kept = text.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect::<String>().to_lowercase()
}

#[test]
fn anchors_are_those_of_github() {
    let page = "# The core: four rules\n## `a_b` & c\n## [Link](x.md) end\n```\n# no heading\n```\n## Do\n## Do\n#tag\n";
    let expected = ["the-core-four-rules", "a_b--c", "link-end", "do", "do-1"];
    assert_eq!(anchors(page), expected.map(str::to_owned).into());
}

#[test]
fn links_are_found_with_their_anchors() {
    let line = "[a](x.md#y), `[b](no.md)`, [c](https://e.example/#z), ![d](p.svg) and [e](#f)";
    let links = Link::of_line(line, Path::new("pages"), "page.md");
    let found = links.iter().map(|link| (link.file.to_str().unwrap(), link.anchor.as_deref()));
    let expected = [("pages/x.md", Some("y")), ("pages/p.svg", None), ("pages/page.md", Some("f"))];
    assert_eq!(found.collect::<Vec<_>>(), expected);
    let defined = Link::of_line("[a]: b.md", Path::new("pages"), "page.md");
    assert_eq!(defined[0].file, Path::new("pages/b.md"));
}

#[test]
fn a_link_to_a_missing_file_or_heading_is_a_mistake() {
    let folder = super::repository().join("docs");
    let mistake = |target: &str| Link::parse(target, &folder, "install.md").mistake();
    assert_eq!(mistake("#hardening"), None);
    assert_eq!(mistake("../README.md"), None);
    assert!(mistake("#no-such-heading").unwrap().contains("\"hardening\""));
    assert!(mistake("no-such-page.md").unwrap().contains("there is no"));
    assert!(mistake("policy.schema.json#x").unwrap().contains("only Markdown"));
}
