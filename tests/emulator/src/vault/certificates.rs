//! The operations on certificates ("Certificates", Azure Key Vault REST API).

use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::object::{Object, Version, find};
use super::refusal::Refusal;
use super::store::{CertificateContent, VaultState};
use super::{Collection, VaultRequest, listing};
use crate::public_key::PublicKey;
use crate::reply::{self, Reply};

/// Also a disabled one: that its secret cannot be read and its key not be used is all that disabling does
/// ("Certificate attributes", About Azure Key Vault certificates).
pub(super) fn read(
    vault: &VaultState,
    request: &VaultRequest<'_>,
    name: &str,
    version: Option<&str>,
) -> Result<Reply, Refusal> {
    let (certificate, version) = find(&vault.certificates, Collection::Certificates, name, version)?;
    let place = |collection: Collection| {
        format!(
            "https://{}/{}/{}/{}",
            request.authority,
            collection.plural(),
            certificate.name,
            version.meta.id
        )
    };
    let mut bundle = described(version, &place(Collection::Certificates));
    bundle.insert("kid".to_owned(), json!(place(Collection::Keys)));
    bundle.insert("sid".to_owned(), json!(place(Collection::Secrets)));
    bundle.insert("cer".to_owned(), json!(BASE64.encode(&version.content.leaf.der)));
    let id = format!("https://{}/certificates/{}/policy", request.authority, certificate.name);
    bundle.insert("policy".to_owned(), policy(&id, version));
    Ok(reply::json(StatusCode::OK, &Value::Object(bundle)))
}

pub(super) fn versions(vault: &VaultState, request: &VaultRequest<'_>, name: &str) -> Result<Reply, Refusal> {
    listing::versions(&vault.certificates, Collection::Certificates, request, name, item)
}

pub(super) fn list(vault: &VaultState, request: &VaultRequest<'_>) -> Result<Reply, Refusal> {
    listing::objects(&vault.certificates, Collection::Certificates, request, item)
}

fn item(_: &Object<CertificateContent>, version: &Version<CertificateContent>, id: &str) -> Value {
    Value::Object(described(version, id))
}

fn described(version: &Version<CertificateContent>, id: &str) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("id".to_owned(), json!(id));
    object.insert("x5t".to_owned(), json!(BASE64URL_NOPAD.encode(&version.content.leaf.sha1())));
    object.insert("attributes".to_owned(), version.meta.attributes());
    version.meta.tag(&mut object);
    object
}

/// The policy of a certificate that was imported: Key Vault derives it from what it was given.
fn policy(id: &str, version: &Version<CertificateContent>) -> Value {
    let mut key = json!({"exportable": true, "reuse_key": false});
    if let Some(key) = key.as_object_mut() {
        match &version.content.leaf.public_key {
            PublicKey::Rsa { n, .. } => {
                key.insert("kty".to_owned(), json!("RSA"));
                key.insert("key_size".to_owned(), json!(n.len() * 8));
            }
            PublicKey::Ec { curve, .. } => {
                key.insert("kty".to_owned(), json!("EC"));
                key.insert("crv".to_owned(), json!(curve.name()));
            }
        }
    }
    json!({
        "id": id,
        "key_props": key,
        "secret_props": {"contentType": version.content.content_type},
        "x509_props": {},
        "issuer": {"name": "Unknown"},
        "attributes": {
            "enabled": true,
            "created": version.meta.created.unix_timestamp(),
            "updated": version.meta.updated.unix_timestamp(),
        },
    })
}
