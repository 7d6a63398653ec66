//! The JSON schema, which editors and Helm use, accepts the same policies as the parser.

use std::sync::LazyLock;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Map, Value};

use super::*;

static SCHEMA: LazyLock<(Schemas, SchemaIndex)> = LazyLock::new(|| {
    let schema = serde_json::from_str(include_str!("../../../docs/policy.schema.json")).unwrap();
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("policy.schema.json", schema).unwrap();
    let index = compiler.compile("policy.schema.json", &mut schemas).unwrap();
    (schemas, index)
});

/// Whether the schema accepts a policy, and the parser's result.
fn both(policy: &Value) -> (bool, Result<Policy, InvalidPolicy>) {
    let (schemas, index) = &*SCHEMA;
    (schemas.validate(policy, *index).is_ok(), Policy::parse(&policy.to_string()))
}

/// Values that a user may write where a text is expected.
fn text() -> impl Strategy<Value = Value> {
    let long = (252_usize..256).prop_map(|length| json!("a".repeat(length)));
    prop_oneof![
        8 => "(secret/|key/|cert/)?[a-z0-9*?-]{1,8}".prop_map(Value::from),
        2 => "[A-Za-z0-9.*?/_ -]{0,6}".prop_map(Value::from),
        2 => proptest::sample::select(vec!["workload-identity", "managed-identity", "service-principal", "identity-binding"]).prop_map(Value::from),
        1 => "\\PC{0,4}|[\u{0}-\u{a0}]{1,2}".prop_map(Value::from),
        1 => long,
        1 => proptest::sample::select(vec![json!(null), json!(7), json!(true), json!([]), json!({})]),
    ]
}

fn list() -> impl Strategy<Value = Value> {
    prop_oneof![8 => proptest::collection::vec(text(), 0..3).prop_map(Value::from), 1 => text()]
}

fn rule() -> impl Strategy<Value = Value> {
    const FIELDS: [&str; 7] =
        ["name", "namespaces", "serviceAccounts", "vaults", "objects", "identities", "service_accounts"];
    let fields = FIELDS.map(|field| {
        let value = if field == "name" { text().boxed() } else { list().boxed() };
        // The two required fields are mostly present, and the unknown one rarely.
        let probability = match field {
            "namespaces" | "vaults" => 0.95,
            "service_accounts" => 0.05,
            _ => 0.3,
        };
        proptest::option::weighted(probability, value).prop_map(move |value| (field, value))
    });
    fields.prop_map(|fields| {
        let present = fields.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?)));
        Value::Object(present.collect::<Map<_, _>>())
    })
}

#[test]
fn schema_and_parser_have_the_same_fields_and_limits() {
    let rule = json!({ "namespaces": ["a"], "vaults": ["b"] });
    let with = |field: &str, value: Value| {
        let mut rule = rule.clone();
        rule[field] = value;
        json!({ "rules": [rule] })
    };
    let good = [
        json!({ "rules": [rule] }),
        with("name", json!("x".repeat(100))),
        with("name", json!("für alle – ö".repeat(8))),
        with("serviceAccounts", json!(["a.b", "?*"])),
        with("objects", json!(["*", "secret/A-*", "key/?", "cert/x"])),
        with("vaults", json!(["Vault-*", "*.vault.azure.net"])),
        with(
            "identities",
            json!(["workload-identity", "identity-binding", "service-principal", "managed-identity"]),
        ),
    ];
    for policy in good {
        let (accepted, parsed) = both(&policy);
        assert!(accepted && parsed.is_ok(), "{policy}: {accepted}, {parsed:?}");
    }
    let bad = [
        json!({}),
        json!({ "rules": [] }),
        json!({ "rules": null }),
        json!({ "rules": [rule], "rule": [] }),
        json!({ "rules": [{ "namespaces": ["a"] }] }),
        json!({ "rules": [{ "vaults": ["a"] }] }),
        json!({ "rules": [null] }),
        with("name", json!("x".repeat(101))),
        with("name", json!("")),
        with("name", json!("a\nb")),
        with("name", json!("a\u{85}b")),
        with("namespaces", json!("a")),
        with("namespaces", json!(["A"])),
        with("serviceAccounts", json!(null)),
        with("serviceAccounts", json!(["a/b"])),
        with("vaults", json!(["https://a"])),
        with("objects", json!(["Secret/a"])),
        with("objects", json!([7])),
        with("identities", json!(["pod-identity"])),
        with("identities", json!([])),
        with("deny", json!(true)),
    ];
    for policy in bad {
        let (accepted, parsed) = both(&policy);
        assert!(!accepted && parsed.is_err(), "{policy}: {accepted}, {parsed:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_schema_accepts_what_the_parser_accepts(rules in proptest::collection::vec(rule(), 0..3)) {
        let policy = json!({ "rules": rules });
        let (accepted, parsed) = both(&policy);
        prop_assert_eq!(accepted, parsed.is_ok(), "{}: {:?}", policy, parsed);
    }
}
