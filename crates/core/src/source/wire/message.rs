//! The messages themselves: bytes to values and values to bytes, no input or output.
//!
//! Parsers take a body without its header and return None when it cannot be read.

use zeroize::Zeroizing;

use crate::error::RemoteError;

/// Type byte and length, which counts itself.
pub(super) const HEADER_BYTES: usize = 5;

/// The length field's own bytes, counted in its value.
const LENGTH_BYTES: usize = 4;

/// Protocol 3.0.
const PROTOCOL_VERSION: i32 = 3 << 16;

/// The request code that asks for a cancel instead of a session.
const CANCEL_REQUEST: i32 = 1234 << 16 | 5678;

/// The request code that asks for TLS instead of a session.
const TLS_REQUEST: i32 = 1234 << 16 | 5679;

/// Reads type and body length of the message that `bytes` begin with; at least five of them.
pub(super) fn parse_header(bytes: &[u8]) -> Option<(u8, usize)> {
    let (tag, rest) = bytes.split_first()?;
    let length = i32::from_be_bytes(*rest.first_chunk()?);
    let body = usize::try_from(length).ok()?.checked_sub(LENGTH_BYTES)?;
    Some((*tag, body))
}

/// Takes a zero-terminated text off the front of `bytes`; what is not UTF-8 is replaced.
pub(super) fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let end = memchr::memchr(0, bytes)?;
    let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
    *bytes = &bytes[end + 1..];
    Some(text)
}

/// Takes a 32-bit number off the front of `bytes`.
pub(super) fn take_i32(bytes: &mut &[u8]) -> Option<i32> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(i32::from_be_bytes(*number))
}

/// Takes a 16-bit number off the front of `bytes`.
pub(super) fn take_i16(bytes: &mut &[u8]) -> Option<i16> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(i16::from_be_bytes(*number))
}

/// Name and value of a ParameterStatus.
pub(super) fn parse_parameter(mut body: &[u8]) -> Option<(String, String)> {
    Some((take_text(&mut body)?, take_text(&mut body)?))
}

/// Characters of a server's text that are kept: longer than any message of PostgreSQL's own.
const MAX_TEXT: usize = 8192;

/// A server's text for others to read: not too long, and without characters that a terminal obeys.
pub(super) fn clean(text: &str) -> String {
    let is_harmless = |c: char| !c.is_control() || c == '\n' || c == '\t';
    text.chars().take(MAX_TEXT).map(|c| if is_harmless(c) { c } else { '\u{fffd}' }).collect()
}

/// The fields of an ErrorResponse that pgmig keeps.
pub(super) fn parse_error(mut body: &[u8]) -> Option<RemoteError> {
    let mut error = RemoteError::default();
    loop {
        let (field, rest) = body.split_first()?;
        body = rest;
        match field {
            0 => return Some(error),
            b'C' => error.sqlstate = take_text(&mut body).map(|text| clean_sqlstate(&text))?,
            b'M' => error.message = clean(&take_text(&mut body)?),
            b'D' => error.detail = Some(clean(&take_text(&mut body)?)),
            b'H' => error.hint = Some(clean(&take_text(&mut body)?)),
            _ => drop(take_text(&mut body)?),
        }
    }
}

/// A SQLSTATE, or the one of an internal error in the place of anything else.
fn clean_sqlstate(text: &str) -> String {
    let is_valid = text.len() == 5
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        && !text.starts_with("00");
    if is_valid { text.to_owned() } else { "XX000".to_owned() }
}

/// The columns of a DataRow, as bytes.
pub(super) fn parse_row(mut body: &[u8]) -> Option<Vec<Option<&[u8]>>> {
    let count = usize::try_from(take_i16(&mut body)?).ok()?;
    let mut columns = Vec::with_capacity(count);
    for _ in 0..count {
        let length = take_i32(&mut body)?;
        columns.push(match usize::try_from(length) {
            Ok(length) => {
                let (value, rest) = body.split_at_checked(length)?;
                body = rest;
                Some(value)
            }
            Err(_) if length == -1 => None,
            Err(_) => return None,
        });
    }
    body.is_empty().then_some(columns)
}

/// The tag of a CommandComplete, such as `COPY 5`.
pub(super) fn parse_tag(mut body: &[u8]) -> Option<String> {
    take_text(&mut body)
}

/// The row count at the end of a command tag; 0 for commands that have none.
pub(super) fn count_of_tag(tag: &str) -> u64 {
    tag.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Builds a message with a type byte, or a start message without one, around `body`.
fn frame(tag: Option<u8>, body: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let length = LENGTH_BYTES + body.iter().map(|part| part.len()).sum::<usize>();
    let mut message = Zeroizing::new(Vec::with_capacity(length + 1));
    message.extend(tag);
    let length = i32::try_from(length).expect("statements and passwords are below 2 GB");
    message.extend(length.to_be_bytes());
    for part in body {
        message.extend_from_slice(part);
    }
    message
}

/// A StartupMessage; neither names nor values hold a zero byte.
pub(super) fn startup(parameters: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    let mut body = PROTOCOL_VERSION.to_be_bytes().to_vec();
    for (name, value) in parameters {
        for text in [name, value] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
    }
    body.push(0);
    frame(None, &[&body])
}

/// An SSLRequest.
pub(super) fn tls_request() -> Zeroizing<Vec<u8>> {
    frame(None, &[&TLS_REQUEST.to_be_bytes()])
}

/// A CancelRequest.
pub(super) fn cancel_request(process_id: i32, secret_key: i32) -> Zeroizing<Vec<u8>> {
    let [code, process_id, secret_key] =
        [CANCEL_REQUEST, process_id, secret_key].map(i32::to_be_bytes);
    frame(None, &[&code, &process_id, &secret_key])
}

/// A Query with one or more statements; `sql` holds no zero byte.
pub(super) fn query(sql: &str) -> Zeroizing<Vec<u8>> {
    frame(Some(b'Q'), &[sql.as_bytes(), &[0]])
}

/// A PasswordMessage with a password or the hash of one.
pub(super) fn password(password: &[u8]) -> Zeroizing<Vec<u8>> {
    frame(Some(b'p'), &[password, &[0]])
}

/// A SASLInitialResponse.
pub(super) fn sasl_initial_response(mechanism: &str, data: &[u8]) -> Zeroizing<Vec<u8>> {
    let length = i32::try_from(data.len()).expect("the first SCRAM message is short");
    frame(Some(b'p'), &[mechanism.as_bytes(), &[0], &length.to_be_bytes(), data])
}

/// A SASLResponse.
pub(super) fn sasl_response(data: &[u8]) -> Zeroizing<Vec<u8>> {
    frame(Some(b'p'), &[data])
}

/// A Terminate.
pub(super) fn terminate() -> Zeroizing<Vec<u8>> {
    frame(Some(b'X'), &[])
}
