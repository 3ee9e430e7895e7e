//! What a client certificate says about its owner.

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

/// A client certificate that was verified in the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// SHA-256 of the certificate, lower-case hexadecimal.
    pub fingerprint: String,
    /// In the order of the certificate: `C=NL, O=Example, CN=ops`.
    pub subject: String,
    /// Alternative names: DNS names, addresses, mail addresses and URIs.
    pub names: Vec<String>,
    /// Unix seconds until which it is valid.
    pub not_after: i64,
}

impl ClientIdentity {
    /// Reads a certificate in DER; `None` when it is none.
    pub fn read(certificate: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let alternative = parsed.subject_alternative_name().ok().flatten();
        let names = alternative.iter().flat_map(|names| &names.value.general_names).filter_map(text).collect();
        let fingerprint = digest(&SHA256, certificate).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let (subject, not_after) = (parsed.subject().to_string(), parsed.validity().not_after.timestamp());
        Some(Self { fingerprint, subject, names, not_after })
    }
}

fn text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => Some((*text).to_owned()),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn a_certificate_says_who_its_owner_is() {
        let mut params = CertificateParams::new(vec!["ops.example".to_owned(), "192.0.2.7".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI("spiffe://example/ops".try_into().unwrap()));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.distinguished_name.push(DnType::CommonName, "ops");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let identity = ClientIdentity::read(certificate.der()).unwrap();
        assert_eq!(identity.subject, "O=Example, CN=ops");
        assert_eq!(identity.names, ["ops.example", "192.0.2.7", "spiffe://example/ops"]);
        assert_eq!(identity.fingerprint.len(), 64);
    }

    #[test]
    fn other_bytes_are_no_certificate() {
        assert_eq!(ClientIdentity::read(b"nonsense"), None);
    }
}
