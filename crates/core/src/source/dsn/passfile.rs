//! Password files: `host:port:database:user:password`, a line each, as libpq reads them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::Endpoint;
use super::conninfo::Value;
use crate::{Error, Result};

/// Longest password file read.
const MAX_BYTES: u64 = 1024 * 1024;

/// The host by which lines speak of the usual socket directories.
const LOCALHOST: &str = "localhost";

/// The password of the first line that fits, if one does.
pub(super) fn find_password(
    path: &Path,
    endpoint: &Endpoint,
    dbname: &str,
    user: &str,
) -> Result<Option<Value>> {
    let refuse = |why: String| Error::ConnectionString {
        message: format!("could not use the password file \"{}\": {why}", path.display()),
        hint: None,
    };
    let metadata = fs::metadata(path).map_err(|error| refuse(error.to_string()))?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(refuse("it is not a plain file of a reasonable size".to_owned()));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(refuse(
            "it has group or world access; permissions must be u=rw (0600) or less".to_owned(),
        ));
    }
    let content = Zeroizing::new(fs::read(path).map_err(|error| refuse(error.to_string()))?);
    let host = match endpoint {
        Endpoint::Unix { directory, .. } if super::is_default_directory(directory) => {
            LOCALHOST.to_owned()
        }
        _ => endpoint.host(),
    };
    let port = endpoint.port().to_string();
    let wanted = [host.as_str(), &port, dbname, user];
    Ok(content.split(|&byte| byte == b'\n').find_map(|line| match_line(line, &wanted)))
}

/// The password of a line whose first fields are the ones wanted.
fn match_line(line: &[u8], wanted: &[&str; 4]) -> Option<Value> {
    let mut line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.starts_with(b"#") {
        return None;
    }
    for wanted in wanted {
        let (field, ends) = take_field(&mut line);
        if !ends || (*field != b"*" && *field != wanted.as_bytes()) {
            return None;
        }
    }
    let (password, _) = take_field(&mut line);
    Some(password).filter(|password| !password.is_empty())
}

/// Takes a field off the front of the line and says whether a colon ended it.
fn take_field(line: &mut &[u8]) -> (Value, bool) {
    let mut field = Zeroizing::new(Vec::with_capacity(line.len()));
    while let [byte, rest @ ..] = *line {
        *line = rest;
        match (byte, rest) {
            (b':', _) => return (field, true),
            (b'\\', [escaped, rest @ ..]) => {
                field.push(*escaped);
                *line = rest;
            }
            (byte, _) => field.push(*byte),
        }
    }
    (field, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: [&str; 4] = ["h:1", "5432", "d\\b", "u"];

    #[test]
    fn a_line_fits_if_every_field_is_equal_or_a_star() {
        for (line, expected) in [
            (r"h\:1:5432:d\\b:u:pass:word", Some("pass")),
            (r"*:*:*:*:p\:\\w", Some(r"p:\w")),
            ("*:*:*:u:pw\r", Some("pw")),
            ("#*:*:*:*:pw", None),
            ("*:*:*:x:pw", None),
            ("*:*:*:u", None),
            ("*:*:*:*:", None),
            ("", None),
        ] {
            let found = match_line(line.as_bytes(), &WANTED);
            let found = found.as_deref().map(|found| std::str::from_utf8(found).unwrap());
            assert_eq!(found, expected, "{line}");
        }
    }
}
