//! The documentation is held to the program: its YAML parses, its classes are planned without a word, its
//! quotes are of the code and of the examples.

mod example;
mod link;
mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use keyvault_csi_provider::plan::{Attributes, Defaults, Endpoints, MountPlan, Request, VaultSuffix};
use keyvault_emulator::{Emulator, Secret, Seed, TokenBuilder};

use crate::harness::{Claim, World, files};
use example::{Class, Folder, Mount};
use page::Page;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_yaml_in_the_documentation_parses() {
    let mut blocks = 0;
    for page in Page::all() {
        for block in page.blocks.iter().filter(|block| block.language == "yaml") {
            blocks += 1;
            serde_saphyr::from_multiple::<serde_json::Value>(&block.dedented())
                .unwrap_or_else(|error| panic!("{}:{}: {error}", page.name, block.line));
        }
    }
    assert!(blocks > 0 && !Folder::all().is_empty());
}

#[test]
fn recipes_quote_the_examples_and_nothing_else() {
    let examples = Folder::all().into_iter().flat_map(|folder| folder.texts).collect::<Vec<_>>();
    let pages = Page::all().into_iter().filter(|page| page.name.starts_with("docs/recipes/"));
    let mut quotes = 0;
    for page in pages {
        for block in page.blocks.iter().filter(|block| matches!(block.language.as_str(), "yaml" | "dotenv")) {
            quotes += 1;
            assert!(
                examples.iter().any(|example| block.is_quoted_from(example)),
                "{}:{} is not, line for line, in a file of examples/",
                page.name,
                block.line
            );
        }
    }
    assert!(quotes > 0);
}

#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    let mut mistakes = Vec::new();
    let mut anchors = 0;
    for page in Page::all().into_iter().chain(Page::beside_code()) {
        anchors += page.links.iter().filter(|link| link.anchor.is_some()).count();
        mistakes
            .extend(page.links.iter().filter_map(|link| Some(format!("{}: {}", page.name, link.mistake()?))));
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    assert!(anchors > 10, "{anchors}");
}

