//! A certificate authority, and what it vouches for.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls_pki_types::PrivateKeyDer;

use super::ClientKey;

/// Vouches for certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub pem: String,
}

/// A certificate with its key.
pub struct Vouched {
    pub chain: String,
    pub key: String,
    der: ClientKey,
}

impl Authority {
    pub fn new() -> Self {
        Self::named("authority")
    }

    pub fn named(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = Self::params(name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// One that this one vouches for.
    pub fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = Self::params(name);
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    /// Its key as PEM.
    pub fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A certificate for a client or server with this name.
    pub fn vouch(&self, name: &str) -> Vouched {
        self.vouch_with(name, |_| {})
    }

    /// As `vouch`, with other parameters.
    pub fn vouch_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Vouched {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![format!("{name}.test")]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let der = (vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()));
        Vouched { chain: certificate.pem(), key: key.serialize_pem(), der }
    }

    /// A certificate for a client with this name.
    pub fn client(&self, name: &str) -> ClientKey {
        self.vouch(name).der
    }

    /// Its certificate as a file of this folder.
    pub fn write(&self, folder: &Path) -> String {
        let file = folder.join("ca.pem");
        std::fs::write(&file, &self.pem).unwrap();
        file.to_str().unwrap().to_owned()
    }
}

impl Vouched {
    /// Certificate and key as files of this folder.
    pub fn write(&self, folder: &Path, name: &str) -> [String; 2] {
        [("crt", &self.chain), ("key", &self.key)].map(|(kind, text)| {
            let file = folder.join(format!("{name}.{kind}"));
            std::fs::write(&file, text).unwrap();
            file.to_str().unwrap().to_owned()
        })
    }
}
