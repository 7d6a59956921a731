//! The two spellings of a connection string, `key=value …` and URI, taken apart into parameters.
//!
//! Comes in: what the user wrote. Goes out: parameters in the order of the text, values decoded, not
//! yet judged. No error repeats a piece of the text, since any piece may be part of a password.
//! Follows "Connection Strings" in PostgreSQL's libpq documentation.

use zeroize::Zeroizing;

use crate::{Error, Result};

/// A decoded value; wiped when dropped, because any of them may be the password.
pub(super) type Value = Zeroizing<Vec<u8>>;

/// Splits `text` into parameters.
pub(super) fn split(text: &str) -> Result<Vec<(String, Value)>> {
    match text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://")) {
        Some(rest) => split_uri(rest),
        None => split_pairs(text),
    }
}

/// Splits `key = value` pairs; values may be quoted with `'`, and `\` takes the next byte as it is.
fn split_pairs(text: &str) -> Result<Vec<(String, Value)>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let Some((key, after)) = rest.split_once('=') else {
            return Err(malformed("a parameter without \"=\""));
        };
        let key = key.trim_end();
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(malformed("a parameter without \"=\""));
        }
        let (value, after) = take_value(after.trim_start())?;
        pairs.push((key.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(pairs)
}

/// Takes one quoted or bare value off the front of `text`.
fn take_value(text: &str) -> Result<(Value, &str)> {
    let mut value = Zeroizing::new(Vec::with_capacity(text.len()));
    let is_quoted = text.starts_with('\'');
    let bytes = text.as_bytes();
    let mut at = usize::from(is_quoted);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => {
                at += 1;
                value.extend(bytes.get(at));
            }
            b'\'' if is_quoted => return Ok((value, &text[at + 1..])),
            _ if !is_quoted && byte.is_ascii_whitespace() => return Ok((value, &text[at..])),
            _ => value.push(byte),
        }
        at += 1;
    }
    if is_quoted {
        return Err(malformed("a quoted value without its closing quote"));
    }
    Ok((value, ""))
}

/// Splits `[user[:password]@][host[:port],…][/dbname][?key=value&…]`.
fn split_uri(text: &str) -> Result<Vec<(String, Value)>> {
    let mut pairs = Vec::new();
    let (address, query) = text.split_once('?').unwrap_or((text, ""));
    let (authority, dbname) = address.split_once('/').unwrap_or((address, ""));
    let (credentials, hosts) = authority.split_once('@').unwrap_or(("", authority));
    if hosts.contains('@') || dbname.contains('@') {
        return Err(malformed("an \"@\" that does not stand before the host"));
    }

    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    push_decoded(&mut pairs, "user", user)?;
    push_decoded(&mut pairs, "password", password)?;
    push_hosts(&mut pairs, hosts)?;
    push_decoded(&mut pairs, "dbname", dbname)?;
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let Some((key, value)) = parameter.split_once('=') else {
            return Err(malformed("a parameter without \"=\""));
        };
        let key = String::from_utf8(decode_percent(key)?.to_vec())
            .map_err(|_| malformed("a parameter name that is not UTF-8"))?;
        pairs.push((key, decode_percent(value)?));
    }
    Ok(pairs)
}

/// Adds the comma-separated hosts of a URI as one `host` and one `port` parameter.
fn push_hosts(pairs: &mut Vec<(String, Value)>, text: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut hosts = Vec::new();
    let mut ports = Vec::new();
    for entry in text.split(',') {
        let (host, port) = match entry.strip_prefix('[') {
            Some(bracketed) => {
                let (host, after) = bracketed
                    .split_once(']')
                    .ok_or_else(|| malformed("an IPv6 address without its closing bracket"))?;
                match after.strip_prefix(':') {
                    Some(port) => (host, port),
                    None if after.is_empty() => (host, ""),
                    None => return Err(malformed("text after an IPv6 address")),
                }
            }
            None => entry.split_once(':').unwrap_or((entry, "")),
        };
        hosts.push(host);
        ports.push(port);
    }
    push_decoded(pairs, "host", &hosts.join(","))?;
    if ports.iter().any(|port| !port.is_empty()) {
        push_decoded(pairs, "port", &ports.join(","))?;
    }
    Ok(())
}

/// Adds a parameter unless it is absent, that is, empty.
fn push_decoded(pairs: &mut Vec<(String, Value)>, key: &str, text: &str) -> Result<()> {
    if !text.is_empty() {
        pairs.push((key.to_owned(), decode_percent(text)?));
    }
    Ok(())
}

/// Decodes `%XX`.
fn decode_percent(text: &str) -> Result<Value> {
    let mut value = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            value.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(hex_digit);
        match (digit(), digit()) {
            (Some(high), Some(low)) => value.push(high << 4 | low),
            _ => return Err(malformed("a \"%\" without two hexadecimal digits")),
        }
    }
    Ok(value)
}

/// The value of a hexadecimal digit.
fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The error for text that cannot be taken apart.
fn malformed(what: &str) -> Error {
    Error::ConnectionString {
        message: format!("malformed connection string: {what}"),
        hint: Some(
            "Write key=value pairs, with values that contain spaces in single quotes, or a URI \
             postgresql://user@host:port/dbname with special characters written as %XX."
                .to_owned(),
        ),
    }
}
