//! Recorded answers of Azure.

use std::collections::BTreeMap;

use http::{StatusCode, Uri};
use serde::Deserialize;

use super::{Fault, Rule, RuleError, Target};
use crate::hosts::{self, Role};

/// A recorded answer of Azure, and its request. The emulator sends it for every such request to that host, with
/// a token or without; `$skiptoken` distinguishes the pages of a listing, and the version of the API is ignored.
///
/// ```
/// # use keyvault_emulator::Recorded;
/// let recorded = Recorded::from_json(
///     r#"{
///         "source": {"repository": "owner/name", "path": "sessions/one.json", "commit": "2b36ef5"},
///         "request": {"method": "GET", "url": "https://main.vault.azure.net/secrets/a?api-version=7.4"},
///         "response": {"status": 404, "headers": {"content-length": "2"}, "body": "{}"}
///     }"#,
/// )?;
/// assert_eq!(recorded.response.status, 404);
/// let rule = recorded.rule()?;
/// # Ok::<(), keyvault_emulator::RuleError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// The source of the recording.
    pub source: Source,
    /// The request.
    pub request: RecordedQuestion,
    /// Azure's answer.
    pub response: RecordedAnswer,
}

/// The source of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Owner and name of a public repository.
    pub repository: String,
    /// The file in it.
    pub path: String,
    /// The commit that has it.
    pub commit: String,
}

/// A request, as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedQuestion {
    /// The method, such as `GET`.
    pub method: String,
    /// The whole URL.
    pub url: String,
}

/// An answer, as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedAnswer {
    /// Its status.
    pub status: u16,
    /// The recorded headers, by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// Its body, byte for byte.
    pub body: String,
}

impl Recorded {
    /// Reads a recorded answer, and compares the length of its body with its `content-length`.
    pub fn from_json(json: &str) -> Result<Self, RuleError> {
        let recorded: Self = serde_json::from_str(json)
            .map_err(|error| RuleError(vec![format!("not a recorded answer: {error}")]))?;
        recorded.check().map(|()| recorded)
    }

    /// The rule that sends this answer to the recorded request.
    pub fn rule(&self) -> Result<Rule, RuleError> {
        let uri = self.uri()?;
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        let target = match hosts::role(&host) {
            Role::Entra => Target::Entra,
            Role::Vault => Target::Vault(hosts::vault_name(&host).to_owned()),
            Role::Issuer | Role::Any => {
                return Err(RuleError(vec![format!(
                    "request.url: {host:?} is neither a vault nor an authority of a public cloud"
                )]));
            }
        };
        Ok(Rule::new(target, Fault::Recorded(Box::new(self.clone()))))
    }

    /// Whether it is the answer to a request with this method, path and query.
    pub(super) fn answers(&self, method: &str, path_and_query: &str) -> bool {
        if self.request.method != method {
            return false;
        }
        let own = self.uri().ok().and_then(|uri| uri.path_and_query().map(ToString::to_string));
        own.is_some_and(|own| page(&own) == page(path_and_query))
    }

    fn uri(&self) -> Result<Uri, RuleError> {
        let url = &self.request.url;
        url.parse().map_err(|error| RuleError(vec![format!("request.url: {url:?} is not a URL: {error}")]))
    }

    fn check(&self) -> Result<(), RuleError> {
        let RecordedAnswer { status, headers, body } = &self.response;
        let mut findings = Vec::new();
        if StatusCode::from_u16(*status).is_err() {
            findings.push(format!("response.status: {status} is none"));
        }
        if let Some(length) = headers.get("content-length")
            && *length != body.len().to_string()
        {
            findings.push(format!(
                "response.body: it has {} bytes, and its content-length is {length}",
                body.len()
            ));
        }
        if findings.is_empty() { Ok(()) } else { Err(RuleError(findings)) }
    }
}

/// The path of a request, and the page of a listing.
fn page(path_and_query: &str) -> (String, Option<String>) {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let token = form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "$skiptoken")
        .map(|(_, token)| token.into_owned());
    (path.trim_end_matches('/').to_ascii_lowercase(), token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(url: &str, length: &str, body: &str) -> String {
        serde_json::json!({
            "source": {"repository": "o/n", "path": "p", "commit": "c"},
            "request": {"method": "GET", "url": url},
            "response": {"status": 200, "headers": {"content-length": length}, "body": body},
        })
        .to_string()
    }

    fn recorded(url: &str) -> Recorded {
        Recorded::from_json(&json(url, "2", "{}")).unwrap()
    }

    #[test]
    fn it_answers_the_request_that_it_was_for_whatever_the_version_of_the_api() {
        let first = recorded("https://one.vault.azure.net/secrets/a/versions?api-version=7.0&maxresults=2");
        let second =
            recorded("https://one.vault.azure.net/secrets/a/versions?$skiptoken=x%3D&api-version=7.0");
        for (path_and_query, answers) in [
            ("/secrets/a/versions?api-version=2025-07-01", [true, false]),
            ("/secrets/A/versions/?api-version=7.4", [true, false]),
            ("/secrets/a/versions?api-version=7.0&%24skiptoken=x=", [false, true]),
            ("/secrets/a/versions?api-version=7.0&$skiptoken=y", [false, false]),
            ("/secrets/a?api-version=7.0", [false, false]),
        ] {
            let found = [&first, &second].map(|recorded| recorded.answers("GET", path_and_query));
            assert_eq!(found, answers, "{path_and_query}");
        }
        assert!(!first.answers("PUT", "/secrets/a/versions"));
    }

    #[test]
    fn its_host_says_who_gives_it() {
        let target = |url: &str| recorded(url).rule().map(|rule| rule.target);
        assert_eq!(target("https://One.vault.azure.net/secrets/a"), Ok(Target::Vault("one".to_owned())));
        assert_eq!(target("https://login.microsoftonline.com/t/oauth2/v2.0/token"), Ok(Target::Entra));
        assert!(target("https://example.test/").unwrap_err().to_string().contains("neither a vault"));
    }

    #[test]
    fn a_body_of_another_length_than_was_recorded_is_refused() {
        let error = Recorded::from_json(&json("https://one.vault.azure.net/", "3", "{}")).unwrap_err();
        assert_eq!(error.to_string(), "response.body: it has 2 bytes, and its content-length is 3");
    }
}
