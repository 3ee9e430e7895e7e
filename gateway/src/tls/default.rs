//! The certificate of a node that was given none: self-signed for `localhost`, as Kong's, and kept so that it outlives a
//! restart.

use std::{fs, io, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path, sync::Arc};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;

use super::{Pair, TlsError, certified_key};

/// A certificate chain and its key, and perhaps another one with another kind of key.
#[derive(Debug)]
pub struct DefaultCertificate(Pair);

impl DefaultCertificate {
    /// Makes a new one.
    pub fn generate() -> Result<Self, TlsError> {
        let (certificate, key) = self_signed()?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)?;
        Ok(Self(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key)).into()))
    }

    /// The one kept in `folder`; made and kept there when there is none.
    pub fn in_folder(folder: &Path) -> Result<Self, TlsError> {
        let (chain_file, key_file) = (folder.join("default.crt"), folder.join("default.key"));
        if !(chain_file.exists() && key_file.exists()) {
            let (certificate, key) = self_signed()?;
            keep(&key_file, &key.serialize_pem())?;
            keep(&chain_file, &certificate.pem())?;
        }
        Self::from_files(&chain_file, &key_file)
    }

    /// The one in these PEM files.
    ///
    /// # Errors
    /// When either cannot be read or used, or they do not belong together.
    pub fn from_files(chain: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self(Pair::new(read(chain, key)?, None)))
    }

    /// Those in these pairs of PEM files, chain and key each: the first, and one with another kind of key.
    ///
    /// # Errors
    /// As [`DefaultCertificate::from_files`].
    pub fn from_pairs(first: (&Path, &Path), second: Option<(&Path, &Path)>) -> Result<Self, TlsError> {
        let first = read(first.0, first.1)?;
        Ok(Self(Pair::new(first, second.map(|(chain, key)| read(chain, key)).transpose()?)))
    }

    /// What handshakes take.
    pub fn pair(&self) -> Pair {
        self.0.clone()
    }
}

fn read(chain: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let text = |path: &Path| fs::read_to_string(path).map_err(|error| TlsError::File(path.to_owned(), error));
    certified_key(&text(chain)?, &text(key)?).map_err(|error| TlsError::Files(chain.to_owned(), key.to_owned(), error))
}

fn self_signed() -> Result<(rcgen::Certificate, KeyPair), TlsError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "localhost");
    Ok((params.self_signed(&key)?, key))
}

/// Writes aside and renames, so that a crash leaves no half file.
fn keep(path: &Path, text: &str) -> Result<(), TlsError> {
    let aside = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().map_err(|error| TlsError::File(path.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_certificate_is_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = DefaultCertificate::in_folder(folder.path()).unwrap();
        let second = DefaultCertificate::in_folder(folder.path()).unwrap();
        assert_eq!(first.pair().choose(&[]).cert, second.pair().choose(&[]).cert);
    }

    #[test]
    fn a_broken_certificate_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("default.crt"), "nonsense").unwrap();
        fs::write(folder.path().join("default.key"), "nonsense").unwrap();
        let error = DefaultCertificate::in_folder(folder.path()).unwrap_err();
        assert!(error.to_string().contains("default."), "{error}");
    }
}
