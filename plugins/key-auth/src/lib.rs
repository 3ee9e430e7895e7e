//! key-auth: lets a request pass that carries the key of a consumer, in a header, the query or the body.

use std::cell::LazyCell;

use sandgate_sdk::{
    auth,
    body::{Fields, Found},
    prelude::*,
    query,
};

const CREDENTIALS: &str = "keyauth_credentials";
/// The most of a body that is read for a key.
const BODY_LIMIT: u32 = 8 << 20;

/// What operators configure.
#[derive(Debug, Config)]
pub struct Settings {
    /// Names of the header, query argument or body field that carries the key. The first one found is taken.
    #[config(default = ["apikey"], required, items(kind = "header_name"))]
    key_names: Vec<String>,
    /// Whether the key is taken out of the request before it goes to the upstream.
    #[config(default = false, required)]
    hide_credentials: bool,
    /// Consumer (id or username) that a request without a valid key counts as. Without one it is refused.
    anonymous: Option<String>,
    /// Whether the key may be in a header.
    #[config(default = true, required)]
    key_in_header: bool,
    /// Whether the key may be in the query.
    #[config(default = true, required)]
    key_in_query: bool,
    /// Whether the key may be in the body: JSON, urlencoded or multipart.
    #[config(default = false, required)]
    key_in_body: bool,
    /// Whether OPTIONS requests need a key.
    #[config(default = true, required)]
    run_on_preflight: bool,
    /// Realm that `WWW-Authenticate` names.
    #[config(required = false)]
    realm: Option<String>,
}

/// A key of a consumer.
#[derive(Debug, Config)]
#[collection(name = "keyauth_credentials", path = "key-auths", nested_path = "key-auth", parent = "consumers", ttl)]
pub struct Credential {
    /// The key itself.
    #[config(unique, generated, required = false)]
    key: String,
}

/// One configuration.
#[derive(Debug)]
pub struct KeyAuth {
    settings: Settings,
    challenge: String,
}

#[plugin(
    name = "key-auth",
    priority = 1250,
    consumer_scope = false,
    capabilities(consumers("keyauth_credentials")),
    collections(Credential)
)]
impl Plugin for KeyAuth {
    type Settings = Settings;

    fn new(settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        let challenge = match &settings.realm {
            Some(realm) => ["Key realm=\"", realm, "\""].concat(),
            None => "Key".into(),
        };
        Ok(Self { settings, challenge })
    }

    fn prepare(&self) -> Prepared {
        let request_headers = if self.settings.key_in_header { self.settings.key_names.clone() } else { Vec::new() };
        Prepared { request_headers, ..Prepared::default() }
    }

    fn on_request(&self, request: &mut Request, host: &impl Host) -> Flow {
        if !self.settings.run_on_preflight && host.request_method() == "OPTIONS" {
            return Flow::Next;
        }
        auth::settle(self.settings.anonymous.as_deref(), host, || self.authenticate(request, host))
    }
}

impl KeyAuth {
    fn authenticate(&self, request: &mut Request, host: &impl Host) -> Result<(), Flow> {
        let (name, key) = match self.find(request, host) {
            Some((name, Found::One(key))) if !key.is_empty() => (name, key),
            Some((_, Found::Several)) => return Err(self.refuse("Duplicate API key found")),
            _ => return Err(self.refuse("No API key found in request")),
        };
        if self.settings.hide_credentials {
            self.hide(name, request, host);
        }
        match host.authenticate(CREDENTIALS, &key, None) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.refuse("Unauthorized")),
            Err(_) => Err(auth::unexpected()),
        }
    }

    /// The first name with a value, looked for in the header, the query, the body.
    fn find(&self, request: &Request, host: &impl Host) -> Option<(&str, Found)> {
        let Settings { key_names, key_in_query, key_in_body, .. } = &self.settings;
        let query = key_in_query.then(|| LazyCell::new(|| host.query().unwrap_or_default()));
        let body = key_in_body.then(|| LazyCell::new(|| Fields::of_request(host, BODY_LIMIT)));
        key_names.iter().enumerate().find_map(|(n, name)| {
            let found = Found::from(request.header(n))
                .or_else(|| query.as_ref().map_or(Found::Nothing, |query| query::get(query, name)))
                .or_else(|| body.as_deref().and_then(Option::as_ref).map_or(Found::Nothing, |body| body.get(name)));
            (found != Found::Nothing).then_some((name.as_str(), found))
        })
    }

    /// Takes the key out of every place where it may be.
    fn hide(&self, name: &str, request: &mut Request, host: &impl Host) {
        request.remove_header(name);
        if let Some(query) = host.query().filter(|query| query::values(query, name).next().is_some()) {
            request.set_query(&query::without(&query, name));
        }
        if let Some(mut fields) = self.settings.key_in_body.then(|| Fields::of_request(host, BODY_LIMIT)).flatten()
            && fields.remove(name)
        {
            request.set_body(fields.encode());
        }
    }

    fn refuse(&self, message: &str) -> Flow {
        refuse(401, message).header("WWW-Authenticate", &self.challenge)
    }
}

#[cfg(test)]
mod tests;
