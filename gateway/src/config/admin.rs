//! Settings of the Admin API: who may use it, and what its requests may use.

use std::{fmt, path::PathBuf, time::Duration};

use super::{
    ByteCount, Problem,
    read::{KIB, MIB, Reader, SECOND, number, path, size, time},
};

/// The least that a token by setting must have. Shorter ones are words that somebody chose.
const TOKEN_LENGTH: usize = 32;

/// The Admin API's own settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// A token that may do everything and needs no database.
    pub token: Option<BootstrapToken>,
    /// Certificate chain and key of listeners with `ssl`; the self-signed default otherwise.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Client certificates of this CA show who one is.
    pub client_ca: Option<PathBuf>,
    /// Role of client certificates that no `/admin-certificates` names.
    pub client_role: Option<String>,
    /// Origins of web interfaces that may call it.
    pub origins: Vec<String>,
    /// Open connections, for each of the Admin and the Status API.
    pub connections: usize,
    /// Requests that are answered at once.
    pub requests: usize,
    /// Bytes of a request's headers.
    pub header_limit: ByteCount,
    /// Bytes of a body, modules apart.
    pub body_limit: ByteCount,
    /// For a handshake, the head of a request, and an idle connection.
    pub header_timeout: Duration,
    /// For a body to arrive.
    pub body_timeout: Duration,
}

/// A token by setting; never shown.
#[derive(Clone, PartialEq, Eq)]
pub enum BootstrapToken {
    /// The token itself.
    Text(String),
    /// The first line of this file.
    File(PathBuf),
}

impl BootstrapToken {
    /// Reads the file, if it is one.
    ///
    /// # Errors
    /// When it cannot be read, or holds too short a token.
    pub fn resolve(&self) -> Result<String, Problem> {
        match self {
            Self::Text(text) => token(text),
            Self::File(path) => {
                let text = std::fs::read_to_string(path).map_err(Problem::File)?;
                token(text.lines().next().unwrap_or_default())
            }
        }
    }
}

impl fmt::Debug for BootstrapToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => out.write_str("Text(…)"),
            Self::File(path) => out.debug_tuple("File").field(path).finish(),
        }
    }
}

impl Reader {
    pub(super) fn admin(&mut self) -> Admin {
        Admin {
            token: self.admin_token(),
            certificate: self.admin_certificate(),
            client_ca: self.optional("admin_client_ca", path),
            client_role: self.optional("admin_client_role", |text| Ok(text.to_owned())),
            origins: self.optional("admin_gui_url", origins).unwrap_or_default(),
            connections: self.take("admin_connections", "512", number(1, 100_000)),
            requests: self.take("admin_requests", "256", number(1, 100_000)),
            header_limit: self.take("admin_header_limit", "32KiB", size(8 * KIB, MIB)),
            body_limit: self.take("admin_body_limit", "10MiB", size(64 * KIB, 1024 * MIB)),
            header_timeout: self.take("admin_header_timeout", "60s", time(SECOND, 3600 * SECOND)),
            body_timeout: self.take("admin_body_timeout", "5m", time(SECOND, 86_400 * SECOND)),
        }
    }

    fn admin_token(&mut self) -> Option<BootstrapToken> {
        let text = self.optional("admin_token", token).map(BootstrapToken::Text);
        let file = self.optional("admin_token_file", path).map(BootstrapToken::File);
        if text.is_some() && file.is_some() {
            self.mistake::<()>("admin_token_file", Problem::Both("admin_token"));
        }
        text.or(file)
    }

    fn admin_certificate(&mut self) -> Option<(PathBuf, PathBuf)> {
        let (chain, key) = (self.optional("admin_ssl_cert", path), self.optional("admin_ssl_cert_key", path));
        match (chain, key) {
            (Some(chain), Some(key)) => Some((chain, key)),
            (Some(_), None) => self.mistake("admin_ssl_cert", Problem::Alone("admin_ssl_cert_key")),
            (None, Some(_)) => self.mistake("admin_ssl_cert_key", Problem::Alone("admin_ssl_cert")),
            (None, None) => None,
        }
    }
}

fn token(text: &str) -> Result<String, Problem> {
    let is_sound = text.len() >= TOKEN_LENGTH && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_sound { Ok(text.to_owned()) } else { Err(Problem::Token(TOKEN_LENGTH)) }
}

/// Of each URL what a browser sends as `Origin`: scheme, host, and a port that is not the usual one.
fn origins(text: &str) -> Result<Vec<String>, Problem> {
    text.split(',').map(|part| origin(part.trim()).ok_or_else(|| Problem::Url(part.trim().to_owned()))).collect()
}

fn origin(url: &str) -> Option<String> {
    let url: http::Uri = url.parse().ok()?;
    let (scheme, host) = (url.scheme_str()?, url.host()?.to_ascii_lowercase());
    let usual = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let port = url.port_u16().filter(|port| *port != usual);
    Some(port.map_or_else(|| format!("{scheme}://{host}"), |port| format!("{scheme}://{host}:{port}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for (url, expected) in [
            ("http://localhost:8002", Some("http://localhost:8002")),
            ("https://Ops.example/manager/", Some("https://ops.example")),
            ("https://ops.example:443", Some("https://ops.example")),
            ("http://ops.example:443", Some("http://ops.example:443")),
            ("ops.example", None),
            ("ftp://ops.example", None),
        ] {
            assert_eq!(origin(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn a_token_by_setting_is_never_shown() {
        let token = BootstrapToken::Text("a-secret-that-nobody-may-ever-see".to_owned());
        assert!(!format!("{token:?}").contains("secret"));
    }
}
