//! Text that is accepted, and text that is rejected.

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
fn aliases_and_merges_are_expanded() {
    let node = read("- &a {x: 1, y: 2}\n- {<<: *a, y: 3}\n").unwrap().unwrap();
    assert_eq!(texts(&node.items()[1]), [("y", "3"), ("x", "1")]);
}

#[test]
fn values_have_their_end() {
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
fn keys_and_values_have_their_position() {
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
fn an_empty_value_has_the_position_of_its_key() {
    let node = read("a:\n\n\nb: 1\n").unwrap().unwrap();
    assert_eq!(node.at(&["a"]).unwrap().position, Position { line: 1, column: 1 });
}

/// The position in the file of the letter `x` in the value of `a`.
fn located(text: &str) -> Option<(usize, usize)> {
    let node = read(text).unwrap().unwrap();
    let Value::Scalar(scalar) = &node.at(&["a"]).unwrap().value else { panic!("a scalar") };
    let mut lines = scalar.source.lines().enumerate();
    let (line, column) =
        lines.find_map(|(line, text)| Some((line + 1, text.chars().position(|c| c == 'x')? + 1))).unwrap();
    scalar.locate(Position { line, column }).map(|position| (position.line, position.column))
}

#[test]
fn a_position_in_a_text_is_located_if_the_text_is_unchanged_in_the_file() {
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
fn a_second_document_is_refused_only_in_a_file() {
    let (text, mut budget) = ("[a]\n---\n[b]\n", Budget::default());
    assert_eq!(read(text).unwrap().unwrap().items().len(), 1);
    assert_eq!(parse_only(text, 1, &mut budget).unwrap_err().problem, "another document starts here");
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
fn an_empty_text_has_no_document() {
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

    // The position after a tab is that of the file.
    let node = node("é:\tb\nc:\td\n").unwrap().unwrap();
    let positions: Vec<_> = node.entries().iter().map(|entry| entry.value.position).collect();
    assert_eq!(positions, [Position { line: 1, column: 4 }, Position { line: 2, column: 4 }]);
}

#[test]
fn a_comment_may_directly_follow_a_quote_or_bracket() {
    let node = read("a: \"b\"#c\nd: [e]#f\ng: {h: 'i'}#j").unwrap().unwrap();
    assert_eq!(without_positions(&node), ["a", "b", "d", "e", "g", "h", "i"]);
    assert_eq!(node.at(&["d"]).unwrap().position, Position { line: 2, column: 4 });
    assert_eq!(texts(&read("a: b#c\n").unwrap().unwrap()), [("a", "b#c")]);
    assert!(parse_only("a: \"b\"#c\n", 1, &mut Budget::default()).is_err());
}

#[test]
fn lines_of_a_quoted_text_need_no_indentation() {
    for (text, value) in [
        ("a: \"b\nc\"\nd: e\n", "b c"),
        ("a: 'b\n\n c''s'\nd: e\n", "b\nc's"),
        ("a: \"\\\nb \\\" c\"\nd: e\n", "b \" c"),
        ("- a: \"b\nc\n  d\"\n  d: e\n", "b c d"),
    ] {
        let node = read(text).unwrap().unwrap();
        let mapping = node.items().first().unwrap_or(&node);
        assert_eq!(texts(mapping), [("a", value), ("d", "e")], "{text:?}");
    }
    for refused in ["a: \"b\n--- c\"\n", "a: \"b\n... c\"\n", "a: \"b\nc\n", "a: 'b\nc\" d\n"] {
        assert!(read(refused).is_err(), "{refused:?}");
    }
    assert!(parse_only("a: \"b\nc\"\n", 1, &mut Budget::default()).is_err());
}

#[test]
fn lines_in_brackets_need_no_indentation() {
    for text in [
        "a: [\n b,\n c\n ]\n",
        "a: [\nb,\nc\n]\n",
        "a: [\n  b\n, c]",
        "a: [b,\n\n# d\nc # e\n]\n",
        "a:\n  [\nb, c\n]",
    ] {
        let node = read(text).unwrap().unwrap();
        assert_eq!(without_positions(&node), ["a", "b", "c"], "{text:?}");
    }
    assert_eq!(without_positions(&read("a: [\u{85}b\u{2028}]").unwrap().unwrap()), ["a", "b"]);
    assert_eq!(texts(&read("a: \"b\u{85}c\"").unwrap().unwrap()), [("a", "b c")]);
    let nested = read("a:\n  - b: {\n  c: d,\ne: 'f'\n}\n    g: h\n").unwrap().unwrap();
    assert_eq!(without_positions(&nested), ["a", "b", "c", "d", "e", "f", "g", "h"]);
    for refused in ["a: [\nb,\nc\n", "a: b\n]\n", "a: [\nb: c: d\n]\n"] {
        assert!(read(refused).is_err(), "{refused:?}");
    }
}

#[test]
fn repeated_parses_spend_the_budget() {
    let text = "a: \"b\nc\"\n".repeat(2000).replace("a:", "- a:");
    assert!(read(&text).unwrap_err().problem.contains("too large"));
}

#[test]
fn text_after_the_document_is_ignored() {
    for text in [
        "{a: b}}\n",
        "--- !!map {a: b} ]\n",
        "{a: b} c\n",
        "{a: b}...\n",
        "{a: b} # c\n",
        "{a: b}\n---\n\tc: d: e\n",
        "{a: b}\n--- [\n",
    ] {
        assert_eq!(texts(&read(text).unwrap().unwrap()), [("a", "b")], "{text:?}");
    }
    for text in ["{a: b}}\n", "{a: b} c\n"] {
        assert!(parse_only(text, 1, &mut Budget::default()).is_err(), "{text:?}");
    }
    assert!(read("a: [b]]\n").is_err());
}

#[test]
fn other_tabs_are_unchanged() {
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

#[test]
fn a_merge_takes_a_mapping_or_a_list_of_them() {
    for (text, expected) in [
        ("{<<: [{x: 1, y: 2}, {x: 3, z: 4}], y: 5}", vec![("y", "5"), ("x", "1"), ("z", "4")]),
        ("{<<: [], x: 1}", vec![("x", "1")]),
        ("{<<: {<<: [{x: 1}], y: 2}}", vec![("y", "2"), ("x", "1")]),
        ("{!!merge <<: {x: 1}}", vec![("x", "1")]),
        ("{! <<: {x: 1}}", vec![("x", "1")]),
        ("{'<<': x}", vec![("<<", "x")]),
        ("{!!str <<: x}", vec![("<<", "x")]),
    ] {
        assert_eq!(texts(&read(text).unwrap().unwrap()), expected, "{text}");
    }
    for (text, problem) in [
        ("<<: x", "`<<` merges a value that is not a mapping"),
        ("<<: ~", "`<<` merges a value that is not a mapping"),
        ("<<: [{a: b}, x]", "`<<` merges a list with an item that is not a mapping"),
        ("<<: [[{a: b}]]", "`<<` merges a list with an item that is not a mapping"),
        ("<<: {a: b}\n<<: {c: d}", "the key \"<<\" appears twice"),
    ] {
        assert_eq!(read(text).unwrap_err().problem, problem, "{text}");
    }
}

#[test]
fn merges_of_merges_spend_the_budget() {
    let mut bomb = String::from("a0: &a0 {x: 1}\n");
    for level in 1..40 {
        writeln!(
            bomb,
            "a{level}: &a{level} {{<<: [{}], y{level}: 1}}",
            vec![format!("*a{}", level - 1); 10].join(", ")
        )
        .unwrap();
    }
    assert!(read(&bomb).is_ok());
    let lists = (0..30).fold(String::from("a: &a0 {x: 1}\n"), |text, level| {
        let previous = vec![format!("*a{level}"); 10].join(", ");
        format!("{text}b{level}: &a{} [{previous}]\n", level + 1)
    });
    assert!(read(&lists).unwrap_err().problem.contains("too large"));
}

#[test]
fn binary_is_decoded() {
    let node = read("{!!binary b2JqZWN0TmFtZQ==: !!binary ZGI=, x: !!binary \"fg==\"}").unwrap().unwrap();
    assert_eq!(texts(&node), [("objectName", "db"), ("x", "~")]);
    let block = read("a: !!binary |\n  ZG\n  I=\n").unwrap().unwrap();
    assert_eq!(texts(&block), [("a", "db")]);
    for (text, problem) in [
        ("a: !!binary '%'", "the `!!binary` value is not base64"),
        ("a: !!binary ZGI", "the `!!binary` value is not base64"),
        ("a: !!binary /w==", "the `!!binary` value does not decode to UTF-8 text"),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!((error.problem.as_str(), error.position.column), (problem, 4), "{text}");
    }
}

#[test]
fn a_tag_sets_the_type_of_a_scalar() {
    for (text, expected) in [
        ("!!str ~", "~"),
        ("! ~", ""),
        ("!!null ''", ""),
        ("!!null null", ""),
        ("!!null x", "x"),
        ("! '~'", "~"),
    ] {
        assert_eq!(read(text).unwrap().unwrap().text(), Some(expected), "{text}");
    }
}

#[test]
fn lines_end_as_in_yaml_1_1() {
    let text = "a: 1\nb: |\n  2\n  3\nc:\n- 'd'\n";
    let expected = without_positions(&read(text).unwrap().unwrap());
    for line_break in ['\u{85}', '\u{2028}', '\u{2029}'] {
        let text = text.replace('\n', &line_break.to_string());
        assert_eq!(without_positions(&read(&text).unwrap().unwrap()), expected, "{text:?}");
        // In a file, only line feeds end a line, as in editors.
        assert!(parse_only(&text, 1, &mut Budget::default()).is_err());
    }
}

#[test]
fn positions_are_those_of_the_original_text() {
    let node = read("x: é\u{85}a: 1\r\nb: \u{2028} c\n").unwrap().unwrap();
    let position = |key: &str| node.at(&[key]).unwrap().position;
    assert_eq!(position("a"), Position { line: 1, column: 9 });
    assert_eq!(position("b"), Position { line: 2, column: 6 });
    let error = read("a: b\u{85}a: c\n").unwrap_err();
    assert_eq!(error.position, Position { line: 1, column: 6 });
}

#[test]
fn text_after_the_end_marker_is_ignored() {
    for text in ["a: b\n... x: [", "a: b\n...\t'\n", "a: b\n...\n---\n[\n", "a: b\u{2028}... c"] {
        assert_eq!(texts(&read(text).unwrap().unwrap()), [("a", "b")], "{text:?}");
    }
    let node = read("a: |\n  b\n  ... c\nd: ...e\n").unwrap().unwrap();
    assert_eq!(texts(&node), [("a", "b\n... c\n"), ("d", "...e")]);
    assert!(parse_only("a: b\n... c\n", 1, &mut Budget::default()).is_err());
}

proptest! {
    /// Equivalent spellings of YAML 1.1 give the same value.
    #[test]
    fn equivalent_spellings_give_the_same_value(
        keys in proptest::collection::btree_map("[a-z]{1,6}", "[a-zA-Z0-9-]{1,10}", 1..6),
        line_break in "[\u{85}\u{2028}\u{2029}\n]",
        in_list: bool,
    ) {
        let plain = keys.iter().fold(String::new(), |text, (key, value)| format!("{text}{key}: \"{value}\"\n"));
        let base64 = |text: &str| data_encoding::BASE64.encode(text.as_bytes());
        let binary = keys.iter().fold(String::new(), |text, (key, value)| {
            format!("{text}!!binary {}: !!binary {}\n", base64(key), base64(value))
        });
        let merged = keys.iter().map(|(key, value)| format!("{{{key}: \"{value}\"}}")).collect::<Vec<_>>().join(", ");
        let merged = if in_list { format!("<<: [{merged}]\n") } else { format!("<<: [{merged}, {{}}]\n") };
        let expected = read(&plain).unwrap().unwrap();
        for other in [binary, merged, plain.replace('\n', &line_break), plain.clone() + "... [\n"] {
            let found = read(&other).unwrap().unwrap();
            prop_assert_eq!(texts(&found), texts(&expected), "{}", other);
        }
    }

    #[test]
    fn any_text_of_tags_merges_and_line_breaks_is_parsed_or_refused(
        text in "(<<|!!binary |!!merge |! |&a |#|\"|'|\\*a|\\[|\\]|\\{|\\}|: |, |a|YQ==|\n|\u{85}|\u{2028}|  |- |\\.\\.\\. |\t){0,60}"
    ) {
        let _ = read(&text);
        let _ = parse_only(&text, 1, &mut Budget::default());
    }
}
