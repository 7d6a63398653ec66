//! `jmesPath`: fields of a JSON secret as files.

use keyvault_emulator::{Identity, Secret, SecretPermission, Seed, Vault};
use tonic::Code;

use crate::harness::{APP, World, files};

const DATABASE: &str = r#"{"user":"shop","password":"pa\"55","port":5432,"tls":true,"note":null,
    "hosts":["a","b"],"dotted.key":"dots","nested":{"b":1,"a":"x"}}"#;

fn seed() -> Seed {
    Seed::default().identity(Identity::new("myapp", APP).federated("default", "workload-identity-sa")).vault(
        Vault::new("myKeyVault")
            .access("myapp", &[SecretPermission::Get])
            .secret(Secret::new("database", DATABASE))
            .secret(Secret::new("encoded", "eyJ1c2VyIjoic2hvcCJ9"))
            .secret(Secret::new("text", "hunter2: not JSON")),
    )
}

/// The object `database` with these elements of `jmesPath`, and other fields.
fn object(fields: &[(&str, &str)], others: &str) -> String {
    let fields = fields.iter().map(|(path, alias)| {
        format!("    - path: {}\n      objectAlias: {alias}\n", serde_json::to_string(path).unwrap())
    });
    format!(
        "- objectName: database\n  objectType: secret\n{others}  jmesPath:\n{}",
        fields.collect::<String>()
    )
}

