//! The parameters that say whether and how a connection is encrypted, with libpq's meaning.
//!
//! Unlike libpq, pgmig reads no file that no parameter names: the home directory in question would be
//! the one of the server's operating-system user.

use std::path::PathBuf;

use super::parameter::{invalid_value, invalid_values};
use crate::Result;

/// Whether TLS is used and what is proved by it; each step demands more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsMode {
    Disable,
    /// Only if the server wants nothing else.
    Allow,
    /// If the server can.
    Prefer,
    /// Always, whoever the server is; with root certificates the same as `VerifyCa`.
    Require,
    /// The certificate must lead to a root certificate.
    VerifyCa,
    /// And be the host's.
    VerifyFull,
}

/// How a connection comes to TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Negotiation {
    /// By a request in PostgreSQL's protocol.
    Postgres,
    /// At once, as PostgreSQL 17 and later can.
    Direct,
}

/// Whether a client certificate is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificateMode {
    Disable,
    /// If the server asks for one.
    Allow,
    /// And the server must ask for one.
    Require,
}

/// What a certificate is checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCertificates {
    /// The ones the operating system trusts.
    System,
    File(PathBuf),
}

/// A version of the protocol, of those that can be spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

/// All that is said of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    pub mode: TlsMode,
    pub negotiation: Negotiation,
    pub root: Option<RootCertificates>,
    pub revocation_list: Option<PathBuf>,
    /// Files of the client's certificate chain and of its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    pub certificate_mode: ClientCertificateMode,
    /// Whether the server is told the host name before anything is encrypted.
    pub sends_server_name: bool,
    pub min_version: TlsVersion,
    pub max_version: TlsVersion,
}

/// The parameters as they come in, before they are seen together.
#[derive(Debug, Clone, Default)]
pub(super) struct TlsParameters {
    mode: Option<TlsMode>,
    is_direct: bool,
    root: Option<RootCertificates>,
    revocation_list: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    certificate_mode: Option<ClientCertificateMode>,
    hides_server_name: bool,
    min_version: Option<TlsVersion>,
    max_version: Option<TlsVersion>,
}

