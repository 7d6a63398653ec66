//! Edits, and the text that they leave unchanged.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::yaml::{self, Budget};

fn read(text: &str) -> Node {
    yaml::parse_only(text, 1, &mut Budget::default()).unwrap().unwrap()
}

/// Replaces `secret` of the first volume, appends a volume, and sets an account.
fn edited(text: &str) -> Result<String, EditError> {
    let root = read(text);
    let mut editor = Editor::new(text, 1);
    if let Some(volume) = root.at(&["volumes"]).and_then(|volumes| volumes.items().first()) {
        let secret = volume.entry("secret").unwrap();
        editor.replace(
            volume,
            secret,
            "csi",
            vec![("driver".to_owned(), Tree::text("d")), ("readOnly".to_owned(), Tree::True)],
        )?;
    }
    editor.append(&root, "volumes", vec![Tree::map([("name", Tree::text("new"))])])?;
    editor.set(&root, "account", Tree::text("sa"))?;
    Ok(editor.finish().unwrap())
}

#[test]
fn blocks_keep_their_comments_and_their_indentation() {
    let text = "# head\nvolumes:\n# first\n- name: a # a\n  secret: # why\n    secretName: s # s\n    # deep\n    defaultMode: 420 # rw\n# tail\nother: 1\n";
    assert_eq!(
        edited(text).unwrap(),
        "# head\nvolumes:\n# first\n- name: a # a\n  csi:\n    # why\n    # s\n    # deep\n    driver: d\n    readOnly: true # rw\n- name: new\n# tail\nother: 1\naccount: sa\n"
    );
}

#[test]
fn flow_style_and_json_keep_their_style() {
    let text = "{\"volumes\": [{\"name\": \"a\", \"secret\": {\"secretName\": \"s\"}}], \"account\": null}";
    let expected = "{\"volumes\": [{\"name\": \"a\", \"csi\": {\"driver\": \"d\", \"readOnly\": true}}, {\"name\": \"new\"}], \"account\": \"sa\"}";
    assert_eq!(edited(text).unwrap(), expected);
    assert_eq!(edited("{}").unwrap(), "{\"volumes\": [{\"name\": \"new\"}], \"account\": \"sa\"}");
    assert_eq!(edited("account: x\nvolumes: []\n").unwrap(), "account: sa\nvolumes:\n  - name: new\n");
}

#[test]
fn a_block_list_with_flow_items_stays_a_block_list() {
    let new = ["- name: new\n", "  - name: new\n"];
    for (volumes, indent) in [
        ("volumes:\n- {name: tmp}\n", 0),
        ("volumes:\n  - {name: tmp}\n", 1),
        ("volumes:\n- [tmp]\n", 0),
        ("volumes:\n- # why\n  {name: tmp}\n", 0),
        ("volumes:\n-\n  name: tmp\n", 0),
        ("volumes: !!seq\n  - {name: tmp}\n", 1),
    ] {
        let expected = format!("{volumes}{}account: sa\n", new[indent]);
        let text = volumes
            .replace("tmp}", "tmp, secret: {a: b}}")
            .replace("name: tmp\n", "name: tmp\n  secret: {a: b}\n");
        let edit = |text: &str| {
            let root = read(text);
            let mut editor = Editor::new(text, 1);
            editor.append(&root, "volumes", vec![Tree::map([("name", Tree::text("new"))])])?;
            editor.set(&root, "account", Tree::text("sa"))?;
            Ok::<_, EditError>(editor.finish().unwrap())
        };
        assert_eq!(edit(volumes).as_deref(), Ok(expected.as_str()), "{volumes}");
        assert!(read(&edit(&text).unwrap()).at(&["volumes"]).unwrap().items().len() == 2, "{text}");
    }
}

#[test]
fn a_trailing_comma_is_not_written_twice() {
    let text = "{volumes: [{name: a, secret: {}, }, ], account: x, }";
    assert_eq!(
        edited(text).unwrap(),
        "{volumes: [{name: a, \"csi\": {\"driver\": \"d\", \"readOnly\": true}, },  {\"name\": \"new\"}], \"account\": \"sa\", }"
    );
    let lines = "{volumes: [\n  {name: a, secret: {}}, # one, two\n],\n}\n";
    let root = read(&edited(lines).unwrap());
    assert_eq!(root.at(&["volumes"]).unwrap().items().len(), 2);
    assert_eq!(root.at(&["account"]).and_then(Node::text), Some("sa"));
}

