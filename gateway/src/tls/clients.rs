//! Certificates of clients: whether they are asked for, and who vouches for them.

use std::{str::FromStr, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::CryptoProvider,
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{Depth, TlsError};

/// Whether a listener asks its clients for a certificate. The words are those of nginx's `ssl_verify_client`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClientCertificate {
    /// No.
    #[default]
    Off,
    /// It asks; one that is shown must lead to the authorities.
    Optional,
    /// It asks and takes any, whose owner is proven and by nobody vouched for. Plugins may judge it.
    Unverified,
    /// There is no connection without one that leads to the authorities.
    Required,
}

impl ClientCertificate {
    /// All of them, in the order of their declaration.
    pub(super) const ALL: [Self; 4] = [Self::Off, Self::Optional, Self::Unverified, Self::Required];

    /// Whether authorities vouch for what is shown.
    pub fn is_verified(self) -> bool {
        matches!(self, Self::Optional | Self::Required)
    }

    /// As settings write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Optional => "optional",
            Self::Unverified => "optional_no_ca",
            Self::Required => "on",
        }
    }
}

/// A word that says nothing about certificates of clients.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is none of off, optional, optional_no_ca, on")]
pub struct UnknownWord(String);

impl FromStr for ClientCertificate {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let known = Self::ALL.into_iter().find(|each| each.as_str() == text);
        known.ok_or_else(|| UnknownWord(text.to_owned()))
    }
}

/// The certificates that a client showed, its own first. It has proven to own the key of that one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientChain {
    /// In DER.
    pub certificates: Vec<CertificateDer<'static>>,
    /// They lead to an authority of the listener, and were valid when the connection was made.
    pub verified: bool,
}

/// Who vouches for clients.
#[derive(Debug, Clone)]
pub struct ClientRoots {
    /// The authorities.
    pub roots: Arc<RootCertStore>,
    /// How many certificates may stand between that of a client and an authority.
    pub depth: Depth,
}

/// What a handshake does about the client's certificate; `None` where it does not ask.
pub(super) fn verifier(
    asked: ClientCertificate,
    clients: Option<&ClientRoots>,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let unvouched =
        |takes| Some(Arc::new(Unvouched { provider: provider.clone(), takes }) as Arc<dyn ClientCertVerifier>);
    let (is_optional, clients) = match (asked, clients) {
        (ClientCertificate::Off, _) => return Ok(None),
        (ClientCertificate::Unverified, _) => return Ok(unvouched(true)),
        // The settings refuse this where a listener needs it.
        (ClientCertificate::Optional | ClientCertificate::Required, None) => return Ok(unvouched(false)),
        (ClientCertificate::Optional, Some(clients)) => (true, clients),
        (ClientCertificate::Required, Some(clients)) => (false, clients),
    };
    let builder = WebPkiClientVerifier::builder_with_provider(clients.roots.clone(), provider.clone());
    let builder = if is_optional { builder.allow_unauthenticated() } else { builder };
    Ok(Some(Arc::new(Bounded { verifier: builder.build()?, depth: clients.depth })))
}

/// Lets no chain pass that has more certificates between its ends than the depth says.
#[derive(Debug)]
struct Bounded {
    verifier: Arc<dyn ClientCertVerifier>,
    depth: Depth,
}

impl ClientCertVerifier for Bounded {
    fn offer_client_auth(&self) -> bool {
        self.verifier.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.depth.verify(intermediates, |some| self.verifier.verify_client_cert(end_entity, some, now))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

impl Depth {
    /// Whether a chain of at most this many certificates in between leads to an authority. What `verify` does not see it
    /// cannot lead a chain through; an authority that is sent along, as the last one, is not needed to get there.
    pub(super) fn verify<T>(
        self,
        intermediates: &[CertificateDer<'_>],
        mut verify: impl FnMut(&[CertificateDer<'_>]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let depth = usize::from(self.0);
        if intermediates.len() <= depth {
            return verify(intermediates);
        }
        if depth == 0 {
            return verify(&[]);
        }
        let mut refused = None;
        for some in intermediates.windows(depth) {
            match verify(some) {
                Ok(verified) => return Ok(verified),
                Err(error) => _ = refused.get_or_insert(error),
            }
        }
        Err(refused.unwrap_or(Error::InvalidCertificate(CertificateError::UnknownIssuer)))
    }
}

/// Nobody vouches for clients: takes every certificate, or lets nobody in. The signature over the handshake is checked in any
/// case, so that the client owns its key.
#[derive(Debug)]
struct Unvouched {
    provider: Arc<CryptoProvider>,
    takes: bool,
}

impl ClientCertVerifier for Unvouched {
    fn client_auth_mandatory(&self) -> bool {
        !self.takes
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.takes {
            true => Ok(ClientCertVerified::assertion()),
            false => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
