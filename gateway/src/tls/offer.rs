//! What TLS a node speaks: protocol versions, cipher suites, key exchange; in the words of Kong's settings and of OpenSSL.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use rustls::{
    CipherSuite, SupportedProtocolVersion,
    crypto::{
        CryptoProvider, SupportedKxGroup,
        aws_lc_rs::{self, kx_group},
    },
    version::{TLS12, TLS13},
};

/// By the names of OpenSSL and of IANA, the preferred first: AEAD with forward secrecy, and nothing else.
const SUITES: [(CipherSuite, &str, &str); 9] = [
    (CipherSuite::TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
    (CipherSuite::TLS13_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
    (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    ),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    ),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    ),
];

/// Key exchange: of clients their order counts, of targets this one. The hybrid is safe as long as either of its halves is.
const KEY_EXCHANGE: [&dyn SupportedKxGroup; 4] =
    [kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];

/// The cryptography of every connection of this process, with clients, operators and targets.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(made()));
    PROVIDER.clone()
}

fn made() -> CryptoProvider {
    CryptoProvider { kx_groups: KEY_EXCHANGE.to_vec(), ..aws_lc_rs::default_provider() }
}

/// What listeners of clients offer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// Protocol versions.
    pub versions: Versions,
    /// Cipher suites.
    pub suites: Suites,
    /// The order of `suites` decides, not the client's.
    pub own_order: bool,
    /// Sessions that go on in another connection; `None`: none do.
    pub tickets: Option<TicketLife>,
}

impl Offer {
    /// The cryptography with these suites only.
    pub(super) fn provider(&self) -> Arc<CryptoProvider> {
        let whole = provider();
        let of = |suite: &CipherSuite| whole.cipher_suites.iter().find(|known| known.suite() == *suite).copied();
        let cipher_suites = self.suites.0.iter().filter_map(of).collect();
        Arc::new(CryptoProvider { cipher_suites, ..(*whole).clone() })
    }

    /// Whether each of the versions has a suite.
    pub fn is_complete(&self) -> bool {
        let is_new = |suite: &CipherSuite| SUITES[..3].iter().any(|(known, ..)| known == suite);
        let (new, old) = (self.suites.0.iter().any(is_new), !self.suites.0.iter().all(is_new));
        match self.versions {
            Versions::Both => new && old,
            Versions::Only13 => new,
            Versions::Only12 => old,
        }
    }
}

/// How long sessions go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TicketLife {
    /// After the handshake that made the ticket.
    pub timeout: Duration,
    /// After which a new key encrypts tickets.
    pub rotation: Duration,
}

/// Versions of the protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Versions {
    /// TLS 1.2 and 1.3.
    #[default]
    Both,
    /// TLS 1.2 only.
    Only12,
    /// TLS 1.3 only.
    Only13,
}

impl Versions {
    pub(super) fn list(self) -> &'static [&'static SupportedProtocolVersion] {
        static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        match self {
            Self::Both => &BOTH,
            Self::Only13 => &BOTH[..1],
            Self::Only12 => &BOTH[1..],
        }
    }
}

/// A word that names no version, suite or set of suites that is offered.
#[derive(Debug, thiserror::Error)]
pub enum NotOffered {
    /// A protocol version.
    #[error("`{0}` is not offered, as it is broken: use TLSv1.2 and TLSv1.3, or one of them")]
    Version(String),
    /// A cipher suite.
    #[error("the cipher suite `{0}` is not offered, which are: {list}", list = Listed)]
    Suite(String),
    /// A set of cipher suites.
    #[error("`{0}` is none of modern, intermediate, custom; `old` and `fips` are not offered")]
    Set(String),
    /// A list without an element.
    #[error("the list is empty")]
    Empty,
}

/// The names of all suites.
struct Listed;

impl fmt::Display for Listed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = SUITES.iter().map(|(_, name, _)| *name).collect();
        out.write_str(&names.join(" "))
    }
}

impl FromStr for Versions {
    type Err = NotOffered;

