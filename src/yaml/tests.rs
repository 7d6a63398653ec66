//! What is read, and what is refused.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Result<Option<Node>, YamlError> {
    parse(text, &mut Budget::default())
}

/// Keys and values of a mapping of scalars.
fn texts(node: &Node) -> Vec<(&str, &str)> {
    node.entries().iter().map(|entry| (entry.key.as_str(), entry.value.text().unwrap())).collect()
}

#[test]
fn scalars_keep_their_source_text() {
    let node = read("a: 0755\nb: 007\nc: true\nd: 1e3\ne: ~\nf: 'null'\ng:\nh: !!str 1\n").unwrap().unwrap();
    let entries = [
        ("a", "0755"),
        ("b", "007"),
        ("c", "true"),
        ("d", "1e3"),
        ("e", ""),
        ("f", "null"),
        ("g", ""),
        ("h", "1"),
    ];
    assert_eq!(texts(&node), entries);
    let styles = node.entries().iter().map(|entry| match &entry.value.value {
        Value::Scalar(scalar) => (scalar.source.as_str(), scalar.style),
        other => panic!("{other:?}"),
    });
    let plain = styles.filter(|(_, style)| *style == ScalarStyle::Plain).map(|(source, _)| source);
    assert_eq!(plain.collect::<Vec<_>>(), ["0755", "007", "true", "1e3", "~", ""]);
}

#[test]
fn aliases_and_merges_are_written_out() {
    let node = read("- &a {x: 1, y: 2}\n- {<<: *a, y: 3}\n").unwrap().unwrap();
    assert_eq!(texts(&node.items()[1]), [("y", "3"), ("x", "1")]);
}

#[test]
fn values_know_their_end() {
    let text = "a:\n  b: |\n    1\n\n  # comment\n  c: {d: [2], e: \"f\n    g\"} # comment\n  h:\ni: &x j\nk: *x\nl:\n- m # n\n";
    let node = parse_only(text, 11, &mut Budget::default()).unwrap().unwrap();
    let end = |keys: &[&str]| {
        let end = node.at(keys).unwrap().end;
        (end.line, end.column)
    };
    assert_eq!(end(&["a", "b"]), (15, 1));
    assert_eq!(end(&["a", "c", "d"]), (16, 13));
    assert_eq!(end(&["a", "c", "e"]), (17, 7));
    assert_eq!(end(&["a", "c"]), (17, 8));
    assert_eq!((end(&["a", "h"]), end(&["a"])), ((18, 4), (18, 4)));
    assert_eq!((end(&["i"]), end(&["k"])), ((19, 8), (19, 8)));
    assert_eq!((end(&["l"]), node.end.line), ((22, 4), 22));
    let last = read("a: |\n  b\n  c").unwrap().unwrap();
    assert_eq!((last.end.line, last.end.column), (3, 4));
}

#[test]
fn keys_and_values_know_their_place() {
    let text = "# comment\na:\n  b: 1\n  \"c\":\n  - d\n  - e: 'f'\n    g: {h: i}\n";
    let node = parse_only(text, 11, &mut Budget::default()).unwrap().unwrap();
    let place = |keys: &[&str]| {
        let (last, above) = keys.split_last().unwrap();
        let entry = node.at(above).unwrap().entry(last).unwrap();
        [entry.position, entry.value.position].map(|position| (position.line, position.column))
    };
    assert_eq!(place(&["a"]), [(12, 1), (13, 3)]);
    assert_eq!(place(&["a", "b"]), [(13, 3), (13, 6)]);
    assert_eq!(place(&["a", "c"])[0], (14, 3));
    let items = node.at(&["a", "c"]).unwrap().items();
    let places = [&items[0], &items[1], items[1].at(&["e"]).unwrap(), items[1].at(&["g", "h"]).unwrap()];
    let places = places.map(|node| (node.position.line, node.position.column));
    assert_eq!(places, [(15, 5), (16, 5), (16, 8), (17, 12)]);
}

#[test]
fn a_value_that_is_left_out_stands_where_its_key_does() {
    let node = read("a:\n\n\nb: 1\n").unwrap().unwrap();
    assert_eq!(node.at(&["a"]).unwrap().position, Position { line: 1, column: 1 });
}

/// Where the letter `x` of the value of `a` is in the file.
fn located(text: &str) -> Option<(usize, usize)> {
    let node = read(text).unwrap().unwrap();
    let Value::Scalar(scalar) = &node.at(&["a"]).unwrap().value else { panic!("a scalar") };
    let mut lines = scalar.source.lines().enumerate();
    let (line, column) =
        lines.find_map(|(line, text)| Some((line + 1, text.chars().position(|c| c == 'x')? + 1))).unwrap();
    scalar.locate(Position { line, column }).map(|position| (position.line, position.column))
}

