//! What of a request consistent hashing goes by.

use std::sync::Arc;

use http::HeaderName;

use crate::model::HashFields;

/// What of a request decides about its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashInput {
    /// Nothing.
    None,
    /// The consumer's id, or the credential's.
    Consumer,
    /// The client's address.
    Ip,
    /// Every value of a header.
    Header(HeaderName),
    /// A cookie, which is set where it is missing.
    Cookie(Cookie),
    /// The canonical path.
    Path,
    /// Every value of an argument in the query.
    QueryArg(Arc<str>),
    /// A group of the route's path, by name or number.
    UriCapture(Arc<str>),
}

/// A cookie that ties a client to its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookie {
    /// Name.
    pub name: Arc<str>,
    /// Where clients send it.
    pub path: Arc<str>,
}

/// What consistent hashing goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashing {
    /// At first.
    pub on: HashInput,
    /// Where a request has nothing of that kind.
    pub fallback: HashInput,
}

impl Hashing {
    pub(super) fn of(fields: &HashFields) -> Self {
        let cookie = || {
            let path = fields.hash_on_cookie_path.clone().unwrap_or_else(|| "/".into());
            fields.hash_on_cookie.clone().map(|name| HashInput::Cookie(Cookie { name, path }))
        };
        let input =
            |kind: &Option<Arc<str>>, header: &Option<Arc<str>>, argument: &Option<Arc<str>>, group: &Option<_>| {
                let found = match kind.as_deref()? {
                    "consumer" => Some(HashInput::Consumer),
                    "ip" => Some(HashInput::Ip),
                    "header" => header.as_deref().and_then(|name| name.parse().ok()).map(HashInput::Header),
                    "cookie" => cookie(),
                    "path" => Some(HashInput::Path),
                    "query_arg" => argument.clone().map(HashInput::QueryArg),
                    "uri_capture" => Option::<Arc<str>>::clone(group).map(HashInput::UriCapture),
                    _ => None,
                };
                Some(found.unwrap_or(HashInput::None))
            };
        let on = input(&fields.hash_on, &fields.hash_on_header, &fields.hash_on_query_arg, &fields.hash_on_uri_capture);
        let fallback = input(
            &fields.hash_fallback,
            &fields.hash_fallback_header,
            &fields.hash_fallback_query_arg,
            &fields.hash_fallback_uri_capture,
        );
        Self { on: on.unwrap_or(HashInput::None), fallback: fallback.unwrap_or(HashInput::None) }
    }

    /// Whether the groups of the route's path are looked at.
    pub fn wants_captures(&self) -> bool {
        [&self.on, &self.fallback].iter().any(|input| matches!(input, HashInput::UriCapture(_)))
    }
}