/// Pages and headings that text outside of the pages names, such as `docs/runbook.md#keyvaultcsimountsslow`.
#[test]
fn every_page_that_the_program_and_the_chart_name_exists() {
    let folders = [
        ("src", "rs"),
        ("deploy", "yaml"),
        ("deploy", "tpl"),
        ("deploy", "txt"),
        ("tests", "rs"),
        ("tests", "go"),
    ];
    let mut named = 0;
    let mut mistakes = Vec::new();
    for (folder, extension) in folders {
        for file in page::below(&repository().join(folder), extension) {
            let text = std::fs::read_to_string(&file).unwrap();
            for link in link::named_pages(&text, repository()) {
                named += 1;
                mistakes.extend(link.mistake().map(|mistake| format!("{}: {mistake}", file.display())));
            }
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    assert!(named > 30, "{named}");
}

#[test]
fn every_test_that_the_documentation_names_exists() {
    let sources =
        ["src", "tests/it", "tests/emulator"].map(|folder| page::below(&repository().join(folder), "rs"));
    let sources =
        sources.concat().iter().map(|file| std::fs::read_to_string(file).unwrap()).collect::<Vec<_>>();
    let mut named = 0;
    for page in Page::all() {
        for test in &page.tests {
            named += 1;
            let (module, last) = test.rsplit_once("::").unwrap();
            let module = module.rsplit("::").next().unwrap();
            // A whole module, or one test.
            let declaration = match last {
                "" | "*" | "tests" => format!("mod {module};"),
                name => format!("fn {name}("),
            };
            assert!(sources.iter().any(|source| source.contains(&declaration)), "{}: {test}", page.name);
        }
    }
    assert!(named > 40, "{named}");
}

/// The package of a manifest.
fn package(manifest: &Path) -> String {
    let text = std::fs::read_to_string(manifest).unwrap();
    let name = text.lines().find_map(|line| line.strip_prefix("name = "));
    name.unwrap().trim_matches('"').to_owned()
}

#[test]
fn every_cargo_command_that_the_documentation_shows_names_what_exists() {
    let pages = Page::all().into_iter().map(|page| repository().join(page.name));
    let texts = pages.chain(page::below(&repository().join("tests"), "md"));
    let mut manifests = page::below(&repository().join("tests"), "toml");
    manifests.retain(|file| file.ends_with("Cargo.toml"));
    manifests.push(repository().join("Cargo.toml"));
    let packages = manifests.iter().map(|manifest| package(manifest)).collect::<BTreeSet<_>>();
    let mut named = 0;
    for path in texts {
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| line.contains("cargo ")) {
            let words = line.split([' ', '`', ',', ')']).filter(|word| !word.is_empty()).collect::<Vec<_>>();
            for pair in words.windows(2) {
                let exists = match *pair {
                    ["-p" | "--package", name] => packages.contains(name),
                    ["--example", name] => repository().join(format!("examples/{name}/main.rs")).exists(),
                    ["--bench", name] => repository().join(format!("benches/{name}.rs")).exists(),
                    ["--test", name] => repository().join(format!("tests/{name}/main.rs")).exists(),
                    _ => continue,
                };
                named += 1;
                assert!(exists, "{}: {pair:?} in {line:?}", path.display());
            }
        }
    }
    assert!(named > 8, "{named}");
}

#[test]
fn troubleshooting_is_keyed_by_the_words_of_the_program() {
    let sources = page::sources();
    let quotes = Page::read(&repository().join("docs/troubleshooting.md")).quoted_headings;
    assert!(quotes.len() > 30, "{quotes:?}");
    for quote in &quotes {
        assert!(sources.iter().any(|source| source.contains(quote.as_str())), "no source says {quote:?}");
    }
    let distinct = quotes.iter().collect::<BTreeSet<_>>();
    assert_eq!(distinct.len(), quotes.len(), "a heading is there twice");
}

#[tokio::test]
async fn every_class_that_is_shown_is_planned_without_a_word() {
    let emulator = Emulator::start(Seed::default()).await.unwrap();
    let mut planned = 0;
    let pages = Page::all();
    for folder in Folder::all().into_iter().chain(pages.iter().map(Folder::of)) {
        for (class, mount) in folder.uses() {
            let token = emulator.token(&class.namespace, mount.account.as_deref().unwrap_or("default"));
            let plan = plan(&folder, &claim(class, &mount, &token));
            let warnings = plan.warnings.iter().map(ToString::to_string).collect::<Vec<_>>();
            assert!(warnings.is_empty(), "{}, {}: {warnings:?}", folder.name, class.name);
            // What the driver copies into a Secret, it finds by its path.
            let paths = plan.objects.iter().map(|object| object.path.as_str()).collect::<BTreeSet<_>>();
            let missing = class.synced.iter().find(|synced| !paths.contains(synced.as_str()));
            assert_eq!(missing, None, "{}: of these files {} makes {paths:?} only", folder.name, class.name);
            planned += 1;
        }
    }
    assert!(planned > 5, "{planned}");
}

#[test]
fn pods_of_the_examples_name_what_is_beside_them() {
    let mut mounts = 0;
    for folder in Folder::all() {
        for mount in &folder.mounts {
            mounts += 1;
            let beside = folder.classes.iter().any(|class| {
                class.name == mount.class
                    && mount.namespace.as_ref().is_none_or(|space| *space == class.namespace)
            });
            assert!(beside, "{}: no class {} for {mount:?}", folder.name, mount.class);
            if let (Some(account), false) = (&mount.account, folder.accounts.is_empty()) {
                let known = folder.accounts.iter().any(|known| known == account);
                assert!(known, "{}: no ServiceAccount {account} for {mount:?}", folder.name);
            }
        }
    }
    assert!(mounts > 5, "{mounts}");
}

#[tokio::test]
async fn veleros_recipe_gives_the_plugin_every_key_it_needs() {
    const SECRET: &str = "the client secret of that application";
    let parts = [
        ("velero-subscription-id", "33333333-3333-4333-8333-333333333333"),
        ("velero-tenant-id", "00000000-0000-4000-8000-000000000001"),
        ("velero-client-id", "44444444-4444-4444-8444-444444444444"),
        ("velero-client-secret", SECRET),
    ];
    let text = std::fs::read_to_string(repository().join("examples/velero/cloud-credentials.env")).unwrap();
    let mut seed = Seed::from_yaml(include_str!("../../examples/quickstart/seed.yaml")).unwrap();
    let vault = seed.vaults.iter_mut().find(|vault| vault.name == "backup-vault").unwrap();
    vault.secrets = vec![Secret::new("velero-cloud-credentials", &text)];
    vault.secrets.extend(parts.map(|(name, value)| Secret::new(name, value)));
    let world = World::with(seed, &[]).await;
    let folder = Folder::named("velero");
    // The server's and the node agent's.
    assert_eq!(folder.mounts.len(), 2);
    assert_eq!(folder.classes.len(), 2, "of one secret, and of its parts");
    for (mount, class) in
        folder.mounts.iter().flat_map(|mount| folder.classes.iter().map(move |class| (mount, class)))
    {
        let account = mount.account.as_deref().unwrap();
        let token = world.emulator.token("velero", account);
        let response = world.mount(&claim(class, mount, &token)).await.unwrap();
        let [(path, contents)] = files(&response)[..] else { panic!("{response:?}") };
        assert_eq!(mount.environment["AZURE_CREDENTIALS_FILE"], format!("{}/{path}", mount.path));
        if class.name == mount.class {
            assert_eq!(contents, text.as_bytes());
        }
        let pairs = dotenvy::from_read_iter(contents).map(Result::unwrap).collect::<BTreeMap<_, _>>();
        // Velero's plugin for Microsoft Azure, README, "Option 1: Create service principal".
        let needed = [
            "AZURE_SUBSCRIPTION_ID",
            "AZURE_TENANT_ID",
            "AZURE_CLIENT_ID",
            "AZURE_CLIENT_SECRET",
            "AZURE_RESOURCE_GROUP",
            "AZURE_CLOUD_NAME",
        ];
        assert_eq!(pairs.keys().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from(needed));
        assert_eq!(pairs["AZURE_CLIENT_SECRET"], SECRET);
    }
}

#[tokio::test]
async fn kinds_seed_trusts_the_pods_of_its_cluster() {
    let kind = Folder::named("kind");
    let seed = Seed::from_yaml(&kind.config("seed.yaml")).unwrap();
    let issuer = seed.identities[0].federated_credentials[0].issuer.clone();
    let world = World::with(seed, &[]).await;
    let folder = Folder::named("workload-identity");
    let (class, mount) = (&folder.classes[0], &folder.mounts[0]);
    let account = mount.account.as_deref().unwrap();
    let response = |issuer: &str| {
        let token = world.emulator.token(&class.namespace, account).issuer(issuer);
        let claim = claim(class, mount, &token);
        let world = &world;
        async move { world.mount(&claim).await }
    };
    let mounted = response(&issuer).await.unwrap();
    assert_eq!(files(&mounted), [("db-password", b"correct horse battery staple".as_slice())]);
    assert!(response("https://elsewhere.example").await.is_err());
}

/// The request that the driver makes of a class for a pod.
fn claim(class: &Class, mount: &Mount, token: &TokenBuilder) -> Claim {
    let mut claim = Claim::new(&token.build());
    claim.attributes.retain(|key, _| key.contains('/'));
    claim.attributes.extend(class.parameters.clone());
    if mount.secret.is_some() {
        let credentials = serde_json::json!({
            "clientid": "55555555-5555-4555-8555-555555555555",
            "clientsecret": "a client secret",
        });
        claim.secrets = credentials.to_string();
    }
    claim
        .set("secretProviderClass", &class.name)
        .set("csi.storage.k8s.io/pod.namespace", &class.namespace)
        .set("csi.storage.k8s.io/serviceAccount.name", mount.account.as_deref().unwrap_or("default"))
}

/// The plan of a class, under the flags and files that its folder gives the provider.
fn plan(folder: &Folder, claim: &Claim) -> MountPlan {
    let request = claim.request();
    let attributes = Attributes::parse("attributes", &request.attributes).unwrap();
    let secrets = Attributes::parse("secrets", &request.secrets).unwrap();
    let mut defaults = Defaults::default();
    let suffixes = folder.allowed_vault_suffixes.iter().map(|suffix| VaultSuffix::parse(suffix).unwrap());
    defaults.allowed_vault_suffixes = suffixes.collect();
    let environment = attributes.cloud_environment_file(&defaults).map(|file| {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        Endpoints::from_environment_file(folder.config(&name).as_bytes())
    });
    let request = Request {
        attributes: &attributes,
        secrets: &secrets,
        target_path: &request.target_path,
        permission: &request.permission,
        environment,
    };
    MountPlan::parse(request, &defaults).unwrap_or_else(|error| {
        panic!("{}, {}: {error}", folder.name, claim.attributes["secretProviderClass"])
    })
}