#[test]
fn what_is_in_a_text_is_located_where_the_text_is_as_it_was_written() {
    for (text, place) in [
        ("a: |\n  1\n  x\n", Some((3, 3))),
        ("a: |-  # comment\n\n\n     1\n      x", Some((5, 7))),
        ("b: |\n  1\na: |2+\n    1\n  x\n\n", Some((5, 3))),
        ("a: |\r\n  1\r\n  x\r\n", Some((3, 3))),
        ("b: |\n  ä\na: 'ä x'\n", Some((3, 7))),
        ("a: 1 x \n", Some((1, 6))),
        ("{\"a\": \"1 x\"}", Some((1, 10))),
        ("a: \"1\\n x\"\n", None),
        ("a: 1\n  x\n", None),
        ("a: >\n  1\n  x\n", None),
    ] {
        assert_eq!(located(text), place, "{text:?}");
    }
}

#[test]
fn only_a_file_must_hold_nothing_else() {
    let (text, mut budget) = ("[a]\n---\n[b]\n", Budget::default());
    assert_eq!(read(text).unwrap().unwrap().items().len(), 1);
    assert_eq!(parse_only(text, 1, &mut budget).unwrap_err().problem, "another document begins");
}

#[test]
fn alias_bombs_depth_and_cycles_are_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let previous = format!("*a{}, ", level - 1).repeat(10);
        writeln!(bomb, "a{level}: &a{level} [{}]", previous.trim_end_matches(", ")).unwrap();
    }
    assert!(read(&bomb).unwrap_err().problem.contains("too large"));
    assert!(read(&"[".repeat(100_000)).is_err());
    assert!(read(&format!("{}x{}", "[".repeat(50), "]".repeat(50))).unwrap_err().problem.contains("deeply"));
    assert!(read("&a [*a]").is_err());
    assert!(read("a: 1\na: 2\n").unwrap_err().problem.contains("twice"));
}

#[test]
fn nothing_is_no_document() {
    assert_eq!(read("").unwrap(), None);
    assert_eq!(read("# only a comment\n").unwrap(), None);
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn any_yaml_like_text_is_parsed_or_refused(text in "[-\\[\\]{}:,&*|> a\n\"'#!%@~\t\u{0}]{0,200}") {
        let _ = read(&text);
    }
}

#[test]
fn tabs_may_separate_a_value_from_its_colon() {
    let node = |text: &str| parse(text, &mut Budget::default());

    for (spaced, tabbed) in
        [(": b", ":\tb"), (": f", ":\t\tf"), (": i", ": \t i"), (": -1", ":\t-1"), (": 'x'", ":\t'x'")]
    {
        let expected = node("a: b\nc: [d, {e: f}]\ng:\n  - h: i\nj: -1\nk: 'x'\n").unwrap().unwrap();
        let text = "a: b\nc: [d, {e: f}]\ng:\n  - h: i\nj: -1\nk: 'x'\n".replace(spaced, tabbed);
        let found = node(&text).unwrap().unwrap();
        assert_eq!(without_positions(&found), without_positions(&expected), "{text:?}");
    }

    // The position behind a tab is that of the file.
    let node = node("é:\tb\nc:\td\n").unwrap().unwrap();
    let positions: Vec<_> = node.entries().iter().map(|entry| entry.value.position).collect();
    assert_eq!(positions, [Position { line: 1, column: 4 }, Position { line: 2, column: 4 }]);
}

#[test]
fn a_tab_elsewhere_is_what_it_was() {
    for refused in ["a:\n\tb: c\n", "a:\tb: c\n", "a:\t- b\n"] {
        assert!(parse(refused, &mut Budget::default()).is_err(), "{refused:?}");
    }
    for (text, value) in [("a: \"b:\tc\"\n", "b:\tc"), ("a: |\n  b:\tc\n", "b:\tc\n")] {
        let node = parse(text, &mut Budget::default()).unwrap().unwrap();
        assert_eq!(node.at(&["a"]).and_then(Node::text), Some(value));
    }
}

/// The keys and texts of a node, in their order.
fn without_positions(node: &Node) -> Vec<String> {
    match &node.value {
        Value::Scalar(scalar) => vec![scalar.text().to_owned()],
        Value::Sequence(items) => items.iter().flat_map(without_positions).collect(),
        Value::Mapping(entries) => entries
            .iter()
            .flat_map(|entry| [vec![entry.key.clone()], without_positions(&entry.value)].concat())
            .collect(),
    }
}
