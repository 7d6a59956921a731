//! Whether rows of the source have changed between a snapshot that is lost and the one at hand.
//!
//! The statistics' counters cannot tell: they lag, and a crash discards them. Rows can: if there are as
//! many as before and each of them was there already, they are the same ones. A row was certainly there
//! if the transaction that wrote it had ended when the old snapshot was taken, which holds for all
//! transactions before the oldest one then in progress (a snapshot does not list subtransactions, so of
//! later ones nothing can be said). Rows keep the 32 low bits of the id of their transaction, also when
//! they are frozen; a row so old that its id has come round again looks new, which costs a copy and
//! nothing else.

use super::wire::{Connection, TransactionStatus};
use crate::{Error, Result};

/// Ids of transactions in a row of a table are this many before they come round.
const CYCLE: u64 = 1 << 32;

/// The transactions of whose rows it is not certain that the old snapshot saw them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// The oldest of them.
    first: u64,
    /// How many they are.
    count: u64,
}

impl Doubt {
    /// The doubt about rows that a snapshot sees, `current`, while another one is lost, `lost`; both as
    /// `txid_current_snapshot()` writes them. None if nothing can be said at all.
    pub fn between(lost: &str, current: &str) -> Option<Doubt> {
        let bounds = |xids: &str| -> Option<(u64, u64)> {
            let mut fields = xids.split(':');
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        };
        let ((first, lost_end), (_, end)) = (bounds(lost)?, bounds(current)?);
        // Ids are given again when a server goes back in time.
        if end < lost_end {
            return None;
        }
        let count = end.checked_sub(first)?;
        (count < CYCLE).then_some(Doubt { first, count })
    }

    /// The condition that a row was written by one of them.
    fn condition(self) -> String {
        format!(
            "pg_catalog.mod(xmin::pg_catalog.text::pg_catalog.int8 - {first} + {CYCLE}, {CYCLE}) \
             < {count}",
            first = self.first % CYCLE,
            count = self.count
        )
    }
}

/// Rows of a table that meet a condition, and how many of them are in doubt; None if the table cannot
/// tell. In a transaction, which goes on in any case.
///
/// # Errors
/// Those of the connection.
pub fn count_rows(
    connection: &mut Connection,
    table: &str,
    predicate: Option<&str>,
    doubt: Doubt,
) -> Result<Option<(i64, i64)>> {
    let condition = predicate.map(|predicate| format!(" where {predicate}")).unwrap_or_default();
    let sql = format!(
        "savepoint pgmig_count; \
         select pg_catalog.count(*), pg_catalog.count(*) filter (where {}) \
         from only {table}{condition}\n; \
         release savepoint pgmig_count",
        doubt.condition()
    );
    let rows = match connection.query(&sql) {
        Ok(rows) => rows,
        // A table access method of another kind, or a condition that fails on a new row.
        Err(Error::Remote(_)) if connection.transaction_status() == TransactionStatus::Failed => {
            connection
                .execute("rollback to savepoint pgmig_count; release savepoint pgmig_count")?;
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    match rows.first().map(Vec::as_slice) {
        Some([Some(count), Some(doubtful)]) => Ok(count.parse().ok().zip(doubtful.parse().ok())),
        _ => Err(Error::Protocol("a count returned no row".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubt_begins_with_the_oldest_transaction_in_progress() {
        let doubt = Doubt::between("100:110:100,105", "120:123:").unwrap();
        assert_eq!(doubt, Doubt { first: 100, count: 23 });
        assert_eq!(Doubt::between("100:100:", "100:100:").unwrap().count, 0);
    }

    #[test]
    fn nothing_is_said_of_snapshots_that_are_a_cycle_apart_or_the_wrong_way_round() {
        assert_eq!(Doubt::between("100:100:", "4294967396:4294967396:"), None);
        assert_eq!(Doubt::between("200:200:", "100:100:"), None);
        assert_eq!(Doubt::between("100:200:100", "110:150:"), None);
        assert_eq!(Doubt::between("", "100:100:"), None);
    }

    #[test]
    fn ids_are_compared_as_rows_keep_them() {
        let doubt = Doubt::between("4294967300:4294967300:", "4294967310:4294967310:").unwrap();
        assert!(doubt.condition().contains("- 4 + 4294967296, 4294967296) < 10"));
    }
}
