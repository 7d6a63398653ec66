//! Scripted answers instead of Azure's.

#![allow(dead_code, unused_imports, reason = "no target uses all of it")]

#[path = "class.rs"]
mod class;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::http::headers::{AUTHORIZATION, HeaderName, Headers};
use azure_core::http::{AsyncRawResponse, HttpClient, Request, StatusCode, Transport};
use keyvault_csi_provider::plan::{Attributes, Defaults, MountPlan, Request as Mount, VaultSuffix};

pub use class::POD_TOKEN;
use class::attributes;

/// No error may contain these.
pub const ACCESS_TOKEN: &str = "the-access-token";
pub const SECRET: &str = "the-value-of-the-secret";

/// The only host that may receive access tokens.
pub const VAULT_HOST: &str = "vault.keys.corp.example";

/// One answer: a line with a status, lines of headers, an empty line, and the body.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn parse(input: &[u8]) -> Option<Self> {
        let end = input.windows(2).position(|pair| pair == b"\n\n")?;
        let head = std::str::from_utf8(&input[..end]).ok()?;
        let mut lines = head.lines();
        let status = lines.next()?.parse().ok()?;
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers =
            headers.map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        // hyper refuses others.
        let headers = headers.filter(|(name, _)| name.bytes().all(|byte| byte.is_ascii_graphic()));
        Some(Self { status, headers: headers.collect(), body: input[end + 2..].to_vec() })
    }
}

/// Sends one answer after another, and repeats the last one.
#[derive(Debug)]
pub struct Script(Mutex<VecDeque<Answer>>);

impl Script {
    pub fn transport(answers: Vec<Answer>) -> Transport {
        Transport::new(Arc::new(Self(Mutex::new(answers.into()))))
    }
}

#[async_trait]
impl HttpClient for Script {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        if request.headers().get_optional_str(&AUTHORIZATION).is_some() {
            assert_eq!(request.url().host_str(), Some(VAULT_HOST), "a token goes to its vault only");
        }
        // A client that retries without end reaches its deadline.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut answers = self.0.lock().expect("no panic while the lock is held");
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        let Answer { status, headers: given, body } = answer.expect("the script has an answer");
        let mut headers = Headers::new();
        for (name, value) in given {
            headers.insert(HeaderName::from(name), value);
        }
        Ok(AsyncRawResponse::from_bytes(StatusCode::from(status), headers, body))
    }
}

/// The plan of a mount of one object from a vault below a suffix that the operator allows.
pub fn plan(object: &str) -> MountPlan {
    let attributes = attributes(("vaultURL", &format!("https://{VAULT_HOST}/")), object);
    let suffix = VaultSuffix::parse("keys.corp.example").expect("it is a suffix");
    let defaults = Defaults { allowed_vault_suffixes: vec![suffix], ..Defaults::default() };
    let request = Mount {
        attributes: &attributes,
        secrets: &Attributes::default(),
        target_path: "/target",
        permission: "420",
        environment: None,
    };
    MountPlan::parse(request, &defaults).expect("the class is right")
}

/// Runs the future with paused time, which advances when no task has work to do.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O always starts").block_on(work)
}