    /// nginx's words, with spaces or commas between.
    fn from_str(text: &str) -> Result<Self, NotOffered> {
        let (mut old, mut new) = (false, false);
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            match word {
                "TLSv1.2" => old = true,
                "TLSv1.3" => new = true,
                other => return Err(NotOffered::Version(other.to_owned())),
            }
        }
        match (old, new) {
            (true, true) => Ok(Self::Both),
            (true, false) => Ok(Self::Only12),
            (false, true) => Ok(Self::Only13),
            (false, false) => Err(NotOffered::Empty),
        }
    }
}

/// Cipher suites, the preferred first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suites(Vec<CipherSuite>);

impl Default for Suites {
    /// Mozilla's `intermediate`, without key exchange over finite fields.
    fn default() -> Self {
        Self(SUITES.iter().map(|(suite, ..)| *suite).collect())
    }
}

impl Suites {
    /// Mozilla's `modern`: those of TLS 1.3.
    pub fn modern() -> Self {
        Self(SUITES[..3].iter().map(|(suite, ..)| *suite).collect())
    }
}

impl FromStr for Suites {
    type Err = NotOffered;

    /// Names of OpenSSL or IANA, with colons between. As with OpenSSL the list is about TLS 1.2: a list without a suite of
    /// TLS 1.3 leaves those as they are.
    fn from_str(text: &str) -> Result<Self, NotOffered> {
        let mut chosen = Vec::new();
        for word in text.split([':', ' ', ',']).filter(|word| !word.is_empty()) {
            let known = SUITES.iter().find(|(_, openssl, iana)| word == *openssl || word == *iana);
            let (suite, ..) = known.ok_or_else(|| NotOffered::Suite(word.to_owned()))?;
            if !chosen.contains(suite) {
                chosen.push(*suite);
            }
        }
        if chosen.is_empty() {
            return Err(NotOffered::Empty);
        }
        let modern = Self::modern().0;
        if !chosen.iter().any(|suite| modern.contains(suite)) {
            chosen.splice(0..0, modern);
        }
        Ok(Self(chosen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_versions_are_refused_by_name() {
        for (text, expected) in [
            ("TLSv1.2 TLSv1.3", Ok(Versions::Both)),
            ("TLSv1.3,TLSv1.2", Ok(Versions::Both)),
            ("TLSv1.3", Ok(Versions::Only13)),
            ("TLSv1.2", Ok(Versions::Only12)),
            ("TLSv1.1 TLSv1.2", Err("`TLSv1.1`")),
            ("SSLv3", Err("`SSLv3`")),
            ("", Err("empty")),
        ] {
            match (text.parse::<Versions>(), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn suites_have_the_names_of_openssl_and_of_iana() {
        let one = "ECDHE-RSA-AES128-GCM-SHA256".parse::<Suites>().unwrap();
        assert_eq!(one, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".parse().unwrap());
        assert_eq!(one.0.len(), 4, "those of TLS 1.3 stay");
        assert_eq!("TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256".parse::<Suites>().unwrap().0.len(), 2);
        let error = "ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA".parse::<Suites>().unwrap_err().to_string();
        assert!(error.contains("`AES128-SHA`") && error.contains("ECDHE-ECDSA-CHACHA20-POLY1305"), "{error}");
    }

    #[test]
    fn every_named_suite_is_there_and_no_other() {
        let offered = Offer::default().provider();
        assert_eq!(offered.cipher_suites.len(), SUITES.len());
        assert_eq!(provider().cipher_suites.len(), SUITES.len());
    }

    #[test]
    fn a_version_without_a_suite_is_seen() {
        let of = |versions, suites: &str| Offer { versions, suites: suites.parse().unwrap(), ..Offer::default() };
        assert!(of(Versions::Both, "ECDHE-RSA-AES128-GCM-SHA256").is_complete());
        assert!(!of(Versions::Only12, "TLS_AES_128_GCM_SHA256").is_complete());
        assert!(!of(Versions::Both, "TLS_AES_128_GCM_SHA256").is_complete());
        assert!(Offer::default().is_complete());
    }

    #[test]
    fn the_hybrid_key_exchange_is_offered_first() {
        assert_eq!(provider().kx_groups[0].name(), rustls::NamedGroup::X25519MLKEM768);
    }
}
