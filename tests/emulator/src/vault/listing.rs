//! Lists of objects and of versions, page by page.

use data_encoding::BASE64URL_NOPAD;
use http::StatusCode;
use serde_json::{Value, json};

use super::object::{Object, Objects, Version};
use super::refusal::Refusal;
use super::{Collection, VaultRequest};
use crate::hosts;
use crate::reply::{self, Reply};

/// Items on a page, at most and by default.
const PAGE: usize = 25;

/// Lists the newest version of each object, as `item` describes it; its last argument is the id.
pub(super) fn objects<T>(
    objects: &Objects<T>,
    collection: Collection,
    request: &VaultRequest<'_>,
    item: impl Fn(&Object<T>, &Version<T>, &str) -> Value,
) -> Result<Reply, Refusal> {
    let items = objects.values().filter_map(|object| {
        let id = format!("https://{}/{}/{}", request.authority, collection.plural(), object.name);
        Some(item(object, object.versions.last()?, &id))
    });
    page(request, &format!("/{}", collection.plural()), items.collect())
}

/// Lists the versions of an object, as `item` describes them; its last argument is the id.
pub(super) fn versions<T>(
    objects: &Objects<T>,
    collection: Collection,
    request: &VaultRequest<'_>,
    name: &str,
    item: impl Fn(&Object<T>, &Version<T>, &str) -> Value,
) -> Result<Reply, Refusal> {
    let Some(object) = objects.get(&name.to_ascii_lowercase()) else {
        return Err(Refusal::NotFound(collection, name.to_owned()));
    };
    // By ID and not by time: clients must not rely on the order of versions.
    let mut versions: Vec<&Version<T>> = object.versions.iter().collect();
    versions.sort_by_key(|version| &version.meta.id);
    let path = format!("/{}/{}", collection.plural(), object.name);
    let items = versions.into_iter().map(|version| {
        let id = format!("https://{}{path}/{}", request.authority, version.meta.id);
        item(object, version, &id)
    });
    page(request, &format!("{path}/versions"), items.collect())
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
        let version = request.parameter("api-version").unwrap_or_default();
        let version = form_urlencoded::byte_serialize(version.as_bytes()).collect::<String>();
        let token = BASE64URL_NOPAD.encode((offset + size).to_string().as_bytes());
        let authority = with_port(request.authority);
        format!("https://{authority}{path}?api-version={version}&$skiptoken={token}&maxresults={size}")
    });
    Ok(reply::json(StatusCode::OK, &json!({"value": values, "nextLink": next_link})))
}

/// Key Vault names its port in links, and nowhere else.
fn with_port(authority: &str) -> String {
    if hosts::without_port(authority) == authority {
        format!("{authority}:443")
    } else {
        authority.to_owned()
    }
}

fn decoded(token: &str) -> Option<usize> {
    let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
    String::from_utf8(bytes).ok()?.parse().ok()
}
