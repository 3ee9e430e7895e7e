//! About the request in hand, with the changes of earlier plugins.

use crate::{
    bindings::sandgate::plugin::request,
    host::{Header, HostError, ShownCertificates, WasmHost},
};

/// About the request in hand, with the changes of earlier plugins.
pub trait RequestInfo {
    /// Method as the client sent it.
    fn request_method(&self) -> String;
    /// `http` or `https`, as this listener saw it.
    fn scheme(&self) -> String;
    /// Host header (or `:authority`), port included.
    fn request_host(&self) -> String;
    /// Canonical path: the one that routes were matched against.
    fn path(&self) -> String;
    /// Path that goes to the upstream.
    fn upstream_path(&self) -> String;
    /// Without `?`; `None` when there is no `?`.
    fn query(&self) -> Option<String>;
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`.
    fn http_version(&self) -> String;
    /// Address of the client, after trusted_ips.
    fn client_address(&self) -> String;
    /// Address and port that the client connected to.
    fn server_address(&self) -> (String, u16);
    /// Serial number of the connection in this process, and of the request on it.
    fn connection(&self) -> (u64, u64);
    /// 32 hexadecimal digits.
    fn request_id(&self) -> String;
    /// What the client showed in the TLS handshake; `None` without TLS, or where it was not asked or had none.
    fn client_certificates(&self) -> Option<ShownCertificates>;
    /// First value of a header. A declared header costs less.
    fn request_header(&self, name: &str) -> Option<String>;
    /// Every value of a header, as bytes.
    fn request_header_values(&self, name: &str) -> Vec<Vec<u8>>;
    /// All headers: many times the cost of one.
    fn request_headers(&self) -> Vec<Header>;
    /// Id of the route that matched.
    fn route_id(&self) -> Option<String>;
    /// Name of the route that matched.
    fn route_name(&self) -> Option<String>;
    /// Id of the service.
    fn service_id(&self) -> Option<String>;
    /// Name of the service.
    fn service_name(&self) -> Option<String>;
    /// Named and numbered groups of the regex path that matched.
    fn uri_captures(&self) -> Vec<Header>;
    /// Waits for the whole body, up to `limit` bytes; it still goes to the upstream. Phase: `on_request`.
    fn read_body(&self, limit: u32) -> Result<Vec<u8>, HostError>;
}

impl RequestInfo for WasmHost {
    fn request_method(&self) -> String {
        request::method()
    }

    fn scheme(&self) -> String {
        request::scheme()
    }

    fn request_host(&self) -> String {
        request::host()
    }

    fn path(&self) -> String {
        request::path()
    }

    fn upstream_path(&self) -> String {
        request::upstream_path()
    }

    fn query(&self) -> Option<String> {
        request::query()
    }

    fn http_version(&self) -> String {
        request::version()
    }

    fn client_address(&self) -> String {
        request::client_address()
    }

    fn server_address(&self) -> (String, u16) {
        request::server_address()
    }

    fn connection(&self) -> (u64, u64) {
        request::connection()
    }

    fn request_id(&self) -> String {
        request::request_id()
    }

    fn client_certificates(&self) -> Option<ShownCertificates> {
        request::client_certificates()
    }

    fn request_header(&self, name: &str) -> Option<String> {
        request::get_header(name)
    }

    fn request_header_values(&self, name: &str) -> Vec<Vec<u8>> {
        request::get_header_values(name)
    }

    fn request_headers(&self) -> Vec<Header> {
        request::all_headers()
    }

    fn route_id(&self) -> Option<String> {
        request::route_id()
    }

    fn route_name(&self) -> Option<String> {
        request::route_name()
    }

    fn service_id(&self) -> Option<String> {
        request::service_id()
    }

    fn service_name(&self) -> Option<String> {
        request::service_name()
    }

    fn uri_captures(&self) -> Vec<Header> {
        request::uri_captures()
    }

    fn read_body(&self, limit: u32) -> Result<Vec<u8>, HostError> {
        request::read_body(limit)
    }
}
