//! The judgement on a server's certificate, as `sslmode` and `sslrootcert` want it.

use std::path::PathBuf;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, ServerName, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime,
};
use rustls::{DigitallySignedStruct, SignatureScheme};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RawPublicKeyEntity, RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
    anchor_from_trusted_cert,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{files, name, path};
use crate::source::dsn::{RootCertificates, TlsMode, TlsOptions};
use crate::{Error, Result};

/// What certificates must lead to.
#[derive(Debug)]
struct Trust {
    /// Where the roots come from, for messages.
    origin: String,
    certificates: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
    revocation_lists: Vec<CertRevocationList<'static>>,
}

/// Judges the certificates of one host.
#[derive(Debug)]
pub(super) struct Verifier {
    /// None takes every certificate.
    trust: Option<Trust>,
    /// The name that the certificate must bear; None takes any.
    host: Option<String>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    /// Reads the roots and revocation lists that the options name.
    fn load(root: &RootCertificates, revocation_list: Option<&PathBuf>) -> Result<Trust> {
        let (origin, certificates) = match root {
            RootCertificates::System => {
                ("the operating system's roots".to_owned(), load_system_roots()?)
            }
            RootCertificates::File(path) => {
                (format!("\"{}\"", path.display()), files::read_certificates("sslrootcert", path)?)
            }
        };
        // What cannot be read as a root cannot be led to, as in libpq.
        let anchors = certificates
            .iter()
            .filter_map(|certificate| anchor_from_trusted_cert(certificate).ok())
            .map(|anchor| anchor.to_owned())
            .collect();
        let mut revocation_lists = Vec::new();
        if let Some(path) = revocation_list {
            for list in files::read_revocation_lists("sslcrl", path)? {
                let list = OwnedCertRevocationList::from_der(&list)
                    .map_err(|error| files::refuse("sslcrl", path, error))?;
                revocation_lists.push(list.into());
            }
        }
        Ok(Trust { origin, certificates, anchors, revocation_lists })
    }
}

/// The roots that the operating system trusts.
fn load_system_roots() -> Result<Vec<CertificateDer<'static>>> {
    let loaded = rustls_native_certs::load_native_certs();
    if loaded.certs.is_empty() {
        return Err(Error::ConnectionString {
            message: "sslrootcert=system: the operating system has no root certificates".to_owned(),
            hint: Some("Install them (package ca-certificates), or name a file.".to_owned()),
        });
    }
    Ok(loaded.certs)
}

impl Verifier {
    /// The verifier for a host.
    pub(super) fn new(
        options: &TlsOptions,
        host: &str,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Verifier> {
        let revocation_list = options.revocation_list.as_ref();
        let trust = match &options.root {
            // Whoever names roots wants them used: libpq's rule for "require".
            Some(root) if options.mode >= TlsMode::Require => {
                Some(Trust::load(root, revocation_list)?)
            }
            _ => None,
        };
        let host = (options.mode == TlsMode::VerifyFull).then(|| host.to_owned());
        Ok(Verifier { trust, host, algorithms })
    }

    /// Checks that the certificate leads to a root.
    fn verify_path(
        &self,
        trust: &Trust,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> std::result::Result<(), String> {
        let lists: Vec<_> = trust.revocation_lists.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|builder| {
            builder
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Deny)
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build()
        });
        let outcome = EndEntityCert::try_from(certificate).and_then(|end_entity| {
            end_entity
                .verify_for_usage(
                    self.algorithms.all,
                    &trust.anchors,
                    intermediates,
                    now,
                    KeyUsage::server_auth(),
                    revocation,
                    None,
                )
                .map(drop)
        });
        match outcome {
            Ok(()) => Ok(()),
            // The certificates that PostgreSQL's documentation shows how to make.
            Err(webpki::Error::UnsupportedCertVersion | webpki::Error::CaUsedAsEndEntity) => {
                if !lists.is_empty() {
                    return Err("sslcrl needs certificates of version 3 that are not those of an \
                                authority"
                        .to_owned());
                }
                path::verify(
                    certificate,
                    intermediates,
                    &trust.certificates,
                    now,
                    self.algorithms.all,
                )
            }
            Err(error) => Err(describe(&error)),
        }
        .map_err(|why| format!("the server's certificate cannot be trusted: {why}"))
        .map_err(|why| format!("{why} (checked against {})", trust.origin))
    }
}

/// What is wrong with a certificate, in words.
fn describe(error: &webpki::Error) -> String {
    match error {
        webpki::Error::CertExpired { .. } => "it has expired".to_owned(),
        webpki::Error::CertNotValidYet { .. } => "it is not valid yet".to_owned(),
        webpki::Error::UnknownIssuer => "no trusted authority has signed it".to_owned(),
        webpki::Error::CertRevoked => "it has been revoked".to_owned(),
        webpki::Error::UnknownRevocationStatus => {
            "sslcrl has no list of the authority that signed it".to_owned()
        }
        webpki::Error::CrlExpired { .. } => "the revocation list has expired".to_owned(),
        other => other.to_string(),
    }
}

/// A certificate's public key.
fn public_key(certificate: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(SubjectPublicKeyInfoDer::from(certificate.public_key().raw.to_vec()))
}

/// The error for a certificate that is none.
fn unreadable() -> rustls::Error {
    rustls::Error::General("the server's certificate cannot be read".to_owned())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        if let Some(trust) = &self.trust {
            self.verify_path(trust, certificate, intermediates, now)
                .map_err(rustls::Error::General)?;
        }
        if let Some(host) = &self.host {
            let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| unreadable())?;
            if !name::is_valid_for(&parsed, host) {
                return Err(rustls::Error::General(format!(
                    "the server's certificate is not one for host name \"{host}\""
                )));
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let key = public_key(certificate).ok_or_else(unreadable)?;
        let key = RawPublicKeyEntity::try_from(&key).map_err(|_| unreadable())?;
        let candidates =
            self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let is_valid = candidates.is_some_and(|(_, algorithms)| {
            algorithms.iter().any(|algorithm| {
                key.verify_signature(*algorithm, message, signed.signature()).is_ok()
            })
        });
        if !is_valid {
            return Err(rustls::Error::General(
                "the server does not hold the key of its certificate".to_owned(),
            ));
        }
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let key = public_key(certificate).ok_or_else(unreadable)?;
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
