//! What became of TLS handshakes: counted, since their clients can fail them as often as they like and the log is no place
//! for that.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
};

use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};

/// Counted by one worker, read from other threads.
#[derive(Debug, Default)]
pub struct Handshakes {
    /// By version and whether a session went on, see [`Handshakes::KINDS`].
    done: [AtomicU64; 4],
    nameless: AtomicU64,
    failed: [AtomicU64; HandshakeFailure::ALL.len()],
}

impl Handshakes {
    /// Version, and whether the session is that of an earlier connection.
    pub const KINDS: [(&str, bool); 4] = [("TLSv1.2", false), ("TLSv1.2", true), ("TLSv1.3", false), ("TLSv1.3", true)];

    /// Those that were completed, in the order of [`Handshakes::KINDS`].
    pub fn done(&self, kind: usize) -> u64 {
        self.done.get(kind).map_or(0, |number| number.load(Ordering::Relaxed))
    }

    /// Completed ones whose client named no server; an address is no name (RFC 6066 §3).
    pub fn nameless(&self) -> u64 {
        self.nameless.load(Ordering::Relaxed)
    }

    /// Those that failed for this reason.
    pub fn failed(&self, failure: HandshakeFailure) -> u64 {
        self.failed[failure as usize].load(Ordering::Relaxed)
    }

    pub(super) fn complete(&self, session: &ServerConnection) {
        let is_new = session.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let is_resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        self.done[2 * usize::from(is_new) + usize::from(is_resumed)].fetch_add(1, Ordering::Relaxed);
        if session.server_name().is_none() {
            self.nameless.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn fail(&self, error: &io::Error) {
        self.failed[HandshakeFailure::of(error) as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// Why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// The connection ended.
    BrokenOff,
    /// Nothing is offered that the client speaks.
    Incompatible,
    /// The client said that it does not go on, such as for the certificate that it was shown.
    ClientRefused,
    /// A certificate was wanted and none shown.
    NoCertificate,
    /// The certificate of the client is none, or leads to nobody who vouches for it.
    BadCertificate,
    /// What came is not TLS.
    Malformed,
}

impl HandshakeFailure {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 6] = [
        Self::BrokenOff,
        Self::Incompatible,
        Self::ClientRefused,
        Self::NoCertificate,
        Self::BadCertificate,
        Self::Malformed,
    ];

    /// Stable: the label `reason` of the metric.
    pub fn code(self) -> &'static str {
        match self {
            Self::BrokenOff => "broken-off",
            Self::Incompatible => "incompatible",
            Self::ClientRefused => "client-refused",
            Self::NoCertificate => "no-client-certificate",
            Self::BadCertificate => "bad-client-certificate",
            Self::Malformed => "malformed",
        }
    }

    fn of(error: &io::Error) -> Self {
        let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) else {
            return Self::BrokenOff;
        };
        match error {
            rustls::Error::PeerIncompatible(_) => Self::Incompatible,
            rustls::Error::AlertReceived(_) => Self::ClientRefused,
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::InvalidCertificate(_) => Self::BadCertificate,
            _ => Self::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_counted_by_its_reason() {
        let handshakes = Handshakes::default();
        handshakes.fail(&io::ErrorKind::UnexpectedEof.into());
        handshakes.fail(&io::Error::new(io::ErrorKind::InvalidData, rustls::Error::NoCertificatesPresented));
        handshakes.fail(&io::Error::new(io::ErrorKind::InvalidData, rustls::Error::DecryptError));
        let counted = HandshakeFailure::ALL.map(|failure| handshakes.failed(failure));
        assert_eq!(counted, [1, 0, 0, 1, 0, 1]);
    }
}
