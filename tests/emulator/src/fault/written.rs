//! Parses rules: one as `KEY=VALUE,…`, or a list of maps with the same keys in YAML or JSON.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use super::{BadCertificate, Fault, Rule, RuleError, Target};
use crate::record::RequestKind;

impl Rule {
    /// Parses a list of rules in YAML or JSON. Findings begin with their location.
    pub fn list(yaml: &str) -> Result<Vec<Self>, RuleError> {
        let written: Vec<BTreeMap<String, String>> = serde_saphyr::from_str(yaml)
            .map_err(|error| RuleError(vec![format!("not a list of rules (maps of strings): {error}")]))?;
        let mut findings = Vec::new();
        let mut rules = Vec::new();
        for (index, fields) in written.into_iter().enumerate() {
            match read(fields) {
                Ok(rule) => rules.push(rule),
                Err(RuleError(found)) => {
                    findings.extend(found.into_iter().map(|finding| format!("[{index}].{finding}")));
                }
            }
        }
        if findings.is_empty() { Ok(rules) } else { Err(RuleError(findings)) }
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let mut fields = BTreeMap::new();
        for part in text.split(',') {
            let Some((key, value)) = part.split_once('=') else {
                return Err(RuleError(vec![format!(
                    "{part:?} is not KEY=VALUE; write, for example, fault=hang"
                )]));
            };
            if fields.insert(key.trim().to_owned(), value.trim().to_owned()).is_some() {
                return Err(RuleError(vec![format!("{}: duplicate key; remove one", key.trim())]));
            }
        }
        read(fields)
    }
}

fn read(fields: BTreeMap<String, String>) -> Result<Rule, RuleError> {
    let mut fields = Fields { fields, findings: Vec::new() };
    let (target, fault) = (fields.target(), fields.fault());
    // Missing fields have placeholders here; then there are findings, and no rule is returned.
    let mut rule = Rule::new(target.unwrap_or(Target::Entra), fault.clone().unwrap_or(Fault::Hang));
    rule.kind = fields.parsed("kind", kind);
    rule.object = fields.fields.remove("object");
    rule.path = fields.fields.remove("path");
    rule.times = fields.parsed("times", number);
    rule.after = fields.parsed("after", duration).unwrap_or_default();
    rule.lasting = fields.parsed("for", duration);
    if fault.is_some() {
        let left = std::mem::take(&mut fields.fields).into_keys();
        fields.findings.extend(left.map(|key| format!("{key}: not a parameter of this fault; remove it")));
    }
    if !fields.findings.is_empty() {
        return Err(RuleError(fields.findings));
    }
    rule.check().map(|()| rule)
}

/// Fields that are not yet parsed, and the findings so far.
struct Fields {
    fields: BTreeMap<String, String>,
    findings: Vec<String>,
}

impl Fields {
    fn target(&mut self) -> Option<Target> {
        match (self.fields.remove("target"), self.fields.remove("vault")) {
            (None, Some(name)) if !name.is_empty() => return Some(Target::Vault(name)),
            (Some(_), Some(_)) => {
                self.findings.push("vault: cannot be used with target; remove one of them".to_owned());
            }
            (None, _) => {
                self.findings.push("target: missing; set target=entra or vault=NAME".to_owned());
            }
            (Some(name), None) => {
                let known = match name.as_str() {
                    "entra" => Some(Target::Entra),
                    "vaults" => Some(Target::AllVaults),
                    "issuer" => Some(Target::Issuer),
                    "api-server" => Some(Target::ApiServer),
                    "imds" => Some(Target::Imds),
                    _ => None,
                };
                if known.is_none() {
                    let choices = "use entra, vaults, issuer, api-server or imds, or set vault=NAME instead";
                    self.findings.push(format!("target: {name:?} is unknown; {choices}"));
                }
                return known;
            }
        }
        None
    }

    fn fault(&mut self) -> Option<Fault> {
        let Some(name) = self.fields.remove("fault") else {
            self.findings.push("fault: missing; set, for example, fault=hang".to_owned());
            return None;
        };
        match name.as_str() {
            "status" => self.required("status", number).map(Fault::Status),
            "gateway" => self.required("status", number).map(Fault::Gateway),
            "refusal" => {
                let (code, status) = (self.required("aadsts", number), self.required("status", number));
                let error = self.required("error", oauth_error);
                Some(Fault::Refusal { code: code?, status: status?, error: error? })
            }
            "garbage" => Some(Fault::Garbage),
            "hang" => Some(Fault::Hang),
            "hang-in-body" => Some(Fault::HangInBody),
            "truncate" => Some(Fault::Truncate),
            "wrong-length" => Some(Fault::WrongLength),
            "disconnect" => Some(Fault::Disconnect),
            "reset" => Some(Fault::Reset),
            "refuse" => Some(Fault::Refuse),
            "revoked" => Some(Fault::Revoked),
            "latency" => self.required("delay", duration).map(Fault::Latency),
            "throttle" => Some(Fault::Throttle { retry_after: self.parsed("retry-after", duration) }),
            "certificate" => self.required("certificate", certificate).map(Fault::Certificate),
            "clock-skew" => self.required("skew", skew).map(|seconds| Fault::ClockSkew { seconds }),
            "limit" => {
                let retry_after = self.parsed("retry-after", duration);
                let (requests, per) = (self.required("requests", number), self.required("per", duration));
                Some(Fault::Limit { requests: requests?, per: per?, retry_after })
            }
            _ => {
                let choices = "status, refusal, gateway, throttle, limit, latency, clock-skew, certificate, refuse, \
                               reset, disconnect, hang, hang-in-body, truncate, wrong-length, garbage or revoked";
                self.findings.push(format!("fault: {name:?} is unknown; use {choices}"));
                None
            }
        }
    }

    fn parsed<T>(&mut self, key: &str, parse: fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.fields.remove(key)?;
        parse(&text).map_err(|help| self.findings.push(format!("{key}: {text:?} is invalid; {help}"))).ok()
    }

    fn required<T>(&mut self, key: &str, parse: fn(&str) -> Result<T, String>) -> Option<T> {
        if !self.fields.contains_key(key) {
            self.findings.push(format!("{key}: required by this fault; set {key}=…"));
        }
        self.parsed(key, parse)
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "use a duration such as 500ms, 2s or 1m".to_owned())
}

fn skew(text: &str) -> Result<i64, String> {
    let (sign, size) = text.strip_prefix('-').map_or((1, text), |size| (-1, size));
    let seconds = i64::try_from(duration(size)?.as_secs());
    seconds.map(|seconds| sign * seconds).map_err(|_| "use at most 1000days".to_owned())
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "use a whole number in its range".to_owned())
}

fn oauth_error(text: &str) -> Result<String, String> {
    let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_word.then(|| text.to_owned()).ok_or_else(|| "use an OAuth error such as invalid_client".to_owned())
}

fn kind(text: &str) -> Result<RequestKind, String> {
    RequestKind::ALL
        .into_iter()
        .find(|kind| kind.name() == text)
        .ok_or_else(|| format!("use one of {}", RequestKind::ALL.map(RequestKind::name).join(", ")))
}

fn certificate(text: &str) -> Result<BadCertificate, String> {
    match text {
        "expired" => Ok(BadCertificate::Expired),
        "self-signed" => Ok(BadCertificate::SelfSigned),
        "other-authority" => Ok(BadCertificate::OtherAuthority),
        "wrong-name" => Ok(BadCertificate::WrongName),
        _ => Err("use expired, self-signed, other-authority or wrong-name".to_owned()),
    }
}

#[cfg(test)]
mod tests;
