//! Tasks that run statements: schema, indexes, constraints.

use std::collections::HashSet;

use pgmig_core::error::Remedy;
use pgmig_core::model::{Class, ObjectId};
use pgmig_core::options::OnError;
use pgmig_core::plan::task::{Statement, StatementMode};
use pgmig_core::source::catalog::secret;
use pgmig_core::{Error, Result};
use pgrx::pg_sys;

use super::state::{Event, Severity};
use super::statistics::SourceStatistics;
use super::worker::TaskContext;
use crate::pg::foreign_key::{self, Verdict};
use crate::pg::{catch, index_build, spi, table_create, transaction, utility};

/// SQLSTATEs of what is not there, or may not be changed.
const LEFT_OUT: [&str; 6] = ["3F000", "42501", "42703", "42704", "42883", "42P01"];

/// Runs the statements of a task in one transaction; of a task that was done before in part, those
/// that failed then. Returns what could not be done.
///
/// With `on_error: stop` the first failure fails the task. With `continue` each statement has a
/// subtransaction of its own, failures become events, and the rest goes on, but for what describes
/// an object that could not be made. A vital statement fails the task all the same, and so does an index
/// or key that is all there is to its task, with what depends on it.
pub fn run(
    context: &mut TaskContext,
    task: i32,
    statements: &[Statement],
) -> Result<Option<Error>> {
    let (run, state, on_error) = (context.request.run, context.state, context.options.on_error);
    let mut unmade = HashSet::new();
    // In a transaction of its own: nobody is to wait for a lock on pgmig's tables while these run.
    let before = transaction::run(|| state.read_failed_statements(run, task))?;
    let mut statistics = SourceStatistics::default();
    transaction::run(|| {
        let is_due = |position: &i32| before.as_ref().is_none_or(|due| due.contains(position));
        let mut failed: Vec<(i32, Option<Error>)> = Vec::new();
        for (position, statement) in (0..).zip(statements).filter(|(at, _)| is_due(at)) {
            let rest = statements.get(position as usize..).unwrap_or_default();
            if unmade.contains(statement.object.as_str()) {
                failed.push((position, None));
                continue;
            }
            let is_vital = match statement.mode {
                StatementMode::Vital => true,
                StatementMode::Plain | StatementMode::Table => false,
                _ => statements.len() == 1,
            };
            let attempt = || execute(context, task, rest, &mut statistics);
            if statement.mode == StatementMode::Owed {
                if let Err(error) = or_retry(transaction::run_nested(attempt))? {
                    report_owed(context, statement, error)?;
                }
            } else if statement.mode == StatementMode::Optional {
                if let Err(error) = transaction::run_nested(attempt) {
                    report_left_out(context, statement, error)?;
                }
            } else if on_error == OnError::Stop || is_vital {
                catch::catch(attempt).map_err(|error| name_statement(error, statement))?;
            } else if let Err(error) = or_retry(transaction::run_nested(attempt))? {
                let error = name_statement(error, statement);
                state.insert_event(run, &Event::failure(&statement.object, &error))?;
                failed.push((position, Some(error)));
                if makes_object(&statement.sql) {
                    unmade.insert(statement.object.as_str());
                }
            }
            transaction::increment_command_counter();
        }
        let positions: Vec<i32> = failed.iter().map(|(position, _)| *position).collect();
        match before {
            None => state.mark_partly(run, task, &positions)?,
            Some(_) => state.amend_mark(run, task, &positions)?,
        }
        Ok(failed.into_iter().find_map(|(_, error)| error))
    })
}

/// Tells failures that will last from those that another attempt at the whole task may help.
fn or_retry(outcome: Result<()>) -> Result<Result<()>> {
    match outcome {
        Err(error) if error.remedy() != Remedy::None => Err(error),
        outcome => Ok(outcome),
    }
}

/// Whether a statement makes its object; the others on it change what it is. Servers write in capitals.
fn makes_object(sql: &str) -> bool {
    sql.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("create "))
}

/// Reports that something which an earlier run had dropped cannot be built: it stays owed, and the run
/// goes on, or no run would ever succeed again.
fn report_owed(context: &TaskContext, statement: &Statement, error: Error) -> Result<()> {
    let (run, state) = (context.request.run, context.state);
    let error = name_statement(error, statement);
    state.fail_dropped(run, &statement.object, &error)?;
    let event = Event {
        severity: Severity::Warning,
        detail: Some(
            "An earlier run dropped it. The next one tries again, until its row in pgmig.dropped is \
             deleted."
                .to_owned(),
        ),
        ..Event::failure(&statement.object, &error)
    };
    state.insert_event(run, &event)
}

/// Reports that something could not be changed which is not the run's: it is missing, or another's.
fn report_left_out(context: &TaskContext, statement: &Statement, error: Error) -> Result<()> {
    if !LEFT_OUT.contains(&error.sqlstate()) {
        return Err(name_statement(error, statement));
    }
    let error = name_statement(error, statement);
    let event = Event { severity: Severity::Warning, ..Event::failure(&statement.object, &error) };
    context.state.insert_event(context.request.run, &event)
}

/// Runs the first of some statements.
fn execute(
    context: &mut TaskContext,
    task: i32,
    statements: &[Statement],
    statistics: &mut SourceStatistics,
) -> Result<()> {
    let Some(statement) = statements.first() else {
        return Ok(());
    };
    match statement.mode {
        StatementMode::Plain
        | StatementMode::Vital
        | StatementMode::Owed
        | StatementMode::Optional => spi::execute(&statement.sql),
        StatementMode::SetLogged => {
            spi::execute(&statement.sql);
            transaction::increment_command_counter();
            context.state.promote_copied(context.request.run, task)?;
        }
        StatementMode::Table => _ = table_create::create(&statement.sql),
        StatementMode::Index => index_build::create(&statement.sql),
        StatementMode::CheckedForeignKey => foreign_key::add_checked(&statement.sql),
        StatementMode::TrustedForeignKey => {
            foreign_key::add_unchecked(&statement.sql, Verdict::Valid);
        }
        StatementMode::NotValidForeignKey => {
            foreign_key::add_unchecked(&statement.sql, Verdict::NotValid);
        }
        StatementMode::Analyze(oid) => statistics.apply(context, statements, oid)?,
        StatementMode::Secret(id) => execute_secret(context, id, &statement.sql)?,
    }
    Ok(())
}

/// Runs what the source says now; nobody gets to see more of it than `shown`.
fn execute_secret(context: &mut TaskContext, id: ObjectId, shown: &str) -> Result<()> {
    let source = context.source.get()?;
    let major = pg_sys::PG_VERSION_NUM / 10_000;
    let sql = source.call(move |connection| {
        let sql = secret::read_statement(connection, id, major);
        connection.forget_read();
        sql
    })?;
    match sql {
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
