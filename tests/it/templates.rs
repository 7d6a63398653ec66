//! `templates`: files made of several objects.

use keyvault_emulator::{Identity, Secret, SecretPermission, Seed, Vault};
use tonic::Code;

use crate::harness::{APP, World, files};

/// What breaks naive quoting.
const AWKWARD: &str = "a \"b\" 'c' $HOME `id` \\ #x\nsecond";

fn seed() -> Seed {
    Seed::default().identity(Identity::new("myapp", APP).federated("default", "workload-identity-sa")).vault(
        Vault::new("myKeyVault")
            .access("myapp", &[SecretPermission::Get])
            .secret(Secret::new("user", "shop"))
            .secret(Secret::new("password", "p@ss w/rd"))
            .secret(Secret::new("awkward", AWKWARD))
            .secret(Secret::new("binary", "/wD+"))
            .secret(Secret::new("database", r#"{"host":"db","port":5432}"#)),
    )
}

const OBJECTS: &str = "- {objectName: user, objectType: secret}\n\
    - {objectName: password, objectType: secret, hidden: true}\n\
    - {objectName: awkward, objectType: secret, hidden: true}\n\
    - {objectName: binary, objectType: secret, hidden: true, objectEncoding: base64}\n\
    - {objectName: database, objectType: secret, objectAlias: db, hidden: true}\n\
    - {objectName: nowhere, objectType: secret, hidden: true, optional: true}\n";

/// The parameter with one file of this text.
fn template(text: &str) -> String {
    serde_json::json!([{ "path": "out", "template": text }]).to_string()
}

async fn rendered(world: &World, text: &str) -> Result<String, tonic::Status> {
    let claim = world.claim().objects(OBJECTS).set("templates", &template(text));
    let mounted = world.mount(&claim).await?;
    let file = mounted.files.iter().find(|file| file.path == "out").unwrap();
    Ok(String::from_utf8(file.contents.clone()).unwrap())
}

#[tokio::test]
async fn a_file_is_made_of_several_objects_and_hidden_ones_have_none_of_their_own() {
    let world = World::with(seed(), &[]).await;
    let templates = "- path: app/connection\n  filePermission: 0400\n  template: |\n    postgres://{{ objects[\"user\"] }}:{{ objects[\"password\"] | urlencode }}@{{ (objects[\"db\"] | from_json).host }}\n";
    let claim = world.claim().objects(OBJECTS).set("templates", templates);
    let mounted = world.mount(&claim).await.unwrap();
    assert_eq!(
        files(&mounted),
        [("user", b"shop".as_slice()), ("app/connection", b"postgres://shop:p%40ss%20w%2Frd@db\n")]
    );
    assert_eq!(mounted.files[1].mode, 0o400);
}

#[tokio::test]
async fn filters_quote_for_where_the_value_goes() {
    let world = World::with(seed(), &[]).await;
    for (text, expected) in [
        ("{{ objects.user }}\n", "shop\n"),
        ("{{ objects['database'] | from_json | json }}", r#"{"host":"db","port":5432}"#),
        ("{{ (objects.db | from_json).port }}", "5432"),
        ("{{ objects.user | b64encode }}", "c2hvcA=="),
        ("{{ objects.binary | b64encode }}", "/wD+"),
        ("{{ 'c2hvcA==' | b64decode }}", "shop"),
        ("{{ objects.user | upper | lower | trim }}", "shop"),
        ("{{ objects.nowhere | default('none') }}", "none"),
        ("{% if objects.nowhere is defined %}there{% else %}not there{% endif %}", "not there"),
        (
            "{% for name in ['user', 'password'] %}{{ name }}={{ objects[name] }};{% endfor %}",
            "user=shop;password=p@ss w/rd;",
        ),
        ("{{ 'a\nb' | indent(2) }}", "a\n  b"),
        ("{{ objects.password | json }}", "\"p@ss w/rd\""),
        ("{{ '<&>\\u2028' | json }}", "\"<&>\\u2028\""),
        ("{{ '<&>\\u2028' | json_html }}", r#""\u003c\u0026\u003e\u2028""#),
        ("<{{ objects.user }}> & {{ '<' }}", "<shop> & <"),
    ] {
        assert_eq!(rendered(&world, text).await.unwrap(), expected, "{text}");
    }
}

#[tokio::test]
async fn quoted_values_are_read_back_by_a_dotenv_parser_and_by_a_shell() {
    let world = World::with(seed(), &[]).await;
    let values =
        [AWKWARD, "", "plain-1", "with space", "$HOME", "#", "\"", "'", "\\", "a=b", "tab\there", "ü"];
    for value in values {
        let constant = serde_json::to_string(value).unwrap();
        let text = rendered(&world, &format!("VALUE={{{{ {constant} | dotenv }}}}\n")).await.unwrap();
        let read = dotenvy::from_read_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(read, [("VALUE".to_owned(), value.to_owned())], "{text}");
    }

    let text = rendered(&world, "VALUE={{ objects.awkward | shell }}\n").await.unwrap();
    let script = format!("{text}printf %s \"$VALUE\"");
    let output = std::process::Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), AWKWARD);
}

#[tokio::test]
async fn what_a_template_cannot_do_is_an_error_with_line_and_column_and_without_a_value() {
    let world = World::with(seed(), &[]).await;
    let loops = "{% for a in objects.awkward %}{% for b in objects.awkward %}{% for c in objects.awkward %}\
                 {{ a }}{% endfor %}{% endfor %}{% endfor %}";
    for (text, words) in [
        (
            "x\n{{ objects['nope'] }}",
            "templates[0].template: line 2, column 12 of the template: no object is called \"nope\"",
        ),
        ("{{ objects.usr }}", "did you mean \"user\"?"),
        ("{{ user }}", "\"user\", which does not exist"),
        ("{{ objects.user", "line 1, column"),
        ("{{ objects[objects.user] }}", "line 1, column 4 of the template: no object has the computed name"),
        ("{{ objects.nowhere }}", "line 1, column 4 of the template: the value is undefined"),
        ("{{ (objects.db | from_json).user }}", "the value is undefined"),
        ("{{ objects.binary }}", "not text in UTF-8"),
        ("{{ objects.user | from_json }}", "the value is not JSON: line 1, column 1"),
        ("{{ objects.password | b64decode }}", "the value is not base64"),
        ("{{ objects.user + 1 }}", "line 1, column"),
        ("{% set x = 1 %}", "the statement \"set\" is not supported"),
        (loops, "the template takes too many steps"),
    ] {
        let status = rendered(&world, text).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{text}: {status:?}");
        assert!(status.message().contains(words), "{text}: {status:?}");
        for secret in ["shop", "p@ss"] {
            assert!(!status.message().contains(secret), "{text}: {status:?}");
        }
    }
}

#[tokio::test]
async fn a_wrong_parameter_is_refused_with_its_location() {
    let world = World::with(seed(), &[]).await;
    for (templates, words) in [
        ("x", "templates: it is not a list"),
        ("[]", "templates: the list is empty"),
        ("- x", "templates[0]: it is a scalar, not a mapping"),
        ("- {path: a}", "templates[0].template: it is missing"),
        ("- {template: a}", "templates[0].path: it is missing"),
        ("- {path: ../a, template: a}", "templates[0].path"),
        ("- {path: a, template: a, filePermission: 99}", "templates[0].filePermission"),
        ("- {path: user, template: a}", "\"user\" is also the file of objects[0]"),
        ("- {path: user/x, template: a}", "is inside \"user\""),
        ("- {path: a, template: [b]}", "templates[0].template: it is a list, not text"),
    ] {
        let claim = world.claim().objects(OBJECTS).set("templates", templates);
        match world.mount(&claim).await {
            Err(status) => assert!(status.message().contains(words), "{templates}: {status:?}"),
            Ok(_) if words.contains("is also") => drop(world.provider.log_with("is also the file of", 1)),
            Ok(mounted) => panic!("{templates}: {mounted:?}"),
        }
    }
    let hidden = "- {objectName: user, objectType: secret, hidden: true}";
    let status = world.refused(&world.claim().objects(hidden)).await;
    assert!(status.message().contains("objects[0].hidden: it has no effect without the parameter templates"));
}

#[tokio::test]
async fn generated_files_have_a_limit_together() {
    let seed = Seed::default()
        .identity(Identity::new("myapp", APP).federated("default", "workload-identity-sa"))
        .vault(
            Vault::new("myKeyVault")
                .access("myapp", &[SecretPermission::Get])
                .secret(Secret::new("large", serde_json::json!({ "value": "x".repeat(20_000) }).to_string())),
        );
    let world = World::with(seed, &[]).await;
    let object = "- objectName: large\n  objectType: secret\n";
    let fields = (0..14).map(|file| format!("    - {{path: value, objectAlias: file-{file}}}\n"));
    let fields = format!("{object}  jmesPath:\n{}", fields.collect::<String>());
    let status = world.refused(&world.claim().objects(&fields)).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("objects[0].jmesPath[13] (value) and what was selected"), "{status:?}");

    let text = "{{ objects.large }}".repeat(10);
    let templates = serde_json::json!([{ "path": "a", "template": text }, { "path": "b", "template": text }]);
    let claim = world.claim().objects(object).set("templates", &templates.to_string());
    let status = world.refused(&claim).await;
    assert!(status.message().contains("templates[1].template"), "{status:?}");
    assert!(status.message().contains("have more than 262144 bytes"), "{status:?}");
}
