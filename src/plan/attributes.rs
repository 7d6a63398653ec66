//! The JSON maps of a mount request.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde_json::Value;
use zeroize::Zeroize;

use super::Defaults;
use super::cloud::{Cloud, json_problem};
use super::finding::{Fault, Findings, PlanError, quoted, unknown};
use super::known_names::PARAMETERS;

pub(crate) const POD_NAME: &str = "csi.storage.k8s.io/pod.name";
pub(crate) const POD_NAMESPACE: &str = "csi.storage.k8s.io/pod.namespace";
pub(crate) const POD_ACCOUNT: &str = "csi.storage.k8s.io/serviceAccount.name";
/// The key of the pod's service account tokens, in the attributes or in the secrets.
pub(crate) const TOKENS: &str = "csi.storage.k8s.io/serviceAccount.tokens";

/// Maximum size of one map in bytes: `objects` may have 128 KiB, and the rest is small. Checked before anything is
/// copied.
const MAX_BYTES: usize = 192 << 10;
/// Maximum number of keys of one map.
const MAX_KEYS: usize = 512;

/// The fields of a mount's span, and the attributes that fill them.
const SPAN_FIELDS: [(&str, &str); 6] = [
    ("pod", POD_NAME),
    ("namespace", POD_NAMESPACE),
    ("service_account", POD_ACCOUNT),
    ("class", "secretProviderClass"),
    ("vault", "keyvaultName"),
    ("vault", "vaultURL"),
];

/// A JSON object of strings from the request. `Debug` shows only its keys because values may be tokens.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Attributes(BTreeMap<String, String>);

