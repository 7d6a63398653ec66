//! The operations on secrets ("Secrets", Azure Key Vault REST API).

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::object::{Draft, Object, Version, find};
use super::refusal::Refusal;
use super::store::{SecretContent, VaultState};
use super::{Collection, VaultRequest, listing};
use crate::reply::{self, Reply};

type Secret = Object<SecretContent>;
type SecretVersion = Version<SecretContent>;

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
    let (secret, version) = find(&vault.secrets, Collection::Secrets, name, version)?;
    if !version.meta.enabled {
        return Err(Refusal::Disabled(Collection::Secrets));
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
    let draft = Draft {
        id: None,
        enabled: new.attributes.enabled.unwrap_or(true),
        created: None,
        not_before: new.attributes.nbf.and_then(time_of),
        expires: new.attributes.exp.and_then(time_of),
        tags: new.tags,
    };
    let content = SecretContent { value: new.value, content_type: new.content_type };
    let id = vault.add_secret(name, draft, content);
    // Unlike `read`, also when it was written disabled.
    let (secret, version) = find(&vault.secrets, Collection::Secrets, name, Some(&id))?;
    Ok(bundle(secret, version, request.authority))
}

pub(super) fn versions(vault: &VaultState, request: &VaultRequest<'_>, name: &str) -> Result<Reply, Refusal> {
    listing::versions(&vault.secrets, Collection::Secrets, request, name, item)
}

pub(super) fn list(vault: &VaultState, request: &VaultRequest<'_>) -> Result<Reply, Refusal> {
    listing::objects(&vault.secrets, Collection::Secrets, request, item)
}

fn bundle(secret: &Secret, version: &SecretVersion, authority: &str) -> Reply {
    let id = format!("https://{authority}/secrets/{}/{}", secret.name, version.meta.id);
    let mut bundle = described(secret, version, &id);
    bundle.insert("value".to_owned(), json!(version.content.value));
    if secret.managed {
        let kid = format!("https://{authority}/keys/{}/{}", secret.name, version.meta.id);
        bundle.insert("kid".to_owned(), json!(kid));
    }
    reply::json(StatusCode::OK, &Value::Object(bundle))
}

fn item(secret: &Secret, version: &SecretVersion, id: &str) -> Value {
    Value::Object(described(secret, version, id))
}

fn described(secret: &Secret, version: &SecretVersion, id: &str) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("id".to_owned(), json!(id));
    object.insert("attributes".to_owned(), version.meta.attributes());
    version.meta.tag(&mut object);
    if let Some(content_type) = &version.content.content_type {
        object.insert("contentType".to_owned(), json!(content_type));
    }
    if secret.managed {
        object.insert("managed".to_owned(), json!(true));
    }
    object
}

fn time_of(seconds: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(seconds).ok()
}
