use std::collections::BTreeSet;

use super::*;

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/entra-codes.md"));

/// A row of the documentation's table, without its source.
fn row(entry: &EntraCode) -> String {
    let code = |code: &&str| if is_number(code) { format!("AADSTS{code}") } else { format!("`{code}`") };
    let codes = entry.codes.iter().map(code).collect::<Vec<_>>().join(", ");
    let fix = match &entry.fix {
        Same(fix) => (*fix).to_owned(),
        Each { federated, secret, certificate } => {
            let kinds =
                [("Pod's token", federated), ("Client secret", secret), ("Client certificate", certificate)];
            let given = kinds.iter().filter(|(_, fix)| **fix != NO_CODE);
            given.map(|(kind, fix)| format!("{kind}: {fix}")).collect::<Vec<_>>().join("<br>")
        }
    };
    format!("| {codes} | {} | {fix} |", entry.about)
}

fn is_number(code: &str) -> bool {
    code.bytes().all(|byte| byte.is_ascii_digit())
}

#[test]
fn the_documentation_has_the_same_table_with_a_source_for_each_row() {
    let rows = PAGE.lines().filter(|line| line.starts_with("| AADSTS") || line.starts_with("| `"));
    let rows = rows.collect::<Vec<_>>();
    let mut missing = Vec::new();
    for (entry, number) in TABLE.iter().zip(0..) {
        let expected = row(entry);
        let source = rows.get(number).and_then(|line| line.strip_prefix(&expected));
        if source.and_then(|source| source.trim().strip_suffix('|')).is_none_or(|text| text.trim().is_empty())
        {
            missing.push(expected);
        }
    }
    assert!(
        missing.is_empty(),
        "docs/entra-codes.md must have these rows, in this order:\n{}",
        missing.join("\n")
    );
    assert_eq!(rows.len(), TABLE.len(), "docs/entra-codes.md has rows that the program does not know");
}

#[test]
fn no_code_occurs_twice() {
    let codes = TABLE.iter().flat_map(|entry| entry.codes).collect::<Vec<_>>();
    let distinct = codes.iter().collect::<BTreeSet<_>>();
    assert_eq!(codes.len(), distinct.len());
}

/// Parts of a login that Entra checks one after another, with the words that send a reader to them.
const PARTS: [(&str, &[&str]); 4] = [
    ("cloud", &["cloudName"]),
    ("application", &["clientID", "client id"]),
    (
        "credential",
        &[
            "federated credential",
            "client secret",
            "clientsecret",
            "certificate",
            "nodePublishSecretRef",
            "signature",
        ],
    ),
    ("clock", &["clock"]),
];

/// What an answer with one of these codes has proven right.
const PROVEN: &[(&[&str], &[&str])] = &[
    (&["900382", "900432", "90038"], &["credential", "application", "clock"]),
    (
        &["90051", "50049", "90002", "900023", "500021", "500022", "5000224"],
        &["credential", "application", "clock"],
    ),
    (&["500212", "500213"], &["cloud", "credential", "clock"]),
    (&["700016", "700011"], &["cloud", "credential", "clock"]),
    (&["7000229", "7000112", "70001", "90099"], &["cloud", "application", "credential", "clock"]),
    (&["70021", "700213", "700211", "700212", "700222", "700229"], &["cloud", "application", "clock"]),
    (&["700024"], &["cloud", "application"]),
    (&["7000215", "7000222"], &["cloud", "clock"]),
    (&["53003", "530032", "50105", "501051"], &["cloud", "application", "credential", "clock"]),
    (&["500011", "500014", "70011", "invalid_scope"], &["application", "credential", "clock"]),
    (
        &["50196", "90055", "50053", "90033", "90036", "90012", "90006", "50033"],
        &["cloud", "application", "credential", "clock"],
    ),
];

#[test]
fn no_fix_points_at_what_the_answer_has_proven_right() {
    let logins = [LoginKind::Federated, LoginKind::Secret, LoginKind::Certificate];
    for (codes, proven) in PROVEN {
        for code in *codes {
            let entry = EntraCode::find(code).unwrap_or_else(|| panic!("{code} is not in the table"));
            let words = PARTS.iter().filter(|(part, _)| proven.contains(part)).flat_map(|(_, words)| *words);
            for (word, login) in words.flat_map(|word| logins.map(|login| (word, login))) {
                // Its own subject may be named: an expired credential, a missing one.
                let fix = entry.fix(login);
                assert!(!fix.contains(word), "AADSTS{code}, {login:?}: {word:?} is in {fix:?}");
            }
        }
    }
    for neutral in [UNKNOWN_CODE, NO_CODE] {
        let mut words = PARTS.iter().flat_map(|(_, words)| *words);
        assert!(words.all(|word| !neutral.contains(word)), "{neutral}");
    }
}

#[test]
fn every_placeholder_is_known() {
    for entry in TABLE {
        for login in [LoginKind::Federated, LoginKind::Secret, LoginKind::Certificate] {
            let mut fix = entry.fix(login).to_owned();
            for name in ["{client}", "{tenant}"] {
                fix = fix.replace(name, "");
            }
            if login == LoginKind::Federated {
                fix = ["{subject}", "{issuer}", "{audience}"]
                    .iter()
                    .fold(fix, |fix, name| fix.replace(name, ""));
            }
            assert!(!fix.contains(['{', '}']), "{:?}, {login:?}: {fix}", entry.codes);
        }
    }
}
