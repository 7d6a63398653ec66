//! Entra's answer to a token request, or with `node` in its first line that of a node's metadata service.
//! Where it says `{token}`, it echoes the pod's token.

#![no_main]

mod scripted;

use std::sync::{Arc, LazyLock};

use keyvault_csi_provider::clock::SystemClock;
use keyvault_csi_provider::fair::FairQueue;
use keyvault_csi_provider::identity::{Exchange, IMDS, TokenProxy, TokenSource};
use keyvault_csi_provider::plan::{Identity, ManagedIdentity, PlannedIdentity};
use libfuzzer_sys::fuzz_target;
use scripted::{Answer, POD_TOKEN, Script, plan, run};
use url::Url;

static POD: LazyLock<Identity> =
    LazyLock::new(|| match plan("- {objectName: name, objectType: secret}").identity {
        PlannedIdentity::Known(identity) => identity,
        PlannedIdentity::Annotated(_) => unreachable!("the class says who asks"),
    });
static NODE: Identity = Identity::Managed(ManagedIdentity { client: None });

fuzz_target!(|input: &[u8]| {
    // The node is sent no token that it could echo.
    let (identity, input, echo) = match input.strip_prefix(b"node\n") {
        Some(rest) => (&NODE, rest, ""),
        None => (&*POD, input, POD_TOKEN),
    };
    let Some(mut answer) = Answer::parse(input) else { return };
    if let Ok(text) = std::str::from_utf8(&answer.body) {
        answer.body = text.replace("{token}", echo).into_bytes();
    }
    let given = |name: &str| Url::parse(name).expect("it is a URL");
    let got = run(async {
        let transport = Script::transport(vec![answer]);
        let exchange = Exchange {
            entra: transport.clone(),
            node: transport,
            imds: given(IMDS),
            token_proxy: Arc::new(TokenProxy::new(given(TokenProxy::URL), None, "/nowhere".into())),
            heavy_work: FairQueue::new(1, 0),
            clock: Arc::new(SystemClock),
        };
        let (authority, scope) = (given("https://login.example/"), "https://keys.corp.example/.default");
        exchange.token(identity, &authority, scope, None).await
    });
    let told = match got {
        Ok(token) => format!("{token:?}"),
        Err(error) => {
            let told = error.to_string();
            assert!(told.len() < 4000 && !told.contains(char::is_control), "{told:?}");
            format!("{told} {error:?}")
        }
    };
    assert!(!told.contains(POD_TOKEN), "{told}");
});
