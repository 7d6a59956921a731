//! Large objects put into tasks: what is in the way removed first, then copied batch by batch, compared.
//!
//! In the tables of a run, and in the validation table, they are one row under the name of the catalog
//! that holds them.

use super::build::Plan;
use super::task::{Format, RunTable, Task, TaskKind, Work};
use crate::name::QualifiedName;
use crate::source::large_objects::Batch;

/// Large objects removed by one task: each takes a lock until its commit.
const REMOVALS_PER_TASK: usize = 256;

/// What is to be done about large objects.
#[derive(Debug, Default)]
pub struct LargeObjects {
    /// Those of the source, by OID.
    pub batches: Vec<Batch>,
    /// OIDs of those on the target that go first.
    pub removed: Vec<u32>,
    /// Whether both sides are to be compared.
    pub is_checked: bool,
}

/// Adds the tasks that copy, none of which begins before `after` is done.
pub fn add_copies(plan: &mut Plan, objects: &LargeObjects, after: Option<i32>) {
    let mut cleared: Vec<i32> = Vec::new();
    for oids in objects.removed.chunks(REMOVALS_PER_TASK) {
        let object = name_range(oids[0], oids[oids.len() - 1]);
        let work = Work::RemoveLargeObjects { oids: oids.to_vec() };
        cleared.push(push(plan, object, work, after.into_iter().collect()));
    }
    let Some(table_id) = add_table(plan, objects) else {
        return;
    };
    let needed = if cleared.is_empty() { after.into_iter().collect() } else { cleared };
    let mut copies = Vec::new();
    let firsts = objects.batches.iter().skip(1).map(|batch| batch.first);
    // Without gaps, so that large objects which a later snapshot sees are in one of the ranges too.
    let mut first = 0;
    for (batch, next) in objects.batches.iter().zip(firsts.map(Some).chain([None])) {
        let last = next.map_or(u32::MAX, |next| next - 1);
        let work = Work::LargeObjects { table_id, first, last };
        first = last.wrapping_add(1);
        let object = name_range(batch.first, batch.last);
        copies.push(push(plan, object, work, needed.clone()));
        if let Some(task) = plan.tasks.last_mut() {
            (task.rows, task.bytes) = (batch.objects, batch.bytes);
        }
    }
    if let (Some(table), Some(first), Some(last)) =
        (plan.tables.last_mut(), copies.first(), copies.last())
    {
        table.copies = Some((*first, *last));
    }
    if objects.is_checked {
        add_check(plan, table_id, copies);
    }
}

/// Adds the task that compares, for a run that copies nothing.
pub fn add_comparison(plan: &mut Plan, objects: &LargeObjects) {
    if let Some(table_id) = add_table(plan, objects) {
        add_check(plan, table_id, Vec::new());
    }
}

/// Adds the row that stands for all of them, if there are any.
fn add_table(plan: &mut Plan, objects: &LargeObjects) -> Option<i32> {
    if objects.batches.is_empty() && objects.removed.is_empty() {
        return None;
    }
    let table_id = i32::try_from(plan.tables.len()).map_or(i32::MAX, |count| count + 1);
    let name = QualifiedName::new("pg_catalog", "pg_largeobject");
    plan.tables.push(RunTable {
        table_id,
        source: name.clone(),
        target: name,
        is_existing: true,
        is_unlogged: false,
        copies_data: true,
        copies: None,
        format: Format::Binary,
        rows: objects.batches.iter().map(|batch| batch.objects).sum(),
        bytes: objects.batches.iter().map(|batch| batch.bytes).sum(),
        parts: Vec::new(),
    });
    Some(table_id)
}

fn add_check(plan: &mut Plan, table_id: i32, needed: Vec<i32>) {
    let work = Work::CheckLargeObjects { table_id };
    push(plan, "large objects".to_owned(), work, needed);
    if let Some(task) = plan.tasks.last_mut() {
        task.kind = TaskKind::Check;
    }
}

fn push(plan: &mut Plan, object: String, work: Work, depends_on: Vec<i32>) -> i32 {
    let id = i32::try_from(plan.tasks.len()).map_or(i32::MAX, |count| count + 1);
    plan.tasks.push(Task {
        id,
        kind: TaskKind::LargeObject,
        object,
        table: None,
        work,
        depends_on,
        locks: Vec::new(),
        rows: 0,
        bytes: 0,
    });
    id
}

fn name_range(first: u32, last: u32) -> String {
    if first == last {
        format!("large object {first}")
    } else {
        format!("large objects {first} to {last}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_goes_before_any_batch_and_the_check_comes_last() {
        let batch = |first| Batch { first, last: first + 9, objects: 10, bytes: 5, unreadable: 0 };
        let objects = LargeObjects {
            batches: vec![batch(10), batch(20)],
            removed: (1..=300).collect(),
            is_checked: true,
        };
        let mut plan = Plan::default();
        add_copies(&mut plan, &objects, None);
        let needs: Vec<_> = plan.tasks.iter().map(|task| task.depends_on.clone()).collect();
        assert_eq!(needs, [vec![], vec![], vec![1, 2], vec![1, 2], vec![3, 4]]);
        assert_eq!(plan.tables[0].copies, Some((3, 4)));
        assert_eq!((plan.tables[0].rows, plan.tables[0].bytes), (20, 10));
        assert_eq!(plan.tasks[1].object, "large objects 257 to 300");
    }

    #[test]
    fn a_database_without_large_objects_has_no_row_for_them() {
        let mut plan = Plan::default();
        add_copies(&mut plan, &LargeObjects::default(), None);
        add_comparison(&mut plan, &LargeObjects { is_checked: true, ..Default::default() });
        assert!(plan.tasks.is_empty() && plan.tables.is_empty());
    }
}