#[tokio::test]
async fn each_field_is_a_file_and_the_whole_secret_is_none() {
    let world = World::with(seed(), &[]).await;
    let fields = [
        ("user", "user"),
        ("password", "db/password"),
        ("port", "port"),
        ("tls", "tls"),
        ("hosts[1]", "second-host"),
        ("\"dotted.key\"", "dots"),
        ("nested", "nested.json"),
        ("{u: user, p: port}", "both.json"),
    ];
    let mounted = world.mount(&world.claim().objects(&object(&fields, ""))).await.unwrap();
    assert_eq!(
        files(&mounted),
        [
            ("user", b"shop".as_slice()),
            ("db/password", b"pa\"55"),
            ("port", b"5432"),
            ("tls", b"true"),
            ("second-host", b"b"),
            ("dots", b"dots"),
            ("nested.json", br#"{"a":"x","b":1}"#),
            ("both.json", br#"{"p":5432,"u":"shop"}"#),
        ]
    );
    assert_eq!(mounted.object_version.len(), 1, "one object was fetched");
}

#[tokio::test]
async fn a_field_has_its_own_mode_or_its_objects() {
    let world = World::with(seed(), &[]).await;
    let yaml = "- objectName: database\n  objectType: secret\n  filePermission: 0440\n  jmesPath:\n\
                \x20   - {path: user, objectAlias: user}\n\
                \x20   - {path: password, objectAlias: password, filePermission: 0400}\n";
    let mounted = world.mount(&world.claim().objects(yaml)).await.unwrap();
    let modes = mounted.files.iter().map(|file| file.mode).collect::<Vec<_>>();
    assert_eq!(modes, [0o440, 0o400]);
}

#[tokio::test]
async fn an_object_in_text_may_have_fields_and_an_encoding() {
    let world = World::with(seed(), &[]).await;
    let yaml = "array:\n  - |\n    objectName: encoded\n    objectType: secret\n    objectEncoding: base64\n\
                \x20   jmesPath:\n      - path: user\n        objectAlias: user\n";
    let mounted = world.mount(&world.claim().objects(yaml)).await.unwrap();
    assert_eq!(files(&mounted), [("user", b"shop".as_slice())]);
}

#[tokio::test]
async fn a_field_that_is_missing_or_null_fails_the_mount_unless_the_object_is_optional() {
    let world = World::with(seed(), &["--log-format-json"]).await;
    for path in ["nowhere", "note", "nested.c"] {
        let fields = [("user", "user"), (path, "missing")];
        let status = world.refused(&world.claim().objects(&object(&fields, ""))).await;
        assert_eq!(status.code(), Code::InvalidArgument);
        let words = format!("objects[0].jmesPath[1] ({path}) selects nothing or null");
        assert!(status.message().contains(&words), "{status:?}");
        let optional = object(&fields, "  optional: true\n");
        let mounted = world.mount(&world.claim().objects(&optional)).await.unwrap();
        assert_eq!(files(&mounted), [("user", b"shop".as_slice())]);
        world.provider.log_with(&format!("({path}): the secret has no such value"), 1);
    }
}

#[tokio::test]
async fn a_secret_that_is_not_json_is_named_and_never_quoted() {
    let world = World::with(seed(), &[]).await;
    let yaml = object(&[("user", "user")], "").replace("database", "text");
    let status = world.refused(&world.claim().objects(&yaml)).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().contains("the value is not JSON (syntax error at line 1, column 1)"),
        "{status:?}"
    );
    // A type error of a function could quote the value.
    let fields = [("sum(user)", "sum")];
    let status = world.refused(&world.claim().objects(&object(&fields, ""))).await;
    assert!(status.message().contains("argument of the wrong type"), "{status:?}");
    assert!(!status.message().contains("shop"), "{status:?}");
}

/// What `jmesPath` is combined with, and the refusal.
const REFUSED: [(&str, &str); 12] = [
    ("  objectAlias: all\n", "objects[0].objectAlias: it cannot be combined with jmesPath"),
    ("  objectFormat: PFX\n", "objects[0].objectFormat: it cannot be combined with jmesPath"),
    ("  objectVersionHistory: 2\n", "it cannot be combined with jmesPath"),
    ("  jmesPath: []\n", "objects[0].jmesPath: the list is empty"),
    ("  jmesPath: user\n", "jmesPath is text, not a list"),
    ("  jmesPath: {path: user}\n", "jmesPath is a mapping, not a list"),
    ("  jmesPath: [user]\n", "jmesPath[0] is a scalar, not a mapping"),
    ("  jmesPath:\n  - path: user\n", "objects[0].jmesPath[0].objectAlias: it is missing"),
    ("  jmesPath:\n  - objectAlias: user\n", "objects[0].jmesPath[0].path: it is missing"),
    ("  jmesPath:\n  - {path: a b, objectAlias: x}\n", "is not a JMESPath expression"),
    ("  jmesPath:\n  - {path: user, objectAlias: ../x}\n", "objects[0].jmesPath[0].objectAlias"),
    (
        "  jmesPath:\n  - {path: user, objectAlias: x}\n  - {path: port, objectAlias: x/y}\n",
        "objects[0].jmesPath[1]",
    ),
];

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_location() {
    let world = World::with(seed(), &[]).await;
    for (fields, words) in REFUSED {
        let list = if fields.contains("jmesPath") {
            ""
        } else {
            "  jmesPath:\n  - {path: user, objectAlias: user}\n"
        };
        let yaml = format!("- objectName: database\n  objectType: secret\n{fields}{list}");
        let status = world.refused(&world.claim().objects(&yaml)).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{yaml}");
        assert!(status.message().contains(words), "{yaml}\n{status:?}");
    }
    for kind in ["key", "cert"] {
        let yaml =
            object(&[("user", "user")], "").replace("objectType: secret", &format!("objectType: {kind}"));
        let status = world.refused(&world.claim().objects(&yaml)).await;
        assert!(status.message().contains(&format!("a {kind} has no JSON fields")), "{status:?}");
    }
}

/// A secret whose keys are the files, and others that cannot be.
fn seed_of_keys() -> Seed {
    let many = (0..1001).map(|index| format!("\"k{index}\":{index}")).collect::<Vec<_>>().join(",");
    Seed::default().identity(Identity::new("myapp", APP).federated("default", "workload-identity-sa")).vault(
        Vault::new("myKeyVault")
            .access("myapp", &[SecretPermission::Get])
            .secret(Secret::new("database", r#"{"b":"two","a.x":1,"c_d":null,"e-f":{"g":[true]},"h":""}"#))
            .secret(Secret::new("outer", r#"{"list":["hunter2"],"inner":{"user":"shop"}}"#))
            .secret(Secret::new("blank", r#"{"pass word":"hunter2"}"#))
            .secret(Secret::new("folder", r#"{"a/b":"hunter2"}"#))
            .secret(Secret::new("data", r#"{"..data":"hunter2"}"#))
            .secret(Secret::new("many", format!("{{{many}}}"))),
    )
}

#[tokio::test]
async fn a_star_makes_a_file_of_each_key_of_a_json_object() {
    let world = World::with(seed_of_keys(), &[]).await;
    let all: [(&str, &[u8]); 5] =
        [("a.x", b"1"), ("b", b"two"), ("c_d", b""), ("e-f", br#"{"g":[true]}"#), ("h", b"")];
    let mounted = world.mount(&world.claim().objects(&object(&[("@", "\"*\"")], ""))).await.unwrap();
    assert_eq!(files(&mounted), all);
    let mounted = world.mount(&world.claim().objects(&object(&[("@", "db/*.txt")], ""))).await.unwrap();
    let names = files(&mounted).into_iter().map(|(path, _)| path.to_owned()).collect::<Vec<_>>();
    assert_eq!(names, ["db/a.x.txt", "db/b.txt", "db/c_d.txt", "db/e-f.txt", "db/h.txt"]);
    // A part of the secret, and a mode of its own.
    let yaml = "- objectName: outer\n  objectType: secret\n  jmesPath:\n\
                \x20   - {path: inner, objectAlias: '*', filePermission: 0400}\n";
    let mounted = world.mount(&world.claim().objects(yaml)).await.unwrap();
    assert_eq!((files(&mounted), mounted.files[0].mode), (vec![("user", b"shop".as_slice())], 0o400));
}

#[tokio::test]
async fn of_files_with_one_path_the_last_one_wins() {
    let world = World::with(seed_of_keys(), &[]).await;
    let yaml = "- objectName: database\n  objectType: secret\n  jmesPath:\n\
                \x20   - {path: '{b: b, h: h}', objectAlias: '*'}\n\
                - objectName: outer\n  objectType: secret\n  jmesPath:\n\
                \x20   - {path: inner.user, objectAlias: b}\n";
    let mounted = world.mount(&world.claim().objects(yaml)).await.unwrap();
    assert_eq!(files(&mounted), [("b", b"shop".as_slice()), ("h", b"")]);
    // A key that is a folder of another file.
    let inside = yaml.replace("objectAlias: b}", "objectAlias: b/c}");
    let status = world.refused(&world.claim().objects(&inside)).await;
    assert!(status.message().contains("b/c"), "{status:?}");
}

#[tokio::test]
async fn a_key_that_cannot_name_a_file_is_an_error_without_key_and_value() {
    let world = World::with(seed_of_keys(), &[]).await;
    let key = "objects[0].jmesPath[0] (@) selects an object with a key that cannot be the * in objectAlias";
    for (name, path, words) in [
        ("blank", "@", key),
        ("folder", "@", key),
        ("data", "@", key),
        ("many", "@", "objects[0].jmesPath[0] (@) makes more than 1000 files"),
        ("outer", "list", "objects[0].jmesPath[0] (list) selects a value that is not a JSON object"),
        ("outer", "inner.user", "(inner.user) selects a value that is not a JSON object"),
        ("outer", "nowhere", "(nowhere) selects nothing or null"),
    ] {
        let yaml = object(&[(path, "\"*\"")], "").replace("database", name);
        let status = world.refused(&world.claim().objects(&yaml)).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{name}");
        assert!(status.message().contains(words), "{name}: {status:?}");
        for part in ["hunter2", "shop", "pass word", "a/b", "..data"] {
            assert!(!status.message().contains(part), "{name}: {status:?}");
        }
    }
    let status = world.refused(&world.claim().objects(&object(&[("@", "\"*/*\"")], ""))).await;
    assert!(status.message().contains("objects[0].jmesPath[0].objectAlias: \"*/*\" has more than one *"));
}

#[tokio::test]
async fn templates_use_fields_by_the_names_of_their_files_also_of_hidden_objects() {
    let world = World::with(seed(), &[]).await;
    let yaml = "- objectName: database\n  objectType: secret\n  hidden: true\n  optional: true\n  jmesPath:\n\
                \x20   - {path: user, objectAlias: user}\n\
                \x20   - {path: nowhere, objectAlias: nowhere}\n\
                \x20   - {path: nested, objectAlias: 'nested/*'}\n\
                - objectName: database\n  objectType: secret\n  jmesPath:\n\
                \x20   - {path: port, objectAlias: port}\n";
    let text = "{{ objects[\"user\"] }}:{{ objects[\"port\"] }}:{{ objects[\"nested/a\"] }}:\
                {% if objects[\"nowhere\"] is defined %}x{% endif %}";
    let template = serde_json::json!([{ "path": "out", "template": text }]).to_string();
    let claim = world.claim().objects(yaml).set("templates", &template);
    let mounted = world.mount(&claim).await.unwrap();
    assert_eq!(files(&mounted), [("port", b"5432".as_slice()), ("out", b"shop:5432:x:")]);
    // A name in the class takes precedence over a key of the same name.
    let yaml_of_keys = "- objectName: database\n  objectType: secret\n  hidden: true\n  jmesPath:\n\
                \x20   - {path: '@', objectAlias: '*'}\n\
                - objectName: database\n  objectType: secret\n  hidden: true\n  jmesPath:\n\
                \x20   - {path: port, objectAlias: user}\n";
    let template =
        serde_json::json!([{ "path": "out", "template": "{{ objects.user }}{{ objects.tls }}" }]).to_string();
    let mounted =
        world.mount(&world.claim().objects(yaml_of_keys).set("templates", &template)).await.unwrap();
    assert_eq!(files(&mounted), [("out", b"5432true".as_slice())]);
    let template = serde_json::json!([{ "path": "out", "template": "{{ objects.usr }}" }]).to_string();
    let status = world.refused(&world.claim().objects(yaml).set("templates", &template)).await;
    assert!(status.message().contains("no object is called \"usr\""), "{status:?}");
}
