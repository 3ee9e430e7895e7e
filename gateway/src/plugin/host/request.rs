//! `request`.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Version};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use crate::plugin::{
    bindings::sandgate::plugin::{
        request::{Host, ShownCertificates},
        types::HostError,
    },
    exchange::{Exchange, RequestBody},
    instance::{HostState, Stage},
};

/// No plugin makes the gateway hold more of a body.
const MOST: usize = 8 << 20;

impl HostState {
    fn of_request<R: Default>(&self, read: impl FnOnce(&Exchange) -> R) -> R {
        self.exchange.as_ref().map(|exchange| read(exchange)).unwrap_or_default()
    }
}

impl Host for HostState {
    fn method(&mut self) -> String {
        self.of_request(|exchange| exchange.client_method.to_string())
    }

    fn scheme(&mut self) -> String {
        let scheme = |exchange: &Exchange| if exchange.connection.tls.is_some() { "https" } else { "http" };
        self.of_request(|exchange| scheme(exchange).to_owned())
    }

    fn host(&mut self) -> String {
        self.of_request(|exchange| exchange.host.to_string())
    }

    fn path(&mut self) -> String {
        self.of_request(|exchange| exchange.path.to_string())
    }

    fn upstream_path(&mut self) -> String {
        self.of_request(|exchange| exchange.upstream.path.clone())
    }

    fn query(&mut self) -> Option<String> {
        self.of_request(|exchange| exchange.upstream.query.clone())
    }

    fn version(&mut self) -> String {
        let version = |exchange: &Exchange| match exchange.request.version {
            Version::HTTP_2 => "HTTP/2",
            Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        };
        self.of_request(|exchange| version(exchange).to_owned())
    }

    fn client_address(&mut self) -> String {
        self.of_request(|exchange| exchange.client.to_string())
    }

    fn server_address(&mut self) -> (String, u16) {
        self.of_request(|exchange| (exchange.connection.local.ip().to_string(), exchange.connection.local.port()))
    }

    fn connection(&mut self) -> (u64, u64) {
        self.of_request(|exchange| (exchange.connection.serial, exchange.number))
    }

    fn request_id(&mut self) -> String {
        self.of_request(|exchange| exchange.id.as_str().to_owned())
    }

    fn client_certificates(&mut self) -> Option<ShownCertificates> {
        self.of_request(|exchange| {
            let client = exchange.connection.tls.as_ref()?.client.as_ref()?;
            let chain = client.certificates.iter().map(|certificate| certificate.to_vec()).collect();
            Some(ShownCertificates { chain, verified: client.verified })
        })
    }

    fn get_header(&mut self, name: String) -> Option<String> {
        self.of_request(|exchange| first(&exchange.request.headers, &name))
    }

    fn get_header_values(&mut self, name: String) -> Vec<Vec<u8>> {
        self.of_request(|exchange| every(&exchange.request.headers, &name))
    }

    fn all_headers(&mut self) -> Vec<(String, String)> {
        self.of_request(|exchange| all(&exchange.request.headers))
    }

    fn route_id(&mut self) -> Option<String> {
        self.of_request(|exchange| exchange.route.route_id.as_deref().map(str::to_owned))
    }

    fn route_name(&mut self) -> Option<String> {
        self.of_request(|exchange| exchange.route.route_name.as_deref().map(str::to_owned))
    }

    fn service_id(&mut self) -> Option<String> {
        self.of_request(|exchange| exchange.route.service_id.as_deref().map(str::to_owned))
    }

    fn service_name(&mut self) -> Option<String> {
        self.of_request(|exchange| exchange.route.service_name.as_deref().map(str::to_owned))
    }

    fn uri_captures(&mut self) -> Vec<(String, String)> {
        self.of_request(|exchange| exchange.captures.clone())
    }

    async fn read_body(&mut self, limit: u32) -> Result<Vec<u8>, HostError> {
        let at_headers = self.stage == Stage::RequestHeaders;
        let Some(exchange) = self.exchange.as_mut().filter(|_| at_headers) else {
            return Err(HostError::Invalid("a body can be read in the request-headers phase only".into()));
        };
        let limit = MOST.min(limit as usize);
        match std::mem::take(&mut exchange.body) {
            RequestBody::Empty => Ok(Vec::new()),
            RequestBody::Buffered(bytes) => {
                exchange.body = RequestBody::Buffered(bytes.clone());
                if bytes.len() > limit { Err(too_large(limit)) } else { Ok(bytes.to_vec()) }
            }
            RequestBody::Partial(read, rest) => {
                exchange.body = RequestBody::Partial(read, rest);
                Err(too_large(limit))
            }
            RequestBody::Incoming(body) => {
                let (read, body) = collect(body, limit).await?;
                exchange.body = body;
                read.map(|bytes| bytes.to_vec())
            }
        }
    }
}

/// How long a body may take that a plugin waits for. Its instance serves nobody else meanwhile, and there are few.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads up to `limit`, for as long as [`PATIENCE`] says. A larger body, or a slower one, stays whole: what was read is put
/// before the rest.
async fn collect(
    mut body: hyper::body::Incoming,
    limit: usize,
) -> Result<(Result<Bytes, HostError>, RequestBody), HostError> {
    let mut read = BytesMut::new();
    let end = Instant::now() + PATIENCE;
    loop {
        let Ok(frame) = timeout_at(end, body.frame()).await else {
            let late = HostError::Failed(format!("the client did not send its body in {PATIENCE:?}"));
            return Ok((Err(late), RequestBody::Partial(read.freeze(), body)));
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| HostError::Failed(format!("the client did not send its body: {error}")))?;
        if let Ok(data) = frame.into_data() {
            read.extend_from_slice(&data);
        }
        if read.len() > limit {
            return Ok((Err(too_large(limit)), RequestBody::Partial(read.freeze(), body)));
        }
    }
    let bytes = read.freeze();
    Ok((Ok(bytes.clone()), RequestBody::Buffered(bytes)))
}

fn too_large(limit: usize) -> HostError {
    HostError::Invalid(format!("the body has more than {limit} bytes"))
}

/// First value of a header as text.
pub(super) fn first(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    std::str::from_utf8(value.as_bytes()).ok().map(str::to_owned)
}

/// Every value of a header.
pub(super) fn every(headers: &HeaderMap, name: &str) -> Vec<Vec<u8>> {
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { return Vec::new() };
    headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect()
}

/// Every header; bytes that are not UTF-8 are replaced.
pub(super) fn all(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect()
}