impl Drop for Attributes {
    fn drop(&mut self) {
        self.0.values_mut().for_each(Zeroize::zeroize);
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Attributes {
    /// Parses the request field `location`. An empty text and `null` are an empty map.
    pub fn parse(location: &str, json: &str) -> Result<Self, PlanError> {
        if json.trim().is_empty() {
            return Ok(Self::default());
        }
        let wrong = |problem: String| {
            PlanError::one(location, Fault::new(problem, "the driver must send a JSON object of strings"))
        };
        if json.len() > MAX_BYTES {
            let problem = format!("it has {} bytes; the maximum is {MAX_BYTES}", json.len());
            let help = "split the class into several, and remove unknown parameters";
            return Err(PlanError::one(location, Fault::new(problem, help)));
        }
        let value: Value = serde_json::from_str(json).map_err(|error| {
            wrong(format!("{} at line {}, column {}", json_problem(&error), error.line(), error.column()))
        })?;
        let entries = match value {
            Value::Null => return Ok(Self::default()),
            Value::Object(entries) => entries,
            _ => return Err(wrong("it is JSON, but not an object".to_owned())),
        };
        if entries.len() > MAX_KEYS {
            let problem = format!("it has {} keys; the maximum is {MAX_KEYS}", entries.len());
            let help = "remove unknown parameters";
            return Err(PlanError::one(location, Fault::new(problem, help)));
        }
        let mut findings = Findings::default();
        let mut map = BTreeMap::new();
        for (key, value) in entries {
            if let Value::String(text) = value {
                map.insert(key, text);
            } else {
                let fault = Fault::new(
                    format!("{} is {}, not a string", quoted(&key), kind(&value)),
                    "put it in quotes",
                );
                findings.error(location, fault);
            }
        }
        findings.finish()?;
        Ok(Self(map))
    }

    /// The pod's namespace, set by kubelet and the driver; empty if the request has none.
    pub fn namespace(&self) -> &str {
        self.text(POD_NAMESPACE).unwrap_or_default()
    }

    /// The value of a key without surrounding white space; `None` if it is missing or blank.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Like [`Self::text`], but ignores the case of the key. Of several spellings, the first value that is not blank is
    /// used.
    pub(super) fn text_without_case(&self, key: &str) -> Option<&str> {
        let named = self.0.iter().filter(|(candidate, _)| candidate.eq_ignore_ascii_case(key));
        named.map(|(_, value)| value.trim()).find(|value| !value.is_empty())
    }

    /// Whether the key exists, in any case and with any value.
    pub(super) fn has_without_case(&self, key: &str) -> bool {
        self.0.keys().any(|candidate| candidate.eq_ignore_ascii_case(key))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The boolean value of a key; false if it is missing.
    pub(super) fn flag(&self, key: &str) -> Result<bool, Fault> {
        boolean(self.text(key).unwrap_or_default())
    }

    /// Whether the request uses a private cloud, whose endpoints are in an environment file.
    pub fn is_private_cloud(&self, default: Cloud) -> bool {
        self.text("cloudName").map_or(Ok(default), Cloud::parse) == Ok(Cloud::Stack)
    }

    /// The environment file of the request's private cloud, if the request or the operator names one. The caller
    /// reads it before planning, which does not read files.
    pub fn cloud_environment_file(&self, defaults: &Defaults) -> Option<PathBuf> {
        let named = || self.text("cloudEnvFileName").map(PathBuf::from);
        let is_private = self.is_private_cloud(defaults.cloud);
        is_private.then(|| named().or_else(|| defaults.environment_file.clone())).flatten()
    }

    /// Fills the fields of a mount's span, so that log lines about an invalid request also name its pod.
    pub fn record(&self, span: &tracing::Span) {
        for (field, key) in SPAN_FIELDS {
            if let Some(value) = self.text(key) {
                // The pod's author may choose these values: they must not start a new log line.
                span.record(field, value.chars().filter(|c| !c.is_control()).take(253).collect::<String>());
            }
        }
    }

    /// Warns about unknown parameters.
    pub(super) fn warn_about_unknown(&self, findings: &mut Findings) {
        for key in self.0.keys().filter(|key| !is_context(key) && !PARAMETERS.contains(&key.as_str())) {
            findings.unknown("parameters", key, PARAMETERS);
        }
    }
}

impl FromIterator<(String, String)> for Attributes {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(entries: T) -> Self {
        Self(entries.into_iter().collect())
    }
}

/// The fault of a parameter's name in a class: the driver sets it, or it is unknown.
pub fn parameter_fault(key: &str) -> Option<Fault> {
    if is_context(key) {
        return Some(Fault::new(format!("{} is set by the driver", quoted(key)), "remove it"));
    }
    (!PARAMETERS.contains(&key)).then(|| unknown(key, PARAMETERS))
}

/// Whether kubelet or the driver sets this key.
fn is_context(key: &str) -> bool {
    key.contains('/') || key == "secretProviderClass"
}

/// Parses a boolean like Go's `strconv.ParseBool`; an empty text is false.
pub(crate) fn boolean(text: &str) -> Result<bool, Fault> {
    match text {
        "" | "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        other => {
            Err(Fault::new(format!("{} is not a boolean", quoted(other)), "write \"true\" or \"false\""))
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn booleans_are_parsed_like_in_go() {
        let flag = |text: &str| Attributes(BTreeMap::from([("x".to_owned(), text.to_owned())])).flag("x");
        for yes in ["1", "t", "T", "TRUE", "true", "True", " true "] {
            assert_eq!(flag(yes), Ok(true), "{yes}");
        }
        for no in ["0", "f", "F", "FALSE", "false", "False", ""] {
            assert_eq!(flag(no), Ok(false), "{no}");
        }
        assert!(flag("yes").is_err() && flag("tRUE").is_err());
    }

    #[test]
    fn an_error_about_invalid_json_shows_no_values() {
        for bad in [
            "{",
            "[]",
            "7",
            "{\"k\":1}",
            "{\"k\":{\"hunter2\":[]}}",
            "{\"k\":\"hunter2",
            &"[".repeat(100_000),
        ] {
            let message = Attributes::parse("attributes", bad).unwrap_err().to_string();
            assert!(message.starts_with("attributes: ") && !message.contains("hunter2"), "{message}");
        }
        assert_eq!(Attributes::parse("secrets", "null").unwrap(), Attributes::default());
    }

    #[test]
    fn debug_shows_keys_only() {
        let attributes = Attributes::parse("attributes", r#"{"k":"hunter2"}"#).unwrap();
        assert_eq!(format!("{attributes:?}"), r#"{"k"}"#);
    }

    #[test]
    fn a_map_with_too_many_keys_or_bytes_is_refused_with_the_limit() {
        let map = |keys: usize, bytes: usize| {
            let keys = (0..keys).map(|key| (key.to_string(), Value::String("v".repeat(bytes))));
            Value::Object(keys.collect()).to_string()
        };
        assert!(Attributes::parse("attributes", &map(MAX_KEYS, 1)).is_ok());
        for (json, limit) in
            [(map(MAX_KEYS + 1, 1), "512"), (map(1, MAX_BYTES), "196608"), (map(100_000, 1), "196608")]
        {
            let message = Attributes::parse("attributes", &json).unwrap_err().to_string();
            assert!(message.contains(limit) && message.len() < 300, "{message}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC{0,200}") {
            let _ = Attributes::parse("attributes", &text);
        }
    }
}
