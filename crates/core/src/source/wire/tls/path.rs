//! The way from a certificate to a root for certificates that OpenSSL, and so libpq, takes as a
//! server's and webpki does not: those of version 1, and those that are an authority's own.
//!
//! These are the ones that the commands in PostgreSQL's documentation make: a self-signed certificate
//! that is its own root, and one without extensions, signed by an authority or by an intermediate one.
//! What must hold: the rules below are at least as strict as OpenSSL's; whatever they do not know (a
//! constraint on names, a critical extension) makes a certificate useless.

use rustls::pki_types::{
    CertificateDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime,
};
use webpki::RawPublicKeyEntity;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

/// Longest chain of intermediate authorities.
const MAX_DEPTH: u32 = 4;

/// Signatures checked at most, so that a list of certificates made for it costs nothing.
const MAX_SIGNATURES: u32 = 64;

/// The algorithms that signatures may be of.
type Algorithms<'a> = &'a [&'static dyn SignatureVerificationAlgorithm];

/// What stays the same along the way.
struct Search<'a> {
    intermediates: Vec<X509Certificate<'a>>,
    roots: Vec<X509Certificate<'a>>,
    now: ASN1Time,
    algorithms: Algorithms<'a>,
    signatures_left: u32,
}

/// Checks that a server's certificate leads to one of the roots.
pub(super) fn verify(
    certificate: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &[CertificateDer<'_>],
    now: UnixTime,
    algorithms: Algorithms<'_>,
) -> Result<(), String> {
    let now = i64::try_from(now.as_secs()).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
    let leaf = read(certificate).ok_or("it cannot be read")?;
    let mut search = Search {
        intermediates: intermediates.iter().filter_map(|der| read(der)).collect(),
        roots: roots.iter().filter_map(|der| read(der)).collect(),
        now: now.ok_or("the time is not known")?,
        algorithms,
        signatures_left: MAX_SIGNATURES,
    };
    search.check_time(&leaf)?;
    check_extensions(&leaf)?;
    if !serves(&leaf) {
        return Err("it is not one for servers".to_owned());
    }
    let is_root = |root: &CertificateDer<'_>| root.as_ref() == certificate.as_ref();
    if roots.iter().any(is_root) && leaf.subject().as_raw() == leaf.issuer().as_raw() {
        return Ok(());
    }
    search.climb(&leaf, 0)
}

/// Parses a certificate.
fn read<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

/// Refuses what is not known and what must not be ignored.
fn check_extensions(certificate: &X509Certificate<'_>) -> Result<(), String> {
    let is_known = |extension: &ParsedExtension<'_>| {
        matches!(
            extension,
            ParsedExtension::BasicConstraints(_)
                | ParsedExtension::KeyUsage(_)
                | ParsedExtension::ExtendedKeyUsage(_)
                | ParsedExtension::SubjectAlternativeName(_)
        )
    };
    let unknown = certificate.extensions().iter().any(|extension| {
        matches!(extension.parsed_extension(), ParsedExtension::NameConstraints(_))
            || (extension.critical && !is_known(extension.parsed_extension()))
    });
    if unknown { Err("it has an extension that is not understood".to_owned()) } else { Ok(()) }
}

/// Whether a certificate may be a server's.
fn serves(certificate: &X509Certificate<'_>) -> bool {
    match certificate.extended_key_usage() {
        Ok(Some(usage)) => usage.value.any || usage.value.server_auth,
        Ok(None) => true,
        Err(_) => false,
    }
}

/// Whether a certificate may sign others, with `depth` authorities between it and the server's. One of
/// version 1 says nothing of this, and is taken as a root only.
fn signs(certificate: &X509Certificate<'_>, depth: u32, is_root: bool) -> bool {
    let (Ok(constraints), Ok(usage)) = (certificate.basic_constraints(), certificate.key_usage())
    else {
        return false;
    };
    let may_sign = usage.is_none_or(|usage| usage.value.key_cert_sign());
    match constraints {
        Some(constraints) => {
            let length = constraints.value.path_len_constraint;
            constraints.value.ca && may_sign && length.is_none_or(|length| depth <= length)
        }
        None => is_root && certificate.extensions().is_empty(),
    }
}

impl Search<'_> {
    /// Checks that the certificate is valid now.
    fn check_time(&self, certificate: &X509Certificate<'_>) -> Result<(), String> {
        let validity = certificate.validity();
        if self.now > validity.not_after {
            return Err("it has expired".to_owned());
        }
        if self.now < validity.not_before {
            return Err("it is not valid yet".to_owned());
        }
        Ok(())
    }

    /// Finds a root above `certificate`, itself or through intermediate authorities.
    fn climb(&mut self, certificate: &X509Certificate<'_>, depth: u32) -> Result<(), String> {
        let unknown = "no trusted authority has signed it".to_owned();
        for i in 0..self.roots.len() {
            if self.is_above(&self.roots[i].clone(), certificate, depth, true)? {
                return Ok(());
            }
        }
        if depth == MAX_DEPTH {
            return Err(unknown);
        }
        for i in 0..self.intermediates.len() {
            let issuer = self.intermediates[i].clone();
            if self.is_above(&issuer, certificate, depth, false)?
                && self.climb(&issuer, depth + 1).is_ok()
            {
                return Ok(());
            }
        }
        Err(unknown)
    }

    /// Whether `issuer` may have signed `certificate` and has.
    fn is_above(
        &mut self,
        issuer: &X509Certificate<'_>,
        certificate: &X509Certificate<'_>,
        depth: u32,
        is_root: bool,
    ) -> Result<bool, String> {
        let is_candidate = certificate.signature_algorithm == certificate.tbs_certificate.signature
            && issuer.subject().as_raw() == certificate.issuer().as_raw()
            && self.check_time(issuer).is_ok()
            && check_extensions(issuer).is_ok()
            && signs(issuer, depth, is_root);
        if !is_candidate {
            return Ok(false);
        }
        self.signatures_left =
            self.signatures_left.checked_sub(1).ok_or("it comes with too many certificates")?;
        Ok(self.has_signed(issuer, certificate))
    }

    /// Whether the signature of `certificate` is by the key of `issuer`.
    fn has_signed(&self, issuer: &X509Certificate<'_>, certificate: &X509Certificate<'_>) -> bool {
        let key = SubjectPublicKeyInfoDer::from(issuer.public_key().raw);
        let Ok(key) = RawPublicKeyEntity::try_from(&key) else {
            return false;
        };
        let identifier = certificate.signature_algorithm.algorithm.as_bytes();
        let signed = certificate.tbs_certificate.as_ref();
        let signature = certificate.signature_value.data.as_ref();
        self.algorithms.iter().any(|algorithm| {
            // The identifier in DER: tag, length, and then the bytes compared.
            let known = algorithm.signature_alg_id();
            let is_named = known.as_ref().get(2..).is_some_and(|id| id.starts_with(identifier));
            is_named && key.verify_signature(*algorithm, signed, signature).is_ok()
        })
    }
}
