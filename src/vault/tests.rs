//! Which versions belong to a history.

use proptest::prelude::*;

use super::versions::{Version, choose};
use super::*;
use crate::plan::{
    FileMode, ObjectEncoding, ObjectFormat, ObjectName, ObjectVersion, RelativePath, VaultSuffix,
};

fn object(version: &str) -> ObjectPlan {
    let suffix = VaultSuffix::parse("vault.azure.net").unwrap();
    ObjectPlan {
        location: "objects[0]".to_owned(),
        vault: VaultUrl::parse("https://a.vault.azure.net/", &[&suffix]).unwrap(),
        failover: None,
        optional: false,
        kind: ObjectKind::Secret,
        name: ObjectName::parse("a").unwrap(),
        version: ObjectVersion::parse(version).unwrap(),
        history: None,
        path: RelativePath::parse("a").unwrap(),
        mode: FileMode::parse_octal("0644").unwrap(),
        encoding: ObjectEncoding::Utf8,
        format: ObjectFormat::Pem,
        hidden: false,
        json_fields: Vec::new(),
    }
}

fn version(id: &str, created: i64, enabled: bool) -> Version {
    Version { id: id.to_owned(), enabled, created }
}

fn history(count: &str) -> History {
    History::parse(count).unwrap().unwrap()
}

#[test]
fn a_history_is_the_newest_enabled_versions_and_no_more() {
    let versions =
        vec![version("a", 10, true), version("c", 30, true), version("d", 40, false), version("b", 20, true)];
    assert_eq!(choose(versions.clone(), &object(""), history("2")).unwrap(), ["c", "b"]);
    assert_eq!(choose(versions.clone(), &object("latest"), history("100")).unwrap(), ["c", "b", "a"]);
    assert_eq!(choose(versions, &object("b"), history("2")).unwrap(), ["b", "a"]);
}

#[test]
fn an_empty_history_reports_why() {
    let failure =
        |versions, wanted: &str| choose(versions, &object(wanted), history("2")).unwrap_err().failure;
    assert_eq!(failure(Vec::new(), ""), VaultFailure::NotFound);
    assert_eq!(failure(vec![version("a", 1, true)], "b"), VaultFailure::NotFound);
    assert_eq!(failure(vec![version("a", 1, false)], ""), VaultFailure::Disabled);
}

proptest! {
    #[test]
    fn the_order_of_the_list_does_not_matter(
        (list, shuffled) in prop::collection::vec(("[a-d]{1,2}", 0_i64..3, any::<bool>()), 1..8)
            .prop_map(|list| list.into_iter().map(|(id, created, enabled)| version(&id, created, enabled)).collect::<Vec<_>>())
            .prop_filter("ids are distinct", |list| {
                let mut ids = list.iter().map(|version| &version.id).collect::<Vec<_>>();
                ids.sort();
                ids.windows(2).all(|pair| pair[0] != pair[1])
            })
            .prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle()))
    ) {
        let chosen = |list| choose(list, &object(""), history("3")).map_err(|error| error.failure);
        prop_assert_eq!(chosen(list), chosen(shuffled));
    }
}
