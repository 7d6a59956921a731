//! Files of certificates and keys, in PEM.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::{Error, Result};

/// Longest file read; the bundle of a whole system has 250 kB.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The error for a file that cannot be used as what a parameter says it is.
pub(super) fn refuse(parameter: &str, path: &Path, why: impl std::fmt::Display) -> Error {
    Error::ConnectionString {
        message: format!("could not use file \"{}\" of {parameter}: {why}", path.display()),
        hint: Some("The file is read by the target's server, as the user it runs as.".to_owned()),
    }
}

/// Reads a file and what is known about it.
fn read(parameter: &str, path: &Path) -> Result<(Zeroizing<Vec<u8>>, Metadata)> {
    let refuse = |why: std::io::Error| refuse(parameter, path, why);
    let metadata = fs::metadata(path).map_err(refuse)?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(self::refuse(parameter, path, "it is not a regular file of a reasonable size"));
    }
    let content = Zeroizing::new(fs::read(path).map_err(refuse)?);
    Ok((content, metadata))
}

/// Reads objects of one kind, at least one.
fn read_objects<T: PemObject>(parameter: &str, path: &Path, kind: &str) -> Result<Vec<T>> {
    let (content, _) = read(parameter, path)?;
    let objects = T::pem_slice_iter(&content)
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|error| refuse(parameter, path, error))?;
    if objects.is_empty() {
        return Err(refuse(parameter, path, format!("there is no {kind} in it")));
    }
    Ok(objects)
}

/// Reads certificates.
pub(super) fn read_certificates(
    parameter: &str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>> {
    read_objects(parameter, path, "certificate")
}

/// Reads revocation lists.
pub(super) fn read_revocation_lists(
    parameter: &str,
    path: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>> {
    read_objects(parameter, path, "revocation list")
}

/// Reads a private key, which nobody else may be able to read.
pub(super) fn read_key(parameter: &str, path: &Path) -> Result<PrivateKeyDer<'static>> {
    let (content, metadata) = read(parameter, path)?;
    // As libpq has it: root's own files may be there for a group.
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & forbidden != 0 {
        return Err(refuse(
            parameter,
            path,
            "it has group or world access; permissions must be u=rw (0600) or less, or u=rw,g=r \
             (0640) or less if root owns the file",
        ));
    }
    if content.windows(9).any(|window| window == b"ENCRYPTED") {
        return Err(refuse(parameter, path, "it is encrypted; encrypted keys are not read"));
    }
    PrivateKeyDer::from_pem_slice(&content).map_err(|error| refuse(parameter, path, error))
}
