//! Protocol upgrades. None is forwarded yet (WebSocket is to come): a request that asks for one is served as a plain
//! request, which RFC 9110 §7.8 allows.

use http::request::Parts;

/// Takes the HTTP engine's handle out of the request, so that the connection stays one for HTTP. The headers go with the
/// other hop-by-hop ones.
pub(super) fn disarm(parts: &mut Parts) {
    if !parts.extensions.is_empty() {
        parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
    }
}
