//! One line of the audit log.

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// RFC 3339, in UTC.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
/// Kubernetes names have at most 253 characters. Longer text is cut: it comes from the request.
const LONGEST: usize = 253;

/// What happened to one version of one object in one mount. `docs/audit-log.md` describes every field.
#[derive(Clone, Debug, Serialize)]
pub struct Record<'a> {
    /// When the mount ended.
    #[serde(serialize_with = "as_text")]
    pub time: OffsetDateTime,
    /// `delivered`, `left_out`, `refused`, `not_delivered` or `abandoned`.
    pub outcome: &'static str,
    /// The gRPC code of the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// The step of the mount that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<&'static str>,
    /// `first` or `refresh`.
    pub mount: &'static str,
    /// The pod.
    #[serde(flatten)]
    pub caller: AuditedPod<'a>,
    /// The identity that Key Vault was asked with.
    #[serde(flatten)]
    pub identity: AuditedIdentity<'a>,
    /// The vault's host.
    #[serde(serialize_with = "cut")]
    pub vault: &'a str,
    /// `secret`, `key` or `cert`.
    pub object_type: &'static str,
    /// The object's name.
    #[serde(serialize_with = "cut")]
    pub object: &'a str,
    /// The version, as Key Vault names it. `None` for an object that was not fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<&'a str>,
    /// Where the object came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'static str>,
}

/// The pod that a mount is for, as kubelet and the driver describe it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct AuditedPod<'a> {
    /// Its namespace.
    #[serde(serialize_with = "cut")]
    pub namespace: &'a str,
    /// Its name.
    #[serde(serialize_with = "cut")]
    pub pod: &'a str,
    /// Its unique id.
    #[serde(serialize_with = "cut")]
    pub pod_uid: &'a str,
    /// Its service account.
    #[serde(serialize_with = "cut")]
    pub service_account: &'a str,
    /// Its `SecretProviderClass`.
    #[serde(serialize_with = "cut")]
    pub class: &'a str,
}

/// The identity of a mount.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct AuditedIdentity<'a> {
    /// How it proves itself, by the name that a policy file has for it.
    pub identity: &'static str,
    /// Its client id; empty for the identity of the node, and where it was not known yet.
    #[serde(serialize_with = "cut")]
    pub client_id: &'a str,
}

impl Record<'_> {
    /// Appends the record as a line of JSON.
    pub(super) fn append_to(&self, text: &mut Vec<u8>) {
        let begin = text.len();
        if serde_json::to_writer(&mut *text, self).is_err() {
            // Unreachable: every field has a form in JSON, and memory takes every byte.
            text.truncate(begin);
            return;
        }
        text.push(b'\n');
    }
}

fn as_text<S: serde::Serializer>(time: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.format(TIME).map_err(serde::ser::Error::custom)?)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn cut<S: serde::Serializer>(text: &&str, serializer: S) -> Result<S::Ok, S::Error> {
    let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    serializer.serialize_str(text.get(..end).unwrap_or_default())
}

#[cfg(test)]
pub(super) mod tests {
    use time::macros::datetime;

    use super::*;

    pub(in crate::audit) fn record<'a>(pod: &'a str, object: &'a str) -> Record<'a> {
        Record {
            time: datetime!(2026-11-21 18:00:00.5 UTC),
            outcome: "refused",
            code: Some("NOT_FOUND"),
            stage: Some("vault"),
            mount: "first",
            caller: AuditedPod { namespace: "shop", pod, pod_uid: "u", service_account: "web", class: "db" },
            identity: AuditedIdentity { identity: "workload-identity", client_id: "c" },
            vault: "main.vault.azure.net",
            object_type: "secret",
            object,
            version: None,
            source: None,
        }
    }

    fn line(record: &Record<'_>) -> String {
        let mut text = Vec::new();
        record.append_to(&mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_record_is_one_line_of_json() {
        let text = line(&record("pod", "db"));
        assert_eq!(
            text,
            concat!(
                r#"{"time":"2026-11-21T18:00:00.500Z","outcome":"refused","code":"NOT_FOUND","stage":"vault","#,
                r#""mount":"first","namespace":"shop","pod":"pod","pod_uid":"u","service_account":"web","#,
                r#""class":"db","identity":"workload-identity","client_id":"c","vault":"main.vault.azure.net","#,
                r#""object_type":"secret","object":"db"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn text_of_the_request_cannot_break_a_line_or_make_it_long() {
        let hostile = format!("\n{{\"outcome\":\"delivered\"}}\u{2028}\"{}", "ä".repeat(100_000));
        let text = line(&record(&hostile, "db"));
        assert!(text.len() < 1200 && text.matches('\n').count() == 1, "{text}");
        let parsed = serde_json::from_str::<serde_json::Value>(&text).unwrap();
        assert_eq!(parsed["outcome"], "refused");
        assert!(hostile.starts_with(parsed["pod"].as_str().unwrap()));
    }
}
