//! Tasks that run statements: schema, indexes, constraints.

use std::collections::HashSet;

use pgmig_core::model::{Class, ObjectId};
use pgmig_core::options::OnError;
use pgmig_core::plan::task::{Statement, StatementMode};
use pgmig_core::source::catalog::secret;
use pgmig_core::{Error, Result};
use pgrx::pg_sys;
use zeroize::Zeroizing;

use super::state::Event;
use super::worker::TaskContext;
use crate::pg::foreign_key::{self, Verdict};
use crate::pg::{catch, index_build, spi, transaction, utility};

/// Runs the statements of a task in one transaction.
///
/// With `on_error: stop` the first failure fails the task. With `continue` each statement has a
/// subtransaction of its own, failures become events, and the rest goes on, but for what describes
/// an object that could not be made.
pub fn run(context: &mut TaskContext, task: i32, statements: &[Statement]) -> Result<()> {
    let (run, state, on_error) = (context.request.run, context.state, context.options.on_error);
    let mut unmade = HashSet::new();
    transaction::run(|| {
        for statement in statements {
            if unmade.contains(statement.object.as_str()) {
                continue;
            }
            let attempt = || execute(context, statement);
            if on_error == OnError::Stop || statements.len() == 1 {
                catch::catch(attempt).map_err(|error| name_statement(error, statement))?;
            } else if let Err(error) = transaction::run_nested(attempt) {
                let error = name_statement(error, statement);
                state.insert_event(run, &Event::failure(&statement.object, &error))?;
                if makes_object(&statement.sql) {
                    unmade.insert(statement.object.as_str());
                }
            }
            transaction::increment_command_counter();
        }
        state.mark_done(run, task, &[])
    })
}

/// Whether a statement makes its object; the others on it change what it is. Servers write in capitals.
fn makes_object(sql: &str) -> bool {
    sql.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("create "))
}

fn execute(context: &mut TaskContext, statement: &Statement) -> Result<()> {
    match statement.mode {
        StatementMode::Plain => spi::execute(&statement.sql),
        StatementMode::Index => index_build::create(&statement.sql)?,
        StatementMode::CheckedForeignKey => foreign_key::add_checked(&statement.sql),
        StatementMode::TrustedForeignKey => {
            foreign_key::add_unchecked(&statement.sql, Verdict::Valid);
        }
        StatementMode::NotValidForeignKey => {
            foreign_key::add_unchecked(&statement.sql, Verdict::NotValid);
        }
        StatementMode::Secret(id) => execute_secret(context, id, &statement.sql)?,
    }
    Ok(())
}

/// Runs what the source says now; nobody gets to see more of it than `shown`.
fn execute_secret(context: &mut TaskContext, id: ObjectId, shown: &str) -> Result<()> {
    let source = context.source.get()?;
    let major = pg_sys::PG_VERSION_NUM / 10_000;
    let sql = source.call(move |connection| secret::read_statement(connection, id, major))?;
    match sql.map(Zeroizing::new) {
        Some(sql) => {
            utility::execute_shown_as(&sql, shown);
            Ok(())
        }
        // A role without a password.
        None if id.class == Class::ROLE => Ok(()),
        None => Err(Error::Internal("the source does not have the object any more".to_owned())),
    }
}

/// Says which object and statement an error is about.
fn name_statement(error: Error, statement: &Statement) -> Error {
    match error {
        Error::Target(mut target) => {
            target.context.clone_from(&statement.object);
            target.statement = Some(statement.sql.clone());
            Error::Target(target)
        }
        other => other,
    }
}
