//! Certificates made for a test: authorities, what they sign, and files for a server to own.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber, date_time_ymd,
};

/// An authority that signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key, in PEM.
pub struct Certified {
    pub certificate: String,
    pub key: String,
}

/// What a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Server,
    Client,
}

impl Authority {
    /// A root of this name.
    pub fn root(name: &str) -> Authority {
        let issuer = CertifiedIssuer::self_signed(authority(name), KeyPair::generate().unwrap());
        Authority(issuer.unwrap())
    }

    /// An authority below this one.
    pub fn intermediate(&self, name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        Authority(CertifiedIssuer::signed_by(authority(name), key, &self.0).unwrap())
    }

    /// The authority's own certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a common name and alternative ones.
    pub fn certify(&self, purpose: Purpose, name: &str, alternatives: &[&str]) -> Certified {
        self.sign(&leaf(purpose, name, alternatives))
    }

    /// The same, but it has expired long ago.
    pub fn certify_expired(&self, name: &str) -> Certified {
        let mut parameters = leaf(Purpose::Server, name, &[name]);
        parameters.not_before = date_time_ymd(2001, 1, 1);
        parameters.not_after = date_time_ymd(2002, 1, 1);
        self.sign(&parameters)
    }

    /// The same with a serial number to revoke it by.
    pub fn certify_numbered(&self, name: &str, serial: u64) -> Certified {
        let mut parameters = leaf(Purpose::Server, name, &[name]);
        parameters.serial_number = Some(SerialNumber::from(serial));
        self.sign(&parameters)
    }

    /// A list that revokes one serial number.
    pub fn revoke(&self, serial: u64) -> String {
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.0).unwrap().pem().unwrap()
    }

    fn sign(&self, parameters: &CertificateParams) -> Certified {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.0).unwrap().pem();
        Certified { certificate, key: key.serialize_pem() }
    }
}

/// What is in a server's or client's certificate.
fn leaf(purpose: Purpose, name: &str, alternatives: &[&str]) -> CertificateParams {
    let alternatives: Vec<_> = alternatives.iter().map(|&name| name.to_owned()).collect();
    let mut parameters = CertificateParams::new(alternatives).unwrap();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.extended_key_usages = vec![match purpose {
        Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
        Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
    }];
    parameters
}

/// What is in an authority's certificate.
fn authority(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

/// A directory of files that goes away with the value.
pub struct Files(PathBuf);

impl Files {
    /// An empty directory that everybody may enter.
    pub fn new() -> Files {
        let directory =
            super::output(super::command("mktemp").args(["-d", "-t", "pgmig-tls.XXXXXX"]));
        let directory = PathBuf::from(directory.trim());
        super::output(super::command("chmod").arg("755").arg(&directory));
        Files(directory)
    }

    /// Where a file of this name is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file that only its owner, the user of the servers, can read.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        // Made by the server's user, and written to by whoever we are.
        super::output(super::command("touch").arg(&path));
        super::output(super::command("chmod").arg("600").arg(&path));
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.0
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
