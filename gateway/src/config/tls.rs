//! Settings of TLS with clients and targets, under Kong's names where Kong or nginx has one.

use std::{path::PathBuf, str::FromStr, time::Duration};

use super::{
    Config, Problem,
    read::{Reader, SECOND, number, path, switch, time},
};
use crate::tls::{ClientCertificate, Depth, Offer, Suites, TicketLife, Versions};

const DAY: Duration = Duration::from_secs(86_400);
/// The longest time that TLS 1.3 allows for tickets (RFC 8446 §4.6.1).
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// TLS with clients, and this node's certificate for targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEM files of certificate chain and key for names that no `snis` entity has; two where they have different kinds of
    /// keys, none for a self-signed one.
    pub certificates: Vec<(PathBuf, PathBuf)>,
    /// Versions, suites and tickets.
    pub offer: Offer,
    /// Whether clients are asked for a certificate, where the listener does not say.
    pub client_certificate: ClientCertificate,
    /// PEM file of the authorities that vouch for clients.
    pub client_ca: Option<PathBuf>,
    /// How many certificates may stand between that of a client and an authority.
    pub verify_depth: Depth,
    /// OCSP answers about certificates are fetched and stapled to handshakes.
    pub stapling: bool,
    /// PEM files of the certificate chain and key for targets that ask for one, where neither service nor upstream has one.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Why a setting of Kong is not among ours.
pub(super) fn absent(name: &str) -> Option<&'static str> {
    match name {
        "ssl_session_cache_size" => Some("clients keep their sessions in tickets, there is no cache for them"),
        "ssl_dhparam" => Some("there is no key exchange over finite fields (DHE) that would use it"),
        "ssl_ecdh_curve" => Some("X25519MLKEM768, X25519, P-256 and P-384 are offered, and the client's order counts"),
        _ => None,
    }
}

impl Reader {
    pub(super) fn tls(&mut self) -> Tls {
        let offer = self.offer();
        Tls {
            certificates: self.certificates(),
            offer,
            client_certificate: self.take("ssl_verify_client", "off", words),
            client_ca: self.optional("ssl_client_certificate", path),
            verify_depth: Depth(self.take("ssl_verify_depth", "1", number(0, 100))),
            stapling: self.take("ssl_stapling", "off", switch),
            client: self.client_certificate(),
        }
    }

    fn offer(&mut self) -> Offer {
        let set = self.take("ssl_cipher_suite", "intermediate", Set::from_text);
        let versions: Option<Versions> = self.optional("ssl_protocols", words);
        let ciphers = self.optional("ssl_ciphers", words::<Suites>);
        let own_order = self.take("ssl_prefer_server_ciphers", "on", switch);
        let default = if set == Set::Modern { Versions::Only13 } else { Versions::Both };
        if versions.is_none() {
            self.default("ssl_protocols", if set == Set::Modern { "TLSv1.3" } else { "TLSv1.2 TLSv1.3" });
        }
        if ciphers.is_some() && set != Set::Custom {
            self.mistake::<()>("ssl_ciphers", Problem::NeedsCustomSuite);
        }
        let offer = Offer {
            versions: versions.unwrap_or(default),
            own_order: own_order && set == Set::Custom,
            tickets: self.tickets(),
            suites: match set {
                Set::Modern => Suites::modern(),
                Set::Intermediate => Suites::default(),
                Set::Custom => ciphers.unwrap_or_default(),
            },
        };
        if !offer.is_complete() {
            self.mistake::<()>("ssl_protocols", Problem::NoSuite);
        }
        offer
    }

    fn tickets(&mut self) -> Option<TicketLife> {
        let is_on = self.take("ssl_session_tickets", "on", switch);
        let timeout = self.take("ssl_session_timeout", "1d", time(SECOND, WEEK));
        let rotation = self.take("ssl_session_ticket_rotation", "1h", time(SECOND, DAY));
        is_on.then_some(TicketLife { timeout, rotation })
    }

    fn certificates(&mut self) -> Vec<(PathBuf, PathBuf)> {
        let chains = self.optional("ssl_cert", paths).unwrap_or_default();
        let keys = self.optional("ssl_cert_key", paths).unwrap_or_default();
        match (chains.len(), keys.len()) {
            (0, 1..) => _ = self.mistake::<()>("ssl_cert_key", Problem::Alone("ssl_cert")),
            (1.., 0) => _ = self.mistake::<()>("ssl_cert", Problem::Alone("ssl_cert_key")),
            (3.., _) => _ = self.mistake::<()>("ssl_cert", Problem::TooManyCertificates),
            (chains, keys) if chains != keys => _ = self.mistake::<()>("ssl_cert_key", Problem::UnevenCertificates),
            _ => {}
        }
        chains.into_iter().zip(keys).collect()
    }

    fn client_certificate(&mut self) -> Option<(PathBuf, PathBuf)> {
        let is_on = self.take("client_ssl", "off", switch);
        let (chain, key) = (self.optional("client_ssl_cert", path), self.optional("client_ssl_cert_key", path));
        match (is_on, chain, key) {
            (true, Some(chain), Some(key)) => Some((chain, key)),
            (true, None, _) => self.mistake("client_ssl", Problem::Alone("client_ssl_cert")),
            (true, Some(_), None) => self.mistake("client_ssl", Problem::Alone("client_ssl_cert_key")),
            (false, ..) => None,
        }
    }

    /// Listeners that verify clients need somebody who vouches for them.
    pub(super) fn refuse_unverifiable_clients(&mut self, config: &Config) {
        let asked = config.proxy_listen.iter().filter(|listen| listen.tls);
        let asked = asked.map(|listen| listen.client_certificate.unwrap_or(config.tls.client_certificate));
        if config.tls.client_ca.is_none() && asked.into_iter().any(ClientCertificate::is_verified) {
            self.mistake::<()>("ssl_verify_client", Problem::Alone("ssl_client_certificate"));
        }
    }
}

