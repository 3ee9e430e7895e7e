//! Where the records go.

use sandgate_sdk::{
    config::{ConfigError, error},
    text,
};

/// A parsed `http_endpoint`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Scheme, host, port and path: the query is not sent.
    pub(crate) url: String,
    /// Of the credentials in the URL.
    pub(crate) authorization: Option<String>,
}

impl Endpoint {
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<ConfigError>> {
        let wrong = || vec![error("http_endpoint", "expected an http or https URL")];
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        if !matches!(scheme, "http" | "https") {
            return Err(wrong());
        }
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.find('/').map_or((rest, "/"), |place| rest.split_at(place));
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            url: [scheme, "://", host, path].concat(),
            authorization: user.map(|user| ["Basic ", &text::base64(user.as_bytes())].concat()),
        })
    }
}
