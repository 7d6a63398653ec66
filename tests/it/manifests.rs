//! Every `SecretProviderClass` in `tests/data/manifests` has the result in its `expected.yaml`.

pub mod case;

use std::collections::{BTreeMap, BTreeSet};

use keyvault_csi_provider::proto::MountResponse;
use keyvault_emulator::{
    Emulator, IDENTITY_BINDING_AUDIENCE, Options, Seed, TOKEN_EXCHANGE_AUDIENCE, TokenBuilder,
};
use tonic::{Code, Status};

use crate::harness::{Claim, World};
use case::{Case, Expectation, Expected};

#[tokio::test]
async fn every_class_has_its_expected_result() {
    let seed = case::seed();
    let cases = Case::all();
    // One process serves all classes with the same flags, as on a node. A case that checks the hosts of its requests has
    // its own process, whose token cache is empty.
    let mut processes: BTreeMap<_, Vec<&Case>> = BTreeMap::new();
    for case in &cases {
        let alone = case.expected.hosts.is_some().then_some(&case.name);
        processes.entry((&case.expected.arguments, alone)).or_default().push(case);
    }
    let mut failures = Vec::new();
    for ((arguments, _), cases) in processes {
        let world = world(seed.clone(), arguments).await;
        for case in cases {
            let wrong = run(case, &world).await;
            failures.extend(wrong.into_iter().map(|wrong| format!("{}: {wrong}", case.name)));
        }
    }
    assert!(!cases.is_empty() && failures.is_empty(), "of {} cases:\n{}", cases.len(), failures.join("\n"));
}

#[test]
fn every_parameter_and_every_field_is_used_in_a_class() {
    let cases = Case::all();
    for parameter in [
        "keyvaultName",
        "tenantID",
        "tenantId",
        "clientID",
        "usePodIdentity",
        "useVMManagedIdentity",
        "userAssignedIdentityID",
        "useAzureTokenProxy",
        "cloudName",
        "cloudEnvFileName",
        "objects",
    ] {
        let mut classes = cases.iter().map(|case| &case.class.parameters);
        assert!(classes.any(|parameters| parameters.contains_key(parameter)), "{parameter}");
    }
    for field in [
        "objectName",
        "objectType",
        "objectAlias",
        "objectVersion",
        "objectVersionHistory",
        "objectFormat",
        "objectEncoding",
        "filePermission",
    ] {
        let mut objects = cases.iter().map(|case| &case.class.parameters["objects"]);
        assert!(objects.any(|objects| objects.contains(&format!("{field}: "))), "{field}");
    }
}

/// The differences between a case's result and the expected one.
async fn run(case: &Case, world: &World) -> Vec<String> {
    let answer = world.mount(&claim(case, world)).await;
    let mut wrong = match &case.expected.outcome {
        Expectation::Mounted(expected) => mounted(answer, expected),
        Expectation::Refused(words) => refused(answer, words),
    };
    if let Some(expected) = &case.expected.hosts {
        let asked = world.emulator.requests().into_iter().map(|request| request.host);
        let asked = asked.filter(|host| host != API_SERVER).collect::<BTreeSet<_>>();
        if asked != *expected {
            wrong.push(format!("asked {asked:?} instead of {expected:?}"));
        }
    }
    wrong
}

/// The host of the cluster's API server, which is asked for the keys of service account tokens.
const API_SERVER: &str = "127.0.0.1";

/// A provider in a cluster with identity binding, on a node with managed identities.
async fn world(seed: Seed, arguments: &[String]) -> World {
    let api_server_name = Some("hcp-kubernetes.0123456789abcdef.svc.cluster.local".to_owned());
    let options = Options { api_server_name, ..Options::default() };
    let emulator = Emulator::start_with(seed, options).await.unwrap();
    let azure = [
        format!("--imds-endpoint=http://{}/", emulator.imds_address()),
        format!("--token-proxy-url=https://{}/", emulator.address()),
    ];
    let arguments = azure.iter().chain(arguments).map(String::as_str).collect::<Vec<_>>();
    World::in_cluster(emulator, &arguments)
}

/// The driver's request for the class and its pod.
fn claim(case: &Case, world: &World) -> Claim {
    let token = |audience: &str| {
        let token: TokenBuilder = world.emulator.token(&case.class.namespace, &case.expected.account);
        serde_json::json!({ "token": token.audience(audience).build(), "expirationTimestamp": "2099-01-01T00:00:00Z" })
    };
    let tokens =
        [TOKEN_EXCHANGE_AUDIENCE, IDENTITY_BINDING_AUDIENCE].map(|audience| (audience, token(audience)));
    let tokens = serde_json::json!(BTreeMap::from(tokens)).to_string();
    let mut claim = Claim::new("");
    claim.attributes = case.class.parameters.clone();
    if let Some(secret) = &case.expected.secret {
        claim.secrets = serde_json::json!(secret).to_string();
    }
    claim
        .set("csi.storage.k8s.io/pod.name", "shop-0")
        .set("csi.storage.k8s.io/pod.namespace", &case.class.namespace)
        .set("csi.storage.k8s.io/pod.uid", "0f4ee5b8-0000-4000-8000-000000000000")
        .set("csi.storage.k8s.io/serviceAccount.name", &case.expected.account)
        .set("csi.storage.k8s.io/serviceAccount.tokens", &tokens)
        .set("csi.storage.k8s.io/ephemeral", "true")
        .set("secretProviderClass", &case.class.name)
}

/// The differences between a response and the expected one. The order of the files is ignored.
fn mounted(answer: Result<MountResponse, Status>, expected: &Expected) -> Vec<String> {
    let mut response = match answer {
        Ok(response) => response,
        Err(status) => return vec![format!("{status:?}")],
    };
    response.files.sort_by(|one, other| one.path.cmp(&other.path));
    let paths = response.files.iter().map(|file| &file.path).collect::<Vec<_>>();
    let wanted = expected.files.iter().map(|file| &file.path).collect::<Vec<_>>();
    if paths != wanted {
        return vec![format!("the files are {paths:?} instead of {wanted:?}")];
    }
    let mut wrong = Vec::new();
    for (file, wanted) in response.files.iter().zip(&expected.files) {
        let mode = format!("{:04o}", file.mode);
        if mode != wanted.mode {
            wrong.push(format!("{} has the mode {mode} instead of {}", file.path, wanted.mode));
        }
        if file.contents != wanted.contents {
            let (found, wanted) = (shown(&file.contents), shown(&wanted.contents));
            wrong.push(format!("{} contains {found} instead of {wanted}", file.path));
        }
    }
    let versions = response.object_version.into_iter().map(|version| (version.id, version.version));
    let versions = versions.collect::<Vec<_>>();
    if versions != expected.versions {
        wrong.push(format!("the versions are {versions:?} instead of {:?}", expected.versions));
    }
    wrong
}

fn shown(contents: &[u8]) -> String {
    std::str::from_utf8(contents).map_or_else(|_| format!("{contents:02x?}"), |text| format!("{text:?}"))
}

/// The differences between an answer and a refusal with these words.
fn refused(answer: Result<MountResponse, Status>, words: &[String]) -> Vec<String> {
    match answer {
        Ok(_) => vec!["it mounts".to_owned()],
        Err(status) if status.code() != Code::InvalidArgument => vec![format!("{status:?}")],
        Err(status) => {
            let missing = words.iter().filter(|words| !status.message().contains(words.as_str()));
            missing.map(|words| format!("{words:?} is not in {:?}", status.message())).collect()
        }
    }
}