#[test]
fn empty_values_and_missing_keys_are_set() {
    assert_eq!(
        edited("volumes: # none\naccount:\n").unwrap(),
        "volumes:\n  - name: new # none\naccount: sa\n"
    );
    assert_eq!(
        edited("a: |\n  b\n\n# c\n").unwrap(),
        "a: |\n  b\n\nvolumes:\n  - name: new\naccount: sa\n# c\n"
    );
    assert_eq!(edited("a: b").unwrap(), "a: b\nvolumes:\n  - name: new\naccount: sa");
    assert_eq!(edited("a: b\r\n").unwrap(), "a: b\r\nvolumes:\r\n  - name: new\r\naccount: sa\r\n");
}

#[test]
fn aliases_merges_and_anchors_are_not_edited() {
    for text in [
        "x: &x [{name: a, secret: {}}]\nvolumes: *x\n",
        "x: &x {secretName: s}\nvolumes:\n- secret: *x\n",
        "x: &x {secret: {secretName: s}}\nvolumes:\n- <<: *x\n",
        "x: &x {account: a}\n<<: *x\n",
    ] {
        assert_eq!(edited(text), Err(EditError::Aliased), "{text}");
    }
}

#[test]
fn comments_are_distinguished_from_text() {
    let text = "a: b # one\n# two\nc: 'd # no' # three\ne: \"f \\\" # no\"\ng: h#no\ni: it's # four\n#\n";
    assert_eq!(comments(text), ["one", "two", "three", "four"]);
}

proptest! {
    /// In any style, the edits are made and all other values stay unchanged.
    #[test]
    fn only_the_edited_values_change(
        indent in 0_usize..3,
        dash in 1_usize..3,
        comment in "( # [a-z '\"]{0,6})?",
        keys in proptest::collection::vec("[k-z]{1,3}", 0..3),
        last in prop_oneof!["v", "'v'", "\"v w\"", "\\|\n {6}v\n {6}w\n", "\\|-\n {6}v", "\\[1, 2\\]", "\\{a: b\\}"],
        end in prop_oneof!["", "\n"],
    ) {
        let spaces = |count: usize| " ".repeat(count);
        let mut text = format!("first: 1{comment}\nvolumes:{comment}\n");
        let inner = indent + 1 + dash;
        let _ = writeln!(text, "{}-{}name: v{comment}", spaces(indent), spaces(dash));
        let _ = writeln!(text, "{}secret:{comment}\n{}secretName: s{comment}", spaces(inner), spaces(inner + 1));
        for (index, key) in keys.iter().enumerate() {
            let _ = writeln!(text, "{}{key}{index}: {last}", spaces(inner));
        }
        let text = text.trim_end().to_owned() + &end;
        let (before, after) = (read(&text), read(&edited(&text).unwrap()));
        let plain = |node: &Node| strip(node);
        let volumes = |node: &Node| node.at(&["volumes"]).unwrap().items().iter().map(plain).collect::<Vec<_>>();
        let (old, new) = (volumes(&before), volumes(&after));
        prop_assert_eq!(new.len(), 2);
        prop_assert_eq!(&new[1], "{name: new, }");
        let expected = old[0].replace("secret: {secretName: s, }", "csi: {driver: d, readOnly: true, }");
        prop_assert_eq!(&new[0], &expected);
        prop_assert_eq!(after.at(&["account"]).and_then(Node::text), Some("sa"));
        prop_assert_eq!(after.at(&["first"]).and_then(Node::text), Some("1"));
    }
}

/// The text of a node without its positions.
fn strip(node: &Node) -> String {
    use yaml::Value;
    match &node.value {
        Value::Scalar(_) => node.text().unwrap().to_owned(),
        Value::Sequence(items) => items.iter().map(|item| strip(item) + ", ").collect(),
        Value::Mapping(entries) => {
            let entries = entries.iter().map(|entry| format!("{}: {}, ", entry.key, strip(&entry.value)));
            format!("{{{}}}", entries.collect::<String>())
        }
    }
}
