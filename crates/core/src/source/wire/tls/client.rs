//! The certificate with which we prove who we are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::files;
use crate::Result;
use crate::source::dsn::{ClientCertificateMode, TlsOptions};

/// Our certificate, and whether a server has asked for it.
#[derive(Debug)]
pub(super) struct ClientCertificate {
    key: Arc<CertifiedKey>,
    must_be_asked_for: bool,
    was_asked_for: AtomicBool,
}

impl ClientCertificate {
    /// Reads certificate and key, unless none is given or wanted.
    pub(super) fn load(options: &TlsOptions, provider: &CryptoProvider) -> Result<Option<Self>> {
        let Some((certificate_path, key_path)) = &options.certificate else {
            return Ok(None);
        };
        if options.certificate_mode == ClientCertificateMode::Disable {
            return Ok(None);
        }
        let chain = files::read_certificates("sslcert", certificate_path)?;
        let key = provider
            .key_provider
            .load_private_key(files::read_key("sslkey", key_path)?)
            .map_err(|error| files::refuse("sslkey", key_path, error))?;
        // rustls would check this too, but cannot read certificates of version 1.
        let public_key = chain
            .first()
            .and_then(|certificate| X509Certificate::from_der(certificate).ok())
            .map(|(_, certificate)| certificate.public_key().raw.to_vec());
        if let (Some(ours), Some(certified)) = (key.public_key(), public_key) {
            if ours.as_ref() != certified {
                return Err(files::refuse("sslkey", key_path, "it is not the key of sslcert"));
            }
        }
        Ok(Some(ClientCertificate {
            key: Arc::new(CertifiedKey::new(chain, key)),
            must_be_asked_for: options.certificate_mode == ClientCertificateMode::Require,
            was_asked_for: AtomicBool::new(false),
        }))
    }

    /// Whether the server had to ask and has not.
    pub(super) fn was_wanted_in_vain(&self) -> bool {
        self.must_be_asked_for && !self.was_asked_for.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for ClientCertificate {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.was_asked_for.store(true, Ordering::Relaxed);
        self.key.key.choose_scheme(schemes).map(|_| Arc::clone(&self.key))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
