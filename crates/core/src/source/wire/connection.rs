//! A session with the source: statements in the simple query protocol, results as text.
//!
//! Text goes both ways as UTF-8, so that any name can be written in a statement; `copy_out` switches to
//! the encoding wanted for data and back. An error of the server leaves the session usable (and an
//! open transaction aborted); an error of protocol or network ends it.

use super::channel::{Channel, Message, ShutdownHandle};
use super::message::HEADER_BYTES;
use super::silence::{IsAtWork, Silence};
use super::{CancelToken, connect, message};
use crate::source::dsn::{Dsn, Endpoint};
use crate::{Error, Result};

/// What the server said about itself after login.
#[derive(Debug, Clone)]
pub struct Server {
    /// `server_version_num`, such as 150018.
    pub version_num: u32,
    /// `version()`.
    pub version: String,
    /// `pg_backend_pid()`: differs from the process id in the greeting when a pooler sits between.
    pub backend_pid: i32,
    pub is_in_recovery: bool,
    /// Whether new transactions are read-only by default or by recovery.
    pub is_read_only: bool,
}

impl Server {
    /// Reads the row of `identify.sql`.
    pub(super) fn from_row(row: &[Option<String>]) -> Option<Server> {
        let [Some(version_num), Some(version), Some(backend_pid), Some(recovery), Some(read_only)] =
            row
        else {
            return None;
        };
        Some(Server {
            version_num: version_num.parse().ok()?,
            version: message::clean(version),
            backend_pid: backend_pid.parse().ok()?,
            is_in_recovery: recovery == "t",
            is_read_only: read_only == "t",
        })
    }
}

/// Bytes of rows that a statement may return, COPY aside: catalogs of a hundred thousand tables have half
/// of this, and whoever asks keeps the rows in memory.
const MAX_RESULT_BYTES: usize = 512 * 1024 * 1024;

/// What several queries sent at once may return all together, as a multiple of that.
const MAX_SHARES: usize = 2;

/// Bytes that a row takes in memory beside its text, and each value of a row that is kept as it is.
const ROW_BYTES: usize = 64;
const VALUE_BYTES: usize = 32;

/// Bytes of rows that `query` keeps, values counted with what they take in memory: it is for small
/// results.
const MAX_QUERY_BYTES: usize = 256 * 1024 * 1024;

/// Results that the statements sent at once may have: many times what is ever sent.
pub(super) const MAX_RESULTS: u32 = 100_000;

/// Where a session stands, as the server reports it after every statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    Idle,
    InTransaction,
    /// In a transaction that failed and waits for its ROLLBACK.
    Failed,
}

