//! Work on a session with the source that may have to wait for other sessions' locks there: for whose
//! is shown while it lasts, in `pgmig.runs` and as an event.
//!
//! Comes in: a session, and work for it. Goes out: what the work returns. Another session, opened when
//! the work takes its time, looks for whom it waits; where none can be had nothing is shown.

use std::time::Duration;

use pgmig_core::Result;
use pgmig_core::source::wire::Connection;

use super::coordinator::Run;
use super::state::{Event, Severity};
use crate::pg::thread::Actor;
use crate::pg::{catch, transaction};

/// Time between two looks: shorter waits concern nobody.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Time for one look.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// Characters of what the source says about who holds the lock.
const MAX_CHARACTERS: usize = 500;

/// Runs `work` on the session and shows for whom it waits.
pub(super) fn call<T: Send + 'static>(
    run: &Run,
    session: &Actor<Connection>,
    work: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
) -> Result<T> {
    let process_id = session.call(|connection| Ok(connection.process_id()))?;
    let pending = session.begin(work)?;
    let mut onlooker = None;
    let mut shown = None;
    loop {
        if let Some(answer) = pending.wait_within(LOOK_EVERY)? {
            if shown.is_some() {
                transaction::run(|| run.state.set_source_wait(run.id, None))?;
            }
            return answer;
        }
        let found = match catch::catch(|| look(run, &mut onlooker, process_id)) {
            Err(error) if super::coordinator::is_cancel(&error) => return Err(error),
            // The source may have no place for another session.
            Err(_) => {
                onlooker = None;
                continue;
            }
            Ok(found) => found,
        };
        if found != shown {
            transaction::run(|| {
                if let Some(holders) = &found {
                    let message =
                        format!("the run waits for a lock on the source, held by {holders}");
                    state_event(run, message)?;
                }
                run.state.set_source_wait(run.id, found.as_deref())
            })?;
            shown = found;
        }
    }
}

fn state_event(run: &Run, message: String) -> Result<()> {
    let event = Event::new(Severity::Warning, Some("source".to_owned()), message);
    run.state.insert_event(run.id, &event)
}

/// Who holds the locks that a process on the source waits for; None if it does not wait.
fn look(
    run: &Run,
    onlooker: &mut Option<Actor<Connection>>,
    process_id: i32,
) -> Result<Option<String>> {
    let session = match onlooker.take() {
        Some(session) => session,
        None => run.login.open_within(LOOK_TIMEOUT)?,
    };
    let sql = include_str!("source_wait.sql").replace("$1", &process_id.to_string());
    let pending = session.begin(move |connection| connection.query(&sql))?;
    let rows = pending.wait_within(LOOK_TIMEOUT)?.transpose()?.unwrap_or_default();
    *onlooker = Some(session);
    let holders = rows.into_iter().flatten().flatten().next();
    Ok(holders.map(|holders| holders.chars().take(MAX_CHARACTERS).collect()))
}
