//! Key Vault's answers to a request for a secret, a key, a certificate, or the history of a secret: the first
//! line says which; then answers, one after another, with a line of three dashes between them.

#![no_main]

mod scripted;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use keyvault_csi_provider::fair::Party;
use keyvault_csi_provider::plan::ObjectPlan;
use keyvault_csi_provider::retry::Deadline;
use keyvault_csi_provider::secret::SecretText;
use keyvault_csi_provider::telemetry::Metrics;
use keyvault_csi_provider::tenant::Tenant;
use keyvault_csi_provider::trust::Trust;
use keyvault_csi_provider::vault::{FetchOptions, Vaults};
use libfuzzer_sys::fuzz_target;
use scripted::{ACCESS_TOKEN, Answer, SECRET, Script, plan, run};

static OBJECTS: LazyLock<[(&str, ObjectPlan); 4]> = LazyLock::new(|| {
    [
        ("secret", "- {objectName: name, objectType: secret}"),
        ("key", "- {objectName: name, objectType: key}"),
        ("certificate", "- {objectName: name, objectType: cert}"),
        ("history", "- {objectName: name, objectType: secret, objectVersionHistory: 3}"),
    ]
    .map(|(word, entry)| (word, plan(entry).objects.remove(0)))
});
static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(Arc::default);

/// Puts the secret where Key Vault has it. In no other place would it be one.
fn with_secret(mut answer: Answer) -> Answer {
    if let Ok(serde_json::Value::Object(mut body)) = serde_json::from_slice(&answer.body)
        && body.get("value").is_some_and(serde_json::Value::is_string)
    {
        body.insert("value".to_owned(), SECRET.into());
        answer.body = serde_json::Value::Object(body).to_string().into_bytes();
    }
    answer
}

fuzz_target!(|input: &[u8]| {
    let text = |secret: &str| input.windows(secret.len()).any(|part| part == secret.as_bytes());
    if text(SECRET) || text(ACCESS_TOKEN) {
        return;
    }
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return };
    let (word, mut rest) = (&input[..end], &input[end + 1..]);
    let Some((_, object)) = OBJECTS.iter().find(|(known, _)| known.as_bytes() == word) else { return };
    let mut answers = Vec::new();
    while let Some(end) = rest.windows(5).position(|part| part == b"\n---\n") {
        answers.extend(Answer::parse(&rest[..end]).map(with_secret));
        rest = &rest[end + 5..];
    }
    answers.extend(Answer::parse(rest).map(with_secret));
    if answers.is_empty() {
        return;
    }
    let token = SecretText::new(ACCESS_TOKEN.to_owned());
    let fetched = run(async {
        let vaults = Vaults::new(Script::transport(answers), None, Arc::clone(&METRICS));
        let deadline = Deadline::after(Duration::from_secs(2));
        let party = Party::new(Tenant::new("fuzz"));
        let options = FetchOptions {
            token: Some(&token),
            trust: Trust::Proven,
            party: &party,
            patience: deadline.left(),
            deadline,
            retries: true,
        };
        vaults.fetch(object, options).await
    });
    let text = match &fetched {
        Ok(object) => {
            assert!(!object.versions().is_empty(), "no version is no object");
            format!("{object:?}")
        }
        Err(error) => format!("{error} {error:?} {:?}", error.code()),
    };
    assert!(!text.contains(SECRET) && !text.contains(ACCESS_TOKEN), "{text}");
});
