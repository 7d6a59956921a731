//! Whether a certificate is a host's, as libpq decides it.

use std::net::IpAddr;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

/// Whether the certificate names `host`. Its alternative names decide; the common name counts only if
/// there is no alternative name of the host's kind.
pub(super) fn is_valid_for(certificate: &X509Certificate<'_>, host: &str) -> bool {
    let address = host.parse::<IpAddr>().ok();
    let alternatives = certificate
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let mut has_kind = false;
    for alternative in alternatives {
        let is_match = match (alternative, address) {
            (GeneralName::DNSName(name), address) => {
                has_kind |= address.is_none();
                matches(name, host)
            }
            (GeneralName::IPAddress(bytes), Some(address)) => {
                has_kind = true;
                match address {
                    IpAddr::V4(address) => *bytes == address.octets(),
                    IpAddr::V6(address) => *bytes == address.octets(),
                }
            }
            _ => false,
        };
        if is_match {
            return true;
        }
    }
    let common_name = certificate.subject().iter_common_name().next();
    let common_name = common_name.and_then(|name| name.as_str().ok());
    !has_kind && common_name.is_some_and(|name| matches(name, host))
}

/// Whether a name in a certificate, with a `*` for its first label perhaps, is the host's.
fn matches(name: &str, host: &str) -> bool {
    if name.eq_ignore_ascii_case(host) {
        return true;
    }
    let Some(domain) = name.strip_prefix("*.") else {
        return false;
    };
    host.split_once('.').is_some_and(|(label, rest)| {
        !label.is_empty() && !domain.is_empty() && rest.eq_ignore_ascii_case(domain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_label() {
        for (name, host, expected) in [
            ("db.example.com", "DB.example.COM", true),
            ("*.example.com", "db.example.com", true),
            ("*.example.com", "a.db.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("d*.example.com", "db.example.com", false),
            ("*", "db", false),
            ("*.", "db.", false),
            ("db.example.com\0.evil.org", "db.example.com", false),
        ] {
            assert_eq!(matches(name, host), expected, "{name} {host}");
        }
    }
}
