//! Browsers. As long as the Admin API is open to this machine, every page in a browser on it could speak to it; Kong lets
//! pages read the answers, and so do we, but a page from elsewhere changes nothing.

use http::{HeaderMap, HeaderValue, Method, header};

use super::{super::answer::Answer, Access, Door, Identity};

/// Says which pages may read an answer: as Kong does where no token is needed, without credentials where one is.
pub(in crate::admin) fn cross_origin(access: &Access, door: &Door, request: &HeaderMap, answer: &mut Answer) {
    let (origin, open) = (request.get(header::ORIGIN), access.is_open(door));
    let any = HeaderValue::from_static("*");
    let allowed = match access.settings.origins.first() {
        Some(first) => {
            let named = origin.filter(|origin| is_named(access, origin));
            named.cloned().or_else(|| HeaderValue::try_from(first.as_str()).ok()).unwrap_or(any)
        }
        None => origin.filter(|_| open).cloned().unwrap_or(any),
    };
    answer.set(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    if open {
        answer.set(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
}

/// Refuses a request with which a page from elsewhere would change something by what the browser adds to it: nothing at
/// all, or a client certificate. Tokens are never added by a browser. Errors: where the page is from.
pub(in crate::admin) fn refuse_foreign(
    access: &Access,
    identity: &Identity,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(), String> {
    let (checked, local_is_fine) = match identity {
        Identity::Anyone => (true, true),
        Identity::Known { ambient, .. } => (*ambient, false),
    };
    if !checked || method.is_safe() {
        return Ok(());
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        let cross_site = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
        return if cross_site { Err("unknown".to_owned()) } else { Ok(()) };
    };
    // Where the request was sent is no proof: a page can give its own name the address of this machine.
    if is_named(access, origin) || (local_is_fine && is_local(origin)) {
        return Ok(());
    }
    Err(String::from_utf8_lossy(origin.as_bytes()).into_owned())
}

fn is_named(access: &Access, origin: &HeaderValue) -> bool {
    access.settings.origins.iter().any(|named| named.as_bytes() == origin.as_bytes())
}

/// Whether the page came from this machine.
fn is_local(origin: &HeaderValue) -> bool {
    let uri = origin.to_str().ok().and_then(|text| text.parse::<http::Uri>().ok());
    let Some(host) = uri.as_ref().and_then(http::Uri::host) else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    address.map_or_else(|_| host == "localhost" || host.ends_with(".localhost"), |address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_this_machine_are_told_from_others() {
        for (origin, local) in [
            ("http://localhost:8002", true),
            ("http://127.0.0.1:8002", true),
            ("http://127.8.9.1", true),
            ("http://[::1]:8002", true),
            ("http://app.localhost", true),
            ("https://evil.test", false),
            ("http://127.0.0.1.evil.test", false),
            ("http://localhost.evil.test", false),
            ("http://evil-localhost", false),
            ("http://user@evil.test", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(is_local(&HeaderValue::from_static(origin)), local, "{origin}");
        }
    }
}
