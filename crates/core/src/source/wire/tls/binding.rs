//! Channel binding: what ties a SCRAM login to the server's certificate.

use ring::digest::{self, Algorithm};
use x509_parser::oid_registry::{
    OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_RSASSAPSS, OID_PKCS1_SHA1WITHRSA, OID_PKCS1_SHA256WITHRSA,
    OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256,
    OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512,
};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::signature_algorithm::SignatureAlgorithm;

/// The data of `tls-server-end-point` (RFC 5929, section 4.1): the certificate's hash, by the hash of
/// its own signature, or SHA-256 for the ones that are broken. None if the signature has no hash.
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = hash_algorithm(certificate)?;
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

/// The hash that goes with a certificate's signature.
fn hash_algorithm(certificate: &[u8]) -> Option<&'static Algorithm> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let signature = &certificate.signature_algorithm;
    let by_name = [
        (OID_PKCS1_MD5WITHRSAENC, &digest::SHA256),
        (OID_PKCS1_SHA1WITHRSA, &digest::SHA256),
        (OID_PKCS1_SHA256WITHRSA, &digest::SHA256),
        (OID_PKCS1_SHA384WITHRSA, &digest::SHA384),
        (OID_PKCS1_SHA512WITHRSA, &digest::SHA512),
        (OID_SIG_ECDSA_WITH_SHA256, &digest::SHA256),
        (OID_SIG_ECDSA_WITH_SHA384, &digest::SHA384),
        (OID_SIG_ECDSA_WITH_SHA512, &digest::SHA512),
    ];
    if signature.algorithm != OID_PKCS1_RSASSAPSS {
        let found = by_name.into_iter().find(|(oid, _)| *oid == signature.algorithm);
        return found.map(|(_, algorithm)| algorithm);
    }
    let Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) = SignatureAlgorithm::try_from(signature)
    else {
        return None;
    };
    match parameters.hash_algorithm_oid().to_id_string().as_str() {
        "1.3.14.3.2.26" | "2.16.840.1.101.3.4.2.1" => Some(&digest::SHA256),
        "2.16.840.1.101.3.4.2.2" => Some(&digest::SHA384),
        "2.16.840.1.101.3.4.2.3" => Some(&digest::SHA512),
        _ => None,
    }
}
