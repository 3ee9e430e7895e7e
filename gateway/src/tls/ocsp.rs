//! The Online Certificate Status Protocol (RFC 6960): what to ask about a certificate, and what an answer is worth. An answer
//! is stapled to handshakes only when its signature leads to the issuer, and while it is fresh.

use std::time::Duration;

use aws_lc_rs::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, digest},
    signature::{self, UnparsedPublicKey, VerificationAlgorithm},
};
use rustls::sign::CertifiedKey;
use x509_parser::{
    extensions::{GeneralName, ParsedExtension},
    oid_registry::{
        OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA,
        OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ED25519, Oid,
    },
    prelude::{FromDer, X509Certificate},
    x509::SubjectPublicKeyInfo,
};

use super::der::{Elements, Tag, element};

/// `id-ad-ocsp`: where a certificate says who knows of its status.
const RESPONDER: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 1];
/// `id-pkix-ocsp-basic`, as DER has it.
const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 48, 1, 1];
/// SHA-1 with its empty parameters: the name of a certificate in questions, which protects nothing.
const SHA1: &[u8] = &[0x30, 9, 6, 5, 0x2b, 14, 3, 2, 26, 5, 0];
/// How much the clocks of responders may differ from ours.
const SKEW: Duration = Duration::from_secs(300);
/// How long an answer counts that does not say.
const UNSAID: Duration = Duration::from_secs(3600);

/// Why an answer is not stapled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OcspError {
    /// It is no OCSP, or not the kind that everyone speaks.
    #[error("the answer cannot be read")]
    Malformed,
    /// The responder has no answer.
    #[error("the responder refuses to answer: status {0}")]
    Refused(u8),
    /// The answer is about other certificates.
    #[error("the answer is not about this certificate")]
    Other,
    /// The certificate was revoked.
    #[error("the certificate is revoked")]
    Revoked,
    /// The responder does not know the certificate.
    #[error("the responder does not know the certificate")]
    Unknown,
    /// It is not signed by the issuer, or somebody that the issuer entitled.
    #[error("the answer is not signed by the issuer, nor for it")]
    Signature,
    /// It is of another time.
    #[error("the answer is not fresh")]
    Stale,
}

/// What to ask about a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// Where to ask: `http://…`.
    pub url: String,
    id: Vec<u8>,
    issuer: Vec<u8>,
}

/// An answer that may be stapled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// From when on, in Unix time.
    pub since: Duration,
    /// Until when.
    pub until: Duration,
}

impl Question {
    /// `None` where the certificate names no responder, or its issuer is not with it.
    pub fn of(certificate: &CertifiedKey) -> Option<Self> {
        let [own, issuer, ..] = &certificate.cert[..] else { return None };
        Self::about(own, issuer)
    }

    /// As [`Question::of`], of certificates in DER.
    pub fn about(own: &[u8], issuer: &[u8]) -> Option<Self> {
        let (_, own) = X509Certificate::from_der(own).ok()?;
        let (_, parsed) = X509Certificate::from_der(issuer).ok()?;
        if own.issuer().as_raw() != parsed.subject().as_raw() {
            return None;
        }
        let hash = |bytes: &[u8]| element(Tag::OCTET_STRING, &[digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref()]);
        let name = hash(parsed.subject().as_raw());
        let key = hash(&parsed.public_key().subject_public_key.data);
        let serial = element(Tag::INTEGER, &[own.raw_serial()]);
        let id = element(Tag::SEQUENCE, &[SHA1, &name, &key, &serial]);
        Some(Self { url: responder(&own)?, id, issuer: issuer.to_vec() })
    }

    /// What is sent.
    pub fn request(&self) -> Vec<u8> {
        let sequence = |content: &[u8]| element(Tag::SEQUENCE, &[content]);
        let list = sequence(&sequence(&self.id));
        sequence(&sequence(&list))
    }

    /// What an answer is worth at this time.
    ///
    /// # Errors
    /// When it may not be stapled.
    pub fn check(&self, answer: &[u8], now: Duration) -> Result<Standing, OcspError> {
        let basic = Basic::read(answer)?;
        let standing = self.find(basic.answers)?;
        let (_, issuer) = X509Certificate::from_der(&self.issuer).map_err(|_| OcspError::Malformed)?;
        basic.verify(&issuer, now)?;
        if standing.since > now + SKEW || standing.until <= now { Err(OcspError::Stale) } else { Ok(standing) }
    }