/// Mozilla's sets of cipher suites, by Kong's names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Set {
    Modern,
    Intermediate,
    Custom,
}

impl Set {
    fn from_text(text: &str) -> Result<Self, Problem> {
        match text {
            "modern" => Ok(Self::Modern),
            "intermediate" => Ok(Self::Intermediate),
            "custom" => Ok(Self::Custom),
            other => Err(crate::tls::NotOffered::Set(other.to_owned()).into()),
        }
    }
}

fn words<T: FromStr>(text: &str) -> Result<T, Problem>
where
    Problem: From<T::Err>,
{
    Ok(text.parse()?)
}

fn paths(text: &str) -> Result<Vec<PathBuf>, Problem> {
    text.split(',').map(|part| path(part.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{ConfigError, Settings};
    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let variables = variables.iter().map(|(name, value)| (format!("SANDGATE_{name}").into(), (*value).into()));
        Config::load(&Settings::default(), variables, None)
    }

    #[test]
    fn both_versions_every_suite_and_tickets_are_the_default() {
        let tls = load(&[]).unwrap().tls;
        let tickets = TicketLife { timeout: DAY, rotation: DAY / 24 };
        assert_eq!(tls.offer, Offer { tickets: Some(tickets), ..Offer::default() });
        assert_eq!((tls.certificates, tls.client_certificate), (Vec::new(), ClientCertificate::Off));
    }

    #[test]
    fn modern_is_the_newest_version_only() {
        let offer = load(&[("SSL_CIPHER_SUITE", "modern"), ("SSL_SESSION_TICKETS", "off")]).unwrap().tls.offer;
        let expected = Offer { versions: Versions::Only13, suites: Suites::modern(), ..Offer::default() };
        assert_eq!(offer, expected);
    }

    #[test]
    fn a_list_of_ciphers_is_in_the_servers_order_unless_said_otherwise() {
        let custom = [("SSL_CIPHER_SUITE", "custom"), ("SSL_CIPHERS", "ECDHE-RSA-AES128-GCM-SHA256")];
        assert!(load(&custom).unwrap().tls.offer.own_order);
        let clients = [custom[0], custom[1], ("SSL_PREFER_SERVER_CIPHERS", "off")];
        assert!(!load(&clients).unwrap().tls.offer.own_order);
    }

    #[test]
    fn certificates_come_in_pairs_one_for_each_kind_of_key() {
        let tls = load(&[("SSL_CERT", "a.crt, b.crt"), ("SSL_CERT_KEY", "a.key,b.key")]).unwrap().tls;
        assert_eq!(tls.certificates, [("a.crt".into(), "a.key".into()), ("b.crt".into(), "b.key".into())]);
    }

    #[test]
    fn what_cannot_be_is_explained() {
        let cases: [(&[(&str, &str)], &str); 15] = [
            (&[("SSL_PROTOCOLS", "TLSv1.1 TLSv1.2")], "`TLSv1.1` is not offered, as it is broken"),
            (&[("SSL_PROTOCOLS", "SSLv3")], "`SSLv3` is not offered"),
            (&[("SSL_CIPHER_SUITE", "old")], "`old` is none of modern, intermediate, custom"),
            (&[("SSL_CIPHER_SUITE", "modern"), ("SSL_PROTOCOLS", "TLSv1.2")], "no cipher suite"),
            (&[("SSL_CIPHER_SUITE", "custom"), ("SSL_CIPHERS", "AES128-SHA")], "cipher suite `AES128-SHA`"),
            (&[("SSL_CIPHERS", "ECDHE-RSA-AES128-GCM-SHA256")], "only works with ssl_cipher_suite = custom"),
            (&[("SSL_CERT", "a.crt")], "`ssl_cert_key` is missing"),
            (&[("SSL_CERT_KEY", "a.key")], "`ssl_cert` is missing"),
            (&[("SSL_CERT", "a,b"), ("SSL_CERT_KEY", "a")], "as many keys as certificates"),
            (&[("SSL_CERT", "a,b,c"), ("SSL_CERT_KEY", "a,b,c")], "at most two"),
            (&[("SSL_VERIFY_CLIENT", "yes")], "`yes` is none of off, optional, optional_no_ca, on"),
            (&[("SSL_VERIFY_CLIENT", "on")], "`ssl_client_certificate` is missing"),
            (&[("ADMIN_LISTEN", "127.0.0.1:1 ssl ssl_verify_client=on")], "admin_client_ca"),
            (&[("CLIENT_SSL", "on")], "`client_ssl_cert` is missing"),
            (&[("SSL_DHPARAM", "dh.pem")], "there is no key exchange over finite fields"),
        ];
        for (variables, part) in cases {
            let error = load(variables).expect_err(part).to_string();
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn a_listener_has_its_own_word_about_clients() {
        let listen = ("PROXY_LISTEN", "127.0.0.1:1 ssl ssl_verify_client=on, 127.0.0.1:2 ssl");
        let config = load(&[listen, ("SSL_CLIENT_CERTIFICATE", "ca.pem")]).unwrap();
        let asked = config.proxy_listen.iter().map(|listen| listen.client_certificate).collect::<Vec<_>>();
        assert_eq!(asked, [Some(ClientCertificate::Required), None]);
        assert_eq!(config.proxy_listen[0].to_string(), "127.0.0.1:1 ssl ssl_verify_client=on");
        assert!(load(&[listen]).is_err());
    }
}
