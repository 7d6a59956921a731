//! Errors of the server, as tests expect them.

use anyhow::{Context, Result, bail};
use postgres::error::DbError;

/// The error that a call ended with; anything but one with this SQLSTATE fails.
pub fn expect_error<T>(sqlstate: &str, outcome: Result<T, postgres::Error>) -> Result<DbError> {
    let Err(error) = outcome else { bail!("there was no error {sqlstate}") };
    let error = error.as_db_error().context("not an error of the server")?.clone();
    if error.code().code() != sqlstate {
        bail!("{} {error:?}, expected {sqlstate}", error.code().code());
    }
    Ok(error)
}
