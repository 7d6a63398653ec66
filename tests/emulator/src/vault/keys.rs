//! The operations on keys ("Keys", Azure Key Vault REST API). Private keys never leave a vault.

use data_encoding::BASE64URL_NOPAD;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::object::{Object, Version, find};
use super::refusal::Refusal;
use super::store::{KeyContent, VaultState};
use super::{Collection, VaultRequest, listing};
use crate::public_key::PublicKey;
use crate::reply::{self, Reply};

const RSA_OPERATIONS: [&str; 6] = ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"];
const EC_OPERATIONS: [&str; 2] = ["sign", "verify"];

/// Also a disabled one: its public part says so, and Key Vault's own operations with it are refused ("Key
/// attributes", About keys).
pub(super) fn read(
    vault: &VaultState,
    request: &VaultRequest<'_>,
    name: &str,
    version: Option<&str>,
) -> Result<Reply, Refusal> {
    let (key, version) = find(&vault.keys, Collection::Keys, name, version)?;
    let kid = format!("https://{}/keys/{}/{}", request.authority, key.name, version.meta.id);
    let mut bundle = described(key, version);
    bundle.insert("key".to_owned(), web_key(&kid, &version.content));
    Ok(reply::json(StatusCode::OK, &Value::Object(bundle)))
}

pub(super) fn versions(vault: &VaultState, request: &VaultRequest<'_>, name: &str) -> Result<Reply, Refusal> {
    listing::versions(&vault.keys, Collection::Keys, request, name, item)
}

pub(super) fn list(vault: &VaultState, request: &VaultRequest<'_>) -> Result<Reply, Refusal> {
    listing::objects(&vault.keys, Collection::Keys, request, item)
}

fn item(key: &Object<KeyContent>, version: &Version<KeyContent>, id: &str) -> Value {
    let mut item = described(key, version);
    item.insert("kid".to_owned(), json!(id));
    Value::Object(item)
}

fn described(key: &Object<KeyContent>, version: &Version<KeyContent>) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("attributes".to_owned(), version.meta.attributes());
    version.meta.tag(&mut object);
    if key.managed {
        object.insert("managed".to_owned(), json!(true));
    }
    object
}

/// A JSON web key (RFC 7517), with Key Vault's own names for what RFC 7518 does not know.
fn web_key(kid: &str, content: &KeyContent) -> Value {
    let number = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let (numbers, able): (_, &[&str]) = match &content.public_key {
        PublicKey::Rsa { n, e } => (vec![("n", number(n)), ("e", number(e))], &RSA_OPERATIONS),
        PublicKey::Ec { curve, x, y } => {
            (vec![("crv", curve.name().to_owned()), ("x", number(x)), ("y", number(y))], &EC_OPERATIONS)
        }
    };
    let mut key = Map::new();
    key.insert("kid".to_owned(), json!(kid));
    key.insert("kty".to_owned(), json!(content.kty.name()));
    let operations = if content.key_ops.is_empty() { json!(able) } else { json!(content.key_ops) };
    key.insert("key_ops".to_owned(), operations);
    for (name, value) in numbers {
        key.insert(name.to_owned(), json!(value));
    }
    Value::Object(key)
}
