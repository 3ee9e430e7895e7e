//! What TLS clients are shown, made of `certificates` and `snis`. One that cannot be served is left out with its reason,
//! and the names of it are answered as if they were not there.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{Quarantined, secrets::Secrets, state::State};
use crate::{
    model::{self, VaultReference},
    tls::{Certificates, LoadError, Pair, certified_key},
};

/// Both certificates and their keys.
pub(super) type Texts = [Option<Arc<str>>; 4];

/// A certificate that was read, and from which texts.
#[derive(Debug)]
struct Known {
    texts: Texts,
    pair: Result<Pair, String>,
}

/// Certificates that were read before.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    known: HashMap<Arc<str>, Known>,
    /// Those that the last build found other than before.
    pub(super) changed: HashSet<Arc<str>>,
}

impl Shelf {
    /// Certificates by name, if they may differ from the last ones: when they were touched, or when secrets that they
    /// refer to may have changed. Reads only those whose texts did.
    pub(super) async fn build(&mut self, state: &State, secrets: &mut Secrets, touched: bool) -> Option<Certificates> {
        self.changed.clear();
        if !touched && !state.certificates.values().any(|certificate| refers(certificate)) {
            return None;
        }
        let mut read = HashMap::with_capacity(state.certificates.len());
        for (id, certificate) in &state.certificates {
            let texts = texts(certificate, secrets).await;
            let known = self.known.remove(id).filter(|known| known.texts == texts);
            if known.is_none() {
                self.changed.insert(id.clone());
            }
            read.insert(id.clone(), known.unwrap_or_else(|| Known { pair: pair(&texts), texts }));
        }
        self.changed.extend(self.known.drain().map(|(id, _)| id));
        self.known = read;
        let mut certificates = Certificates::default();
        for sni in state.snis.values() {
            if let Some(Known { pair: Ok(pair), .. }) = self.known.get(&sni.certificate.id) {
                certificates.add(&sni.name, pair.clone());
            }
        }
        Some(certificates)
    }

    /// A certificate with what it was read from, or why there is none.
    pub(super) fn pair(&self, id: &Arc<str>) -> Result<(&Texts, &Pair), String> {
        let known = self.known.get(id).ok_or_else(|| format!("there is no certificate {id}"))?;
        let pair = known.pair.as_ref().map_err(|reason| format!("its certificate {id} cannot be used: {reason}"))?;
        Ok((&known.texts, pair))
    }

    /// Those that cannot be served.
    pub(super) fn quarantined(&self) -> impl Iterator<Item = Quarantined> {
        self.known.iter().filter_map(|(id, known)| {
            let reason = known.pair.as_ref().err()?.clone();
            Some(Quarantined { collection: "certificates", id: id.clone(), reason })
        })
    }
}

/// Whether a part of it is a secret from elsewhere.
fn refers(certificate: &model::Certificate) -> bool {
    let optional = [&certificate.cert_alt, &certificate.key_alt].into_iter().flatten();
    [&certificate.cert, &certificate.key].into_iter().chain(optional).any(|text| VaultReference::is_meant(text))
}

/// Both certificates and keys, with the secrets in the place of references.
async fn texts(certificate: &model::Certificate, secrets: &mut Secrets) -> Texts {
    let mut texts = [
        Some(certificate.cert.clone()),
        Some(certificate.key.clone()),
        certificate.cert_alt.clone(),
        certificate.key_alt.clone(),
    ];
    for text in texts.iter_mut().flatten() {
        *text = secrets.text(text).await;
    }
    texts
}

fn pair([cert, key, cert_alt, key_alt]: &Texts) -> Result<Pair, String> {
    let read = |cert: &Option<Arc<str>>, key: &Option<Arc<str>>| match (cert, key) {
        (Some(cert), Some(key)) => certified_key(cert, key).map(Some).map_err(said),
        _ => Ok(None),
    };
    let first = read(cert, key)?.ok_or_else(|| "it has no certificate or no key".to_owned())?;
    Ok(Pair::new(first, read(cert_alt, key_alt)?))
}

pub(super) fn said(error: LoadError) -> String {
    match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
