//! Who may use the Admin API. Decides for each request who asks and what they may do, from memory: the rows come with the
//! snapshot, and a write through this node counts before it is answered. Reasons: docs/decisions/0010-admin-access.md.

mod attempts;
mod demand;
mod gate;
mod origin;
mod resources;
mod secret;
mod table;

use std::{net::SocketAddr, sync::Arc};

use http::{HeaderMap, header};

use crate::{
    model::{Role, Touched, Verb},
    tls::ClientIdentity,
};

pub use gate::{Access, AccessSettings, Newest};
pub use resources::{NewToken, NewTokenError, new_token};
pub use secret::Bootstrap;

pub(super) use demand::{Demand, demands};
pub(super) use gate::Denied;
pub(super) use origin::{cross_origin, refuse_foreign};
pub(super) use resources::{collection, entity, hidden, present, who};

/// Kong's header for tokens of operators; `Authorization: Bearer` is the other way.
const KONG_TOKEN: &str = "kong-admin-token";

/// Where a request came in. Whoever serves the routers puts one into the extensions of each request; without one it
/// counts as a stranger's.
#[derive(Debug, Clone)]
pub struct Door {
    /// The directly connected peer.
    pub peer: SocketAddr,
    /// Whether other machines reach the listener.
    pub public: bool,
    /// The certificate that the peer proved to own, if a CA for them is known.
    pub certificate: Option<Arc<ClientIdentity>>,
}

impl Default for Door {
    fn default() -> Self {
        Self { peer: ([0, 0, 0, 0], 0).into(), public: true, certificate: None }
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) enum Identity {
    /// Anyone on this machine, as long as there are no tokens.
    Anyone,
    /// Somebody who showed a token or a certificate.
    Known {
        /// `token:ci`, `certificate:ops` or `bootstrap`.
        name: Arc<str>,
        /// What they may do.
        roles: Vec<Arc<Role>>,
        /// A browser would show the certificate to any page's request.
        ambient: bool,
    },
}

impl Identity {
    /// For logs and the audit.
    pub(super) fn name(&self) -> Arc<str> {
        match self {
            Self::Anyone => "anonymous".into(),
            Self::Known { name, .. } => name.clone(),
        }
    }

    pub(super) fn allows(&self, verb: Verb, touched: &Touched<'_>) -> bool {
        match self {
            Self::Anyone => true,
            Self::Known { roles, .. } => roles.iter().any(|role| role.allows(verb, touched)),
        }
    }
}

/// The token that a request shows. Errors: it shows something else in its place, or two.
fn shown(headers: &HeaderMap) -> Result<Option<&str>, ()> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(());
    }
    if let Some(value) = first {
        let (scheme, token) = value.to_str().map_err(drop)?.split_once(' ').ok_or(())?;
        return if scheme.eq_ignore_ascii_case("bearer") { Ok(Some(token.trim())) } else { Err(()) };
    }
    headers.get(KONG_TOKEN).map(|value| value.to_str().map(str::trim).map_err(drop)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_in_one_of_two_headers() {
        type Given = &'static [(&'static str, &'static str)];
        let rows: [(Given, Result<Option<&str>, ()>); 8] = [
            (&[], Ok(None)),
            (&[("authorization", "Bearer abc")], Ok(Some("abc"))),
            (&[("authorization", "bearer  abc ")], Ok(Some("abc"))),
            (&[("authorization", "Basic abc")], Err(())),
            (&[("authorization", "abc")], Err(())),
            (&[("authorization", "Bearer abc"), ("authorization", "Bearer abd")], Err(())),
            (&[("kong-admin-token", "abc")], Ok(Some("abc"))),
            (&[("authorization", "Bearer abc"), ("kong-admin-token", "abd")], Ok(Some("abc"))),
        ];
        for (given, expected) in rows {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.append(http::HeaderName::from_static(name), http::HeaderValue::from_static(value));
            }
            assert_eq!(shown(&headers), expected, "{given:?}");
        }
    }
}