    fn find(&self, mut answers: Elements<'_>) -> Result<Standing, OcspError> {
        let asked = Elements(&self.id).inside(Tag::SEQUENCE).ok_or(OcspError::Malformed)?;
        while !answers.is_empty() {
            let mut single = answers.inside(Tag::SEQUENCE).ok_or(OcspError::Malformed)?;
            let id = single.inside(Tag::SEQUENCE).ok_or(OcspError::Malformed)?;
            if is_same(id, asked) {
                return standing(single);
            }
        }
        Err(OcspError::Other)
    }
}

/// Whether both are about one certificate; the parameters of SHA-1 may be left out.
fn is_same(mut one: Elements<'_>, mut other: Elements<'_>) -> bool {
    let algorithm = |id: &mut Elements<'_>| {
        let name = id.inside(Tag::SEQUENCE).and_then(|mut algorithm| algorithm.take(Tag::OBJECT).map(<[u8]>::to_vec));
        name.filter(|name| !name.is_empty())
    };
    let names = (algorithm(&mut one), algorithm(&mut other));
    names.0.is_some() && names.0 == names.1 && one.0 == other.0
}

fn standing(mut single: Elements<'_>) -> Result<Standing, OcspError> {
    let (status, ..) = single.any().ok_or(OcspError::Malformed)?;
    match status {
        tag if tag == Tag::primitive(0) => {}
        tag if tag == Tag::context(1) => return Err(OcspError::Revoked),
        tag if tag == Tag::primitive(2) => return Err(OcspError::Unknown),
        _ => return Err(OcspError::Malformed),
    }
    let since = single.take(Tag::TIME).and_then(unix).ok_or(OcspError::Malformed)?;
    let until = match single.optional(Tag::context(0)) {
        Some(next) => Elements(next).take(Tag::TIME).and_then(unix).ok_or(OcspError::Malformed)?,
        None => since + UNSAID,
    };
    Ok(Standing { since, until })
}

/// `20261126021500Z` in Unix time.
fn unix(text: &[u8]) -> Option<Duration> {
    let (digits, b"Z") = text.split_at_checked(14)? else { return None };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number =
        |range: std::ops::Range<usize>| digits[range].iter().fold(0, |all, digit| all * 10 + u64::from(digit - b'0'));
    let (year, month, day) = (number(0..4), number(4..6), number(6..8));
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970-01-01 of a calendar whose years begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(Duration::from_secs(days * 86_400 + number(8..10) * 3600 + number(10..12) * 60 + number(12..14)))
}

fn responder(certificate: &X509Certificate<'_>) -> Option<String> {
    let wanted = Oid::from(RESPONDER).ok()?;
    let access = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityInfoAccess(access) => Some(access),
        _ => None,
    })?;
    let mut places = access.accessdescs.iter().filter(|place| place.access_method == wanted);
    places.find_map(|place| match &place.access_location {
        GeneralName::URI(url) if url.starts_with("http://") => Some((*url).to_owned()),
        _ => None,
    })
}

/// An answer of the basic kind.
struct Basic<'a> {
    signed: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
    certificates: Elements<'a>,
    answers: Elements<'a>,
}

impl<'a> Basic<'a> {
    fn read(answer: &'a [u8]) -> Result<Self, OcspError> {
        let malformed = OcspError::Malformed;
        let mut response = Elements(answer).inside(Tag::SEQUENCE).ok_or(malformed)?;
        match response.take(Tag::ENUMERATED).ok_or(malformed)? {
            [0] => {}
            [status] => return Err(OcspError::Refused(*status)),
            _ => return Err(malformed),
        }
        Self::inside(response).ok_or(malformed)
    }

