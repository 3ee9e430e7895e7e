//! `POST /routes/explain`: from what an operator writes to a request that the proxy can judge.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header};
use serde_json::Value;

use crate::{
    admin::Explain,
    proxy::{self, Supposed},
    snapshot::Published,
};

/// Explains by the configuration that is served at that moment. The error says what is wrong with the question.
pub(super) fn explain(published: &Published, asked: &Explain) -> Result<Value, String> {
    Ok(proxy::explain(&published.current.load(), &supposed(asked)?))
}

fn supposed(asked: &Explain) -> Result<Supposed, String> {
    let url: Uri = match &asked.url {
        None => Uri::default(),
        Some(_) if asked.host.is_some() || asked.path.is_some() => {
            return Err("url: cannot be set together with host or path".to_owned());
        }
        Some(url) => url.parse().map_err(|error| format!("url: {error}"))?,
    };
    let (is_tls, is_grpc) = match asked.protocol.as_deref().or(url.scheme_str()).unwrap_or("http") {
        "https" => (true, false),
        "http" => (false, false),
        "grpcs" => (true, true),
        "grpc" => (false, true),
        other => return Err(format!("protocol: '{other}' is none of http, https, grpc, grpcs")),
    };
    let host = asked.host.as_deref().or(url.authority().map(|authority| authority.as_str())).unwrap_or_default();
    let path = asked.path.as_deref().or(url.path_and_query().map(|target| target.as_str())).unwrap_or("/");
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let sni = asked.sni.clone().or_else(|| (!name.is_empty()).then(|| name.to_owned()));
    let port = host.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let port = asked.port.or(port).unwrap_or(if is_tls { 443 } else { 80 });
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Ok(Supposed {
        method: Method::from_bytes(asked.method.as_bytes()).map_err(|error| format!("method: {error}"))?,
        target: path.parse().map_err(|error| format!("path: {error}"))?,
        headers: headers(asked, host, is_grpc)?,
        version: version(asked, is_grpc)?,
        tls: is_tls.then_some(sni),
        client: SocketAddr::new(asked.client_ip.unwrap_or(local), 0),
        local: SocketAddr::new(local, port),
        consumer: asked.consumer.clone(),
    })
}

/// `None`: whatever the route needs.
fn version(asked: &Explain, is_grpc: bool) -> Result<Option<Version>, String> {
    match asked.http_version.as_deref() {
        None => Ok(is_grpc.then_some(Version::HTTP_2)),
        Some("1.0") => Ok(Some(Version::HTTP_10)),
        Some("1.1") => Ok(Some(Version::HTTP_11)),
        Some("2") => Ok(Some(Version::HTTP_2)),
        Some(other) => Err(format!("http_version: '{other}' is none of 1.0, 1.1, 2")),
    }
}

/// A gRPC client says what it sends, and nobody has to say that for it.
fn headers(asked: &Explain, host: &str, is_grpc: bool) -> Result<HeaderMap, String> {
    let value = |name: &str, text: &str| HeaderValue::from_str(text).map_err(|error| format!("{name}: {error}"));
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, value("host", host)?);
    for (name, values) in &asked.headers {
        let parsed: HeaderName = name.parse().map_err(|error| format!("headers.{name}: {error}"))?;
        if parsed == header::HOST {
            return Err("headers.host: use host in its place".to_owned());
        }
        for text in values.all() {
            headers.append(parsed.clone(), value(name, text)?);
        }
    }
    if is_grpc && !headers.contains_key(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    }
    Ok(headers)
}