impl TlsParameters {
    /// Takes a parameter; false if it is none of TLS or its value cannot be carried out.
    pub(super) fn set(&mut self, key: &str, text: &str) -> Result<bool> {
        let path = || Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty());
        match key {
            "sslmode" => self.mode = Some(parse_mode(text)?),
            "sslnegotiation" => {
                self.is_direct = match text {
                    "postgres" => false,
                    "direct" => true,
                    _ => return Err(invalid_value(key, "It is postgres or direct.")),
                }
            }
            "sslrootcert" => {
                self.root = path().map(|path| match text {
                    "system" => RootCertificates::System,
                    _ => RootCertificates::File(path),
                });
            }
            "sslcrl" => self.revocation_list = path(),
            "sslcert" => self.certificate = path(),
            "sslkey" => self.key = path(),
            "sslcertmode" => {
                self.certificate_mode = Some(match text {
                    "disable" => ClientCertificateMode::Disable,
                    "allow" => ClientCertificateMode::Allow,
                    "require" => ClientCertificateMode::Require,
                    _ => return Err(invalid_value(key, "It is disable, allow or require.")),
                });
            }
            "sslsni" => {
                self.hides_server_name = match text {
                    "0" => true,
                    "1" => false,
                    _ => return Err(invalid_value(key, "It is 0 or 1.")),
                }
            }
            "sslcompression" if text == "0" => {}
            "ssl_min_protocol_version" => self.min_version = parse_min_version(key, text)?,
            "ssl_max_protocol_version" => self.max_version = parse_max_version(key, text)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The parameters together, or what contradicts what.
    pub(super) fn combine(&self) -> Result<TlsOptions> {
        let is_system = self.root == Some(RootCertificates::System);
        let default = if is_system { TlsMode::VerifyFull } else { TlsMode::Prefer };
        let mode = self.mode.unwrap_or(default);
        if is_system && mode != TlsMode::VerifyFull {
            return Err(invalid_values(
                "sslmode and sslrootcert",
                "With the system's roots anybody can get a certificate for some name, so \
                 sslrootcert=system needs sslmode=verify-full.",
            ));
        }
        if mode > TlsMode::Require && self.root.is_none() {
            return Err(invalid_values(
                "sslmode and sslrootcert",
                "Name the file of the trusted certificates in sslrootcert, or use \
                 sslrootcert=system for the ones the operating system trusts.",
            ));
        }
        if self.is_direct && mode < TlsMode::Require {
            return Err(invalid_values(
                "sslmode and sslnegotiation",
                "sslnegotiation=direct needs sslmode require, verify-ca or verify-full.",
            ));
        }
        if self.revocation_list.is_some() && self.root.is_none() {
            return Err(invalid_values(
                "sslcrl and sslrootcert",
                "A revocation list has a meaning only where sslrootcert makes certificates checked.",
            ));
        }
        let certificate = match (&self.certificate, &self.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            _ => {
                return Err(invalid_values(
                    "sslcert and sslkey",
                    "Give both: the file of the certificate and the one of its key.",
                ));
            }
        };
        let certificate_mode = self.certificate_mode.unwrap_or(ClientCertificateMode::Allow);
        if certificate_mode == ClientCertificateMode::Require && certificate.is_none() {
            return Err(invalid_values(
                "sslcertmode and sslcert",
                "sslcertmode=require needs a certificate in sslcert and its key in sslkey.",
            ));
        }
        let min_version = self.min_version.unwrap_or(TlsVersion::V1_2);
        let max_version = self.max_version.unwrap_or(TlsVersion::V1_3);
        if min_version > max_version {
            return Err(invalid_values(
                "ssl_min_protocol_version and ssl_max_protocol_version",
                "The minimum is above the maximum.",
            ));
        }
        Ok(TlsOptions {
            mode,
            negotiation: if self.is_direct { Negotiation::Direct } else { Negotiation::Postgres },
            root: self.root.clone(),
            revocation_list: self.revocation_list.clone(),
            certificate,
            certificate_mode,
            sends_server_name: !self.hides_server_name,
            min_version,
            max_version,
        })
    }
}

/// Parses `sslmode`.
fn parse_mode(text: &str) -> Result<TlsMode> {
    Ok(match text {
        "disable" => TlsMode::Disable,
        "allow" => TlsMode::Allow,
        "prefer" => TlsMode::Prefer,
        "require" => TlsMode::Require,
        "verify-ca" => TlsMode::VerifyCa,
        "verify-full" => TlsMode::VerifyFull,
        _ => {
            return Err(invalid_value(
                "sslmode",
                "It is disable, allow, prefer, require, verify-ca or verify-full.",
            ));
        }
    })
}

/// Parses a lower bound: what is older than TLS 1.2 is never spoken anyway.
fn parse_min_version(key: &str, text: &str) -> Result<Option<TlsVersion>> {
    match text.to_ascii_lowercase().as_str() {
        "" => Ok(None),
        "tlsv1" | "tlsv1.1" | "tlsv1.2" => Ok(Some(TlsVersion::V1_2)),
        "tlsv1.3" => Ok(Some(TlsVersion::V1_3)),
        _ => Err(invalid_value(key, "It is TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3.")),
    }
}

/// Parses an upper bound.
fn parse_max_version(key: &str, text: &str) -> Result<Option<TlsVersion>> {
    match text.to_ascii_lowercase().as_str() {
        "" => Ok(None),
        "tlsv1.2" => Ok(Some(TlsVersion::V1_2)),
        "tlsv1.3" => Ok(Some(TlsVersion::V1_3)),
        _ => Err(invalid_value(key, "It is TLSv1.2 or TLSv1.3; older versions are not spoken.")),
    }
}
