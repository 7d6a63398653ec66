//! The operations on secrets ("Secrets", Azure Key Vault REST API).

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::VaultRequest;
use super::refusal::Refusal;
use super::store::{SecretState, VaultState, VersionState};
use crate::reply::{self, Reply};

/// Items on a page, at most and by default.
const PAGE: usize = 25;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewSecret {
    value: String,
    #[serde(default)]
    content_type: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    attributes: NewAttributes,
}

#[derive(Default, Deserialize)]
struct NewAttributes {
    enabled: Option<bool>,
    nbf: Option<i64>,
    exp: Option<i64>,
}

pub(super) fn read(
    vault: &VaultState,
    request: &VaultRequest<'_>,
    name: &str,
    version: Option<&str>,
) -> Result<Reply, Refusal> {
    let not_found = || {
        Refusal::SecretNotFound(match version {
            Some(version) => format!("{name}/{version}"),
            None => name.to_owned(),
        })
    };
    let secret = vault.secrets.get(&name.to_ascii_lowercase()).ok_or_else(not_found)?;
    let found = match version {
        Some(id) => secret.versions.iter().find(|version| version.id.eq_ignore_ascii_case(id)),
        None => secret.versions.last(),
    };
    let version = found.ok_or_else(not_found)?;
    if !version.enabled {
        return Err(Refusal::Disabled);
    }
    Ok(bundle(secret, version, request.authority))
}

pub(super) fn write(
    vault: &mut VaultState,
    request: &VaultRequest<'_>,
    name: &str,
) -> Result<Reply, Refusal> {
    let new: NewSecret = serde_json::from_slice(request.body)
        .map_err(|error| Refusal::BadParameter(format!("The request body is invalid: {error}")))?;
    vault.add_version(name, new.value, |version| {
        version.content_type = new.content_type;
        version.tags = new.tags;
        version.enabled = new.attributes.enabled.unwrap_or(true);
        version.not_before = new.attributes.nbf.and_then(time_of);
        version.expires = new.attributes.exp.and_then(time_of);
    });
    read_back(vault, request, name)
}

/// What was just written; unlike [`read`] also when it was written disabled.
fn read_back(vault: &VaultState, request: &VaultRequest<'_>, name: &str) -> Result<Reply, Refusal> {
    let secret = vault.secrets.get(&name.to_ascii_lowercase());
    let newest = secret.and_then(|secret| Some((secret, secret.versions.last()?)));
    let (secret, version) = newest.ok_or_else(|| Refusal::SecretNotFound(name.to_owned()))?;
    Ok(bundle(secret, version, request.authority))
}

pub(super) fn versions(vault: &VaultState, request: &VaultRequest<'_>, name: &str) -> Result<Reply, Refusal> {
    let Some(secret) = vault.secrets.get(&name.to_ascii_lowercase()) else {
        return Err(Refusal::SecretNotFound(name.to_owned()));
    };
    // By id and not by time: nobody may rely on the order in which versions are listed.
    let mut versions: Vec<&VersionState> = secret.versions.iter().collect();
    versions.sort_by_key(|version| &version.id);
    let items = versions.into_iter().map(|version| {
        let id = format!("https://{}/secrets/{}/{}", request.authority, secret.name, version.id);
        item(secret, version, &id)
    });
    page(request, &format!("/secrets/{}/versions", secret.name), items.collect())
}

pub(super) fn list(vault: &VaultState, request: &VaultRequest<'_>) -> Result<Reply, Refusal> {
    let items = vault.secrets.values().filter_map(|secret| {
        let newest = secret.versions.last()?;
        Some(item(secret, newest, &format!("https://{}/secrets/{}", request.authority, secret.name)))
    });
    page(request, "/secrets", items.collect())
}

/// One page, and where the next one is. The token in that place is an offset in disguise: clients must
/// take the link as it is.
fn page(request: &VaultRequest<'_>, path: &str, items: Vec<Value>) -> Result<Reply, Refusal> {
    let bad = |name: &str| Refusal::BadParameter(format!("The parameter {name} is invalid."));
    let size = match request.parameter("maxresults") {
        None => PAGE,
        Some(text) => match text.parse() {
            Ok(size @ 1..=PAGE) => size,
            _ => return Err(bad("maxresults")),
        },
    };
    let offset = match request.parameter("$skiptoken") {
        None => 0,
        Some(token) => decoded(&token).ok_or_else(|| bad("$skiptoken"))?,
    };
    let more = items.len() > offset.saturating_add(size);
    let values: Vec<Value> = items.into_iter().skip(offset).take(size).collect();
    let next_link = more.then(|| {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("api-version", &request.parameter("api-version").unwrap_or_default())
            .append_pair("$skiptoken", &BASE64URL_NOPAD.encode((offset + size).to_string().as_bytes()))
            .append_pair("maxresults", &size.to_string())
            .finish();
        format!("https://{}{path}?{query}", request.authority)
    });
    Ok(reply::json(StatusCode::OK, &json!({"value": values, "nextLink": next_link})))
}

fn decoded(token: &str) -> Option<usize> {
    let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
    String::from_utf8(bytes).ok()?.parse().ok()
}

fn bundle(secret: &SecretState, version: &VersionState, authority: &str) -> Reply {
    let id = format!("https://{authority}/secrets/{}/{}", secret.name, version.id);
    let mut bundle = described(secret, version, &id);
    bundle.insert("value".to_owned(), json!(version.value));
    if secret.certificate {
        let kid = format!("https://{authority}/keys/{}/{}", secret.name, version.id);
        bundle.insert("kid".to_owned(), json!(kid));
    }
    reply::json(StatusCode::OK, &Value::Object(bundle))
}

fn item(secret: &SecretState, version: &VersionState, id: &str) -> Value {
    Value::Object(described(secret, version, id))
}

fn described(secret: &SecretState, version: &VersionState, id: &str) -> Map<String, Value> {
    let mut attributes = Map::new();
    attributes.insert("enabled".to_owned(), json!(version.enabled));
    for (name, time) in [
        ("nbf", version.not_before),
        ("exp", version.expires),
        ("created", Some(version.created)),
        ("updated", Some(version.updated)),
    ] {
        if let Some(time) = time {
            attributes.insert(name.to_owned(), json!(time.unix_timestamp()));
        }
    }
    attributes.insert("recoveryLevel".to_owned(), json!("Recoverable+Purgeable"));
    attributes.insert("recoverableDays".to_owned(), json!(90));

    let mut object = Map::new();
    object.insert("id".to_owned(), json!(id));
    object.insert("attributes".to_owned(), Value::Object(attributes));
    object.insert("tags".to_owned(), json!(version.tags));
    if let Some(content_type) = &version.content_type {
        object.insert("contentType".to_owned(), json!(content_type));
    }
    if secret.certificate {
        object.insert("managed".to_owned(), json!(true));
    }
    object
}

fn time_of(seconds: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(seconds).ok()
}
