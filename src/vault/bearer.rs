//! Authorizes each request with its own token.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::headers::{AUTHORIZATION, HeaderName, WWW_AUTHENTICATE};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{AsyncRawResponse, Context, Request, StatusCode};

use crate::plan::VaultUrl;
use crate::secret::SecretText;
use crate::transport;

/// The header in which [`Bearer`] returns the challenge of a 401 to the caller.
pub(super) const CHALLENGE: HeaderName = HeaderName::from_static("x-keyvault-challenge");

/// The token of one request, in its context.
pub(super) struct RequestToken(pub(super) SecretText);

/// The policy that authorizes requests in place of the SDK's own, which would send the first request of
/// every client without a token and cache a token in a client that many identities share.
///
/// It sends a token only to the vault that the token is for, and hides a 401's challenge from the SDK, because the
/// right reaction depends on the identity.
#[derive(Debug)]
pub(super) struct Bearer {
    vault: VaultUrl,
}

impl Bearer {
    pub(super) fn new(vault: VaultUrl) -> Self {
        Self { vault }
    }
}

#[async_trait]
impl Policy for Bearer {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        // The server chooses the address of a listing's next page. No other host is contacted, with or without a token.
        if request.url().authority() != self.vault.authority() || request.url().scheme() != "https" {
            let message = "the vault's answer links to another host, which is not contacted";
            return Err(azure_core::Error::with_message(ErrorKind::DataConversion, message));
        }
        if let Some(RequestToken(token)) = ctx.value() {
            request.insert_header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let response = transport::send(ctx, request, next).await?;
        if response.status() != StatusCode::Unauthorized {
            return Ok(response);
        }
        let (status, mut headers, body) = response.deconstruct();
        if let Some(challenge) = headers.remove(WWW_AUTHENTICATE) {
            headers.insert(CHALLENGE, challenge);
        }
        Ok(AsyncRawResponse::new(status, headers, Box::pin(body)))
    }
}

/// The SDK requires a credential. With [`Bearer`] in the pipeline, it never uses it.
#[derive(Debug)]
pub(super) struct NoCredential;

#[async_trait]
impl TokenCredential for NoCredential {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        Err(azure_core::Error::with_message(ErrorKind::Credential, "tokens are sent with their requests"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use azure_core::http::headers::Headers;
    use azure_core::http::{Method, Url};

    use super::*;
    use crate::plan::VaultSuffix;

    /// A transport that counts the requests it receives.
    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    #[async_trait]
    impl Policy for Counting {
        async fn send(&self, _: &Context, _: &mut Request, _: &[Arc<dyn Policy>]) -> PolicyResult {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(AsyncRawResponse::from_bytes(StatusCode::Ok, Headers::new(), ""))
        }
    }

    #[tokio::test]
    async fn no_host_but_the_vaults_own_is_contacted_with_a_token_or_without() {
        let suffix = VaultSuffix::parse("vault.azure.net").unwrap();
        let bearer = Bearer::new(VaultUrl::parse("https://a.vault.azure.net/", &[&suffix]).unwrap());
        let tokens =
            [Context::new(), Context::new().with_value(RequestToken(SecretText::new("t".to_owned())))];
        for (url, reaches) in [
            ("https://a.vault.azure.net/secrets/s/versions?$skiptoken=x", 1),
            ("https://b.vault.azure.net/secrets", 0),
            ("https://a.vault.azure.net.example/secrets", 0),
            ("https://a.vault.azure.net:8443/secrets", 0),
            ("https://a.vault.azure.net@example/secrets", 0),
            ("http://a.vault.azure.net/secrets", 0),
        ] {
            for context in &tokens {
                let counting = Arc::new(Counting::default());
                let mut request = Request::new(Url::parse(url).unwrap(), Method::Get);
                let sent = bearer.send(context, &mut request, &[counting.clone() as Arc<dyn Policy>]).await;
                assert_eq!(counting.0.load(Ordering::Relaxed), reaches, "{url}");
                assert_eq!(sent.is_ok(), reaches == 1, "{url}");
            }
        }
    }
}