    fn inside(mut response: Elements<'a>) -> Option<Self> {
        let mut typed = response.inside(Tag::context(0))?.inside(Tag::SEQUENCE)?;
        if typed.take(Tag::OBJECT)? != BASIC {
            return None;
        }
        let mut basic = typed.inside(Tag::OCTET_STRING)?.inside(Tag::SEQUENCE)?;
        let (tag, data, signed) = basic.any()?;
        if tag != Tag::SEQUENCE {
            return None;
        }
        let algorithm = basic.inside(Tag::SEQUENCE)?.take(Tag::OBJECT)?;
        let (0, signature) = basic.take(Tag::BIT_STRING)?.split_first().map(|(unused, bytes)| (*unused, bytes))? else {
            return None;
        };
        let certificates = match basic.optional(Tag::context(0)) {
            Some(list) => Elements(list).inside(Tag::SEQUENCE)?,
            None => Elements(&[]),
        };
        let mut data = Elements(data);
        data.optional(Tag::context(0));
        let (who, ..) = data.any()?;
        if who != Tag::context(1) && who != Tag::context(2) {
            return None;
        }
        data.take(Tag::TIME)?;
        let answers = data.inside(Tag::SEQUENCE)?;
        Some(Self { signed, algorithm, signature, certificates, answers })
    }

    /// Signed by the issuer, or by one of the certificates beside it that the issuer made for signing answers.
    fn verify(&self, issuer: &X509Certificate<'_>, now: Duration) -> Result<(), OcspError> {
        if is_signed(issuer.public_key(), self.algorithm, self.signed, self.signature) {
            return Ok(());
        }
        let mut certificates = self.certificates;
        while let Some((_, _, whole)) = certificates.any() {
            let Ok((_, deputy)) = X509Certificate::from_der(whole) else { continue };
            if is_entitled(&deputy, issuer, now)
                && is_signed(deputy.public_key(), self.algorithm, self.signed, self.signature)
            {
                return Ok(());
            }
        }
        Err(OcspError::Signature)
    }
}

/// RFC 6960 §4.2.2.2.
fn is_entitled(deputy: &X509Certificate<'_>, issuer: &X509Certificate<'_>, now: Duration) -> bool {
    let purposes = deputy.extended_key_usage().ok().flatten();
    let validity = deputy.validity();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    purposes.is_some_and(|purposes| purposes.value.ocsp_signing)
        && (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now)
        && deputy.issuer().as_raw() == issuer.subject().as_raw()
        && is_signed(
            issuer.public_key(),
            deputy.signature_algorithm.algorithm.as_bytes(),
            deputy.tbs_certificate.as_ref(),
            &deputy.signature_value.data,
        )
}

fn is_signed(key: &SubjectPublicKeyInfo<'_>, algorithm: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Some(algorithm) = verification(key, algorithm) else { return false };
    UnparsedPublicKey::new(algorithm, &key.subject_public_key.data).verify(message, signature).is_ok()
}

fn verification(key: &SubjectPublicKeyInfo<'_>, algorithm: &[u8]) -> Option<&'static dyn VerificationAlgorithm> {
    let is = |oid: &Oid<'_>| algorithm == oid.as_bytes();
    let is_on = |curve: &Oid<'_>| {
        let parameters = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY && parameters.as_ref() == Some(curve)
    };
    let (small, large) = (is_on(&OID_EC_P256), is_on(&OID_NIST_EC_P384));
    Some(if is(&OID_PKCS1_SHA256WITHRSA) {
        &signature::RSA_PKCS1_2048_8192_SHA256
    } else if is(&OID_PKCS1_SHA384WITHRSA) {
        &signature::RSA_PKCS1_2048_8192_SHA384
    } else if is(&OID_PKCS1_SHA512WITHRSA) {
        &signature::RSA_PKCS1_2048_8192_SHA512
    } else if is(&OID_SIG_ECDSA_WITH_SHA256) && small {
        &signature::ECDSA_P256_SHA256_ASN1
    } else if is(&OID_SIG_ECDSA_WITH_SHA256) && large {
        &signature::ECDSA_P384_SHA256_ASN1
    } else if is(&OID_SIG_ECDSA_WITH_SHA384) && small {
        &signature::ECDSA_P256_SHA384_ASN1
    } else if is(&OID_SIG_ECDSA_WITH_SHA384) && large {
        &signature::ECDSA_P384_SHA384_ASN1
    } else if is(&OID_SIG_ED25519) {
        &signature::ED25519
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (text, expected) in [
            ("19700101000000Z", Some(0)),
            ("20000229235959Z", Some(951_868_799)),
            ("20261126021500Z", Some(1_795_659_300)),
            ("20261126021500", None),
            ("20261326021500Z", None),
            ("2026112602150xZ", None),
            ("19691231235959Z", None),
        ] {
            assert_eq!(unix(text.as_bytes()).map(|time| time.as_secs()), expected, "{text}");
        }
    }
}