/// What a running query hands to its caller.
pub(super) enum Event<'a> {
    /// A result set begins.
    Columns,
    Row(&'a [u8]),
    /// A statement is done.
    Complete(&'a str),
}

/// A session with the source.
pub struct Connection {
    pub(super) channel: Channel,
    cancel: CancelToken,
    endpoint: Endpoint,
    password_used: bool,
    server: Server,
    status: TransactionStatus,
    /// The encoding of data, if it is not UTF-8.
    pub(super) copy_encoding: Option<String>,
}

impl Connection {
    /// Opens a session on the first host that will do; the name shows in `pg_stat_activity`,
    /// before the one that the connection string brings. Blocks up to the connect timeout per host.
    pub fn connect(dsn: &Dsn, application_name: &str) -> Result<Connection> {
        connect::connect(dsn, application_name)
    }

    /// A session that has logged in and not yet asked who the server is.
    pub(super) fn new(
        channel: Channel,
        cancel: CancelToken,
        endpoint: Endpoint,
        password_used: bool,
    ) -> Connection {
        Connection {
            channel,
            cancel,
            endpoint,
            password_used,
            server: Server {
                version_num: 0,
                version: String::new(),
                backend_pid: 0,
                is_in_recovery: false,
                is_read_only: false,
            },
            status: TransactionStatus::Idle,
            copy_encoding: None,
        }
    }

    /// Ends the login phase.
    pub(super) fn begin_service(&mut self, server: Server) -> Result<()> {
        self.server = server;
        self.channel.end_login()
    }

    /// Where the session was opened: a host, by its address.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What the server said about itself.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Process id in the server's greeting.
    pub fn process_id(&self) -> i32 {
        self.cancel.process_id
    }

    /// Whether the server really asked for the password.
    pub fn password_used(&self) -> bool {
        self.password_used
    }

    /// The last value the server reported for a parameter such as `server_encoding`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.channel.parameter(name)
    }

    /// Where the session stood after the last statement.
    pub fn transaction_status(&self) -> TransactionStatus {
        self.status
    }

    /// Whether the session is lost for good.
    pub fn is_closed(&self) -> bool {
        self.channel.is_closed()
    }

    /// Sets the encoding in which `copy_out` delivers data.
    pub fn set_copy_encoding(&mut self, encoding: &str) {
        self.copy_encoding = Some(encoding.to_owned()).filter(|encoding| encoding != "UTF8");
    }

    /// Has `is_at_work` asked, on the thread that waits, whenever the server says nothing for a while;
    /// the session is lost when it says no.
    pub fn watch(&mut self, is_at_work: IsAtWork) -> Result<()> {
        self.channel.watch(Silence::new(is_at_work))
    }

    /// A handle that ends this session from another thread.
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        self.channel.shutdown_handle()
    }

    /// A token that cancels this session's statement from another thread.
    pub fn cancel_token(&self) -> CancelToken {
        self.cancel.clone()
    }

    /// Runs statements and returns the rows of the last one that has any, as text.
    pub fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let mut rows = Vec::new();
        let mut bytes_left = MAX_QUERY_BYTES;
        self.run(sql, &mut |event| {
            match event {
                Event::Columns => rows.clear(),
                Event::Row(body) => {
                    let row = decode_row(body)?;
                    let bytes = body.len() + ROW_BYTES + row.len() * VALUE_BYTES;
                    let Some(left) = bytes_left.checked_sub(bytes) else {
                        rows = Vec::new();
                        return Err(Error::Protocol("a result without end".to_owned()));
                    };
                    bytes_left = left;
                    rows.push(row.into_iter().map(|value| value.map(str::to_owned)).collect());
                }
                Event::Complete(_) => {}
            }
            Ok(())
        })?;
        Ok(rows)
    }

    /// Runs a query and hands each row to `each` as it arrives; an error of `each` ends the calls, and
    /// the remaining rows are read and dropped, so that the session stays usable.
    pub fn for_each_row(
        &mut self,
        sql: &str,
        each: &mut dyn FnMut(&[Option<&str>]) -> Result<()>,
    ) -> Result<()> {
        self.run(sql, &mut |event| match event {
            Event::Row(body) => each(&decode_row(body)?),
            Event::Columns | Event::Complete(_) => Ok(()),
        })
    }

    /// Runs statements for their effect; returns the row count of the last one, 0 if it has none.
    pub fn execute(&mut self, sql: &str) -> Result<u64> {
        let mut count = 0;
        self.run(sql, &mut |event| {
            if let Event::Complete(tag) = event {
                count = message::count_of_tag(tag);
            }
            Ok(())
        })?;
        Ok(count)
    }

    /// Wipes what is left in memory of the messages that were read: they held a secret.
    pub fn forget_read(&mut self) {
        self.channel.wipe_read();
    }

    /// Runs two lots of statements, each a transaction of its own, and waits once for both; for short ones
    /// without rows, since the second is sent before the answer to the first is read.
    pub fn execute_both(&mut self, first: &str, second: &str) -> Result<[Result<()>; 2]> {
        self.send_query(first)?;
        self.send_query(second)?;
        let first = self.receive(1, &mut |_| Ok(()));
        if self.is_closed() {
            return Ok([first, Err(Error::Lost("the session is closed".to_owned()))]);
        }
        let second = self.receive(1, &mut |_| Ok(()));
        Ok([first, second])
    }

    /// Sends statements to be run.
    pub(super) fn send_query(&mut self, sql: &str) -> Result<()> {
        if sql.contains('\0') {
            return Err(Error::Internal("a statement contains a zero byte".to_owned()));
        }
        self.channel.send(&message::query(sql))
    }

    /// Runs statements to the end; the first error, the server's or the callback's, is returned then.
    fn run(&mut self, sql: &str, on_event: &mut dyn FnMut(Event) -> Result<()>) -> Result<()> {
        self.send_query(sql)?;
        self.receive(1, on_event)
    }

    /// Reads the answer to statements that were sent together, of which `query_count` return many rows.
    pub(super) fn receive(
        &mut self,
        query_count: usize,
        on_event: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        let mut outcome = Ok(());
        let mut bytes_left = MAX_RESULT_BYTES.saturating_mul(query_count.min(MAX_SHARES));
        let mut results_left = MAX_RESULTS;
        loop {
            let message = self.channel.receive()?;
            let is_row = message.tag == b'D';
            let length = self.channel.body(&message).len() + HEADER_BYTES + ROW_BYTES;
            match (is_row, bytes_left.checked_sub(length), results_left.checked_sub(1)) {
                (true, Some(left), _) => bytes_left = left,
                (false, _, Some(left)) => results_left = left,
                _ => return Err(self.channel.violate("a result without end")),
            }
            let body = self.channel.body(&message);
            let handled = match message.tag {
                b'Z' => {
                    self.finish_query(&message)?;
                    return outcome;
                }
                b'E' => return Err(self.drain_error(&message)),
                b'I' => Ok(()),
                b'T' | b'D' | b'C' if outcome.is_err() => Ok(()),
                b'T' => on_event(Event::Columns),
                b'D' => on_event(Event::Row(body)),
                b'C' => match message::parse_tag(body) {
                    Some(tag) => on_event(Event::Complete(&tag)),
                    None => return Err(self.channel.violate("a command tag cannot be read")),
                },
                _ => return Err(self.unexpected(&message)),
            };
            outcome = outcome.and(handled);
        }
    }

    /// Takes note of ReadyForQuery.
    pub(super) fn finish_query(&mut self, message: &Message) -> Result<()> {
        self.status = match self.channel.body(message) {
            b"I" => TransactionStatus::Idle,
            b"T" => TransactionStatus::InTransaction,
            b"E" => TransactionStatus::Failed,
            _ => {
                return Err(self.channel.violate("the transaction's status cannot be read"));
            }
        };
        Ok(())
    }

    /// Reads on to ReadyForQuery after an ErrorResponse and returns the server's error; a session that
    /// ends with its error is closed.
    pub(super) fn drain_error(&mut self, message: &Message) -> Error {
        let Some(remote) = message::parse_error(self.channel.body(message)) else {
            return self.channel.violate("an error message cannot be read");
        };
        // What goes wrong from here on closes the channel; the server's error tells more.
        if let Ok(message) = self.channel.receive() {
            let _ = match message.tag {
                b'Z' => self.finish_query(&message),
                _ => Err(self.unexpected(&message)),
            };
        }
        Error::Remote(Box::new(remote))
    }

    /// Closes the session because a message is out of place.
    pub(super) fn unexpected(&mut self, message: &Message) -> Error {
        let tag = char::from(message.tag).escape_default();
        self.channel.violate(format!("an unexpected message of type \"{tag}\""))
    }
}

/// Decodes a DataRow.
pub(super) fn decode_row(body: &[u8]) -> Result<Vec<Option<&str>>> {
    let columns = message::parse_row(body)
        .ok_or_else(|| Error::Protocol("a row cannot be read".to_owned()))?;
    columns.into_iter().map(|value| value.map(decode_text).transpose()).collect()
}

/// Decodes one value of a row.
fn decode_text(value: &[u8]) -> Result<&str> {
    let text =
        std::str::from_utf8(value).ok().filter(|text| memchr::memchr(0, text.as_bytes()).is_none());
    text.ok_or_else(|| {
        Error::Protocol("a row of text is not valid UTF-8, or contains a zero byte".to_owned())
    })
}

#[cfg(test)]
mod tests;
