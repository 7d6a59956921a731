//! Planning: both databases read, the snapshot taken, the plan made and recorded.
//!
//! Everything that can be wrong with the two databases as they are is found here, before anything has
//! been changed.

pub(super) mod definitions;
mod distributed;
mod foreign;
mod large_objects;
pub(super) mod source;
mod tables;
mod target;
mod text;
mod types;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use pgmig_core::ddl::{self, DdlOptions, Item, ItemKind, TargetDatabase};
use pgmig_core::model::Catalog;
use pgmig_core::name::QualifiedName;
use pgmig_core::options::Options;
use pgmig_core::plan::adapt::adapt;
use pgmig_core::plan::build::{self, Input, Plan};
use pgmig_core::plan::choice::{self, Chooses};
use pgmig_core::plan::existing::{self, Existing, Sides};
use pgmig_core::plan::graph;
use pgmig_core::plan::rename::Rename;
use pgmig_core::plan::roles::{self, Roles};
use pgmig_core::plan::select::Selection;
use pgmig_core::plan::task::Task;
use pgmig_core::plan::version::{self, Servers};
use pgmig_core::plan::{self, Note, order};
use pgmig_core::source::snapshot::Snapshot;
use pgmig_core::source::wire::Connection;
use pgmig_core::{Error, Result};

use self::source::SourceReading;
use self::tables::{Known, kept_tables};
use self::target::TargetReading;
use super::coordinator::Run;
use super::state::{Event, RunKind, Severity};
use crate::pg::thread::Actor;
use crate::pg::transaction;

/// The plan, and the session that keeps the snapshot and the locks it was made under.
pub(super) struct Survey {
    pub tasks: Vec<Task>,
    /// Those that are done.
    pub done: Vec<i32>,
    /// What tells the snapshot from others.
    pub xids: String,
    /// The session; it is passed on to whoever goes on with it.
    pub session: Option<Actor<Connection>>,
    /// Whether a task was done since.
    pub has_progressed: bool,
}

/// Reads both databases, makes the plan and records it.
pub(super) fn survey(run: &Run) -> Result<Survey> {
    read_and_plan(run).map_err(|error| text::explain(run, error))
}

fn read_and_plan(run: &Run) -> Result<Survey> {
    let mut selection = Selection::new(&run.options)?;
    let session = run.login.open()?;
    let beside = run.login.begin_open()?;
    let locked = source::lock(run, &session, &mut selection, &run.options)?;
    transaction::run(|| {
        source::check_not_same(run, &locked)?;
        let (state, snapshot) = (run.state, &locked.snapshot);
        state.set_source_version(run.id, i32::try_from(locked.version_num).unwrap_or(0))?;
        state.replace_snapshot(run.id, snapshot)?;
        state.set_phase(run.id, "plan", false)
    })?;
    // Reading the target's catalog would wait for the locks of another run on these tables.
    if run.request.kind == RunKind::Migrate {
        let tables = target_names(&locked.snapshot, &run.options);
        transaction::run(|| run.state.check_overlap(run.id, tables.iter()))?;
    }
    let reading = locked.begin_reading(&session, beside)?;
    let target = target::read(run)?;
    let source = reading.finish()?;
    check_encodings(&source.catalog, &target.catalog)?;
    let plan = make_plan(run, &session, &source, &target, &selection)?;
    record(run, &plan, &source, &selection)?;
    Ok(Survey {
        tasks: plan.plan.tasks,
        done: Vec::new(),
        xids: source.snapshot.xids,
        session: Some(session),
        has_progressed: false,
    })
}

/// What the locked tables are called on the target.
fn target_names(snapshot: &Snapshot, options: &Options) -> Vec<QualifiedName> {
    let tables = snapshot.tables.iter();
    tables
        .map(|table| {
            let schema = options.target_schema.as_ref().unwrap_or(&table.name.schema);
            QualifiedName::new(schema, &table.name.name)
        })
        .collect()
}

/// A plan with what has to be recorded before it runs.
struct CompletePlan {
    plan: Plan,
    existing: Existing,
}

fn make_plan(
    run: &Run,
    session: &Actor<Connection>,
    source: &SourceReading,
    target: &TargetReading,
    selection: &Selection,
) -> Result<CompletePlan> {
    let options = &run.options;
    let roles = plan_roles(run, source, target);
    let known_roles: HashSet<String> = target.roles.iter().chain(&roles.created).cloned().collect();
    let ddl_options = DdlOptions {
        default_acls: target.default_acls(),
        database: Some(TargetDatabase {
            name: target.catalog.server.database.clone(),
            settings: target.settings.clone(),
        }),
        ..DdlOptions::new(options, target.catalog.server.version_num)
    };
    let majors =
        [&source.catalog, &target.catalog].map(|catalog| catalog.server.version_num / 10_000);
    let mut wanted = Cow::Borrowed(&source.catalog);
    let servers = Servers {
        major: majors[1],
        source: &source.catalog.builtins,
        target: &target.catalog.builtins,
    };
    version::express_in(&mut wanted, servers);
    adapt(&mut wanted, options.tablespaces.then_some(&target.tablespaces));
    let rename = options.source_schema.clone().zip(options.target_schema.clone());
    let rename = rename.map(|(from, to)| Rename { from, to });
    let mut wanted_options = ddl_options.clone();
    if let Some(rename) = &rename {
        rename.default_acls(&mut wanted_options.default_acls);
    }
    let chooses = Chooses { selection, options, ddl: &wanted_options, roles: &known_roles };
    let (mut items, chosen) = choice::choose(&mut wanted, &chooses);
    let (mut is_kept, mut notes) = (chosen.is_kept, chosen.notes);
    foreign::leave_out_unknown(&items, &mut is_kept, &wanted, target, &mut notes)?;
    if let Some(rename) = &rename {
        rename.items(&mut items, &is_kept, &mut notes);
        rename.catalog(wanted.to_mut());
    }
    let wanted = wanted.as_ref();
    let kept = kept_tables(&items, &is_kept);
    let known = Known { run, source, target, wanted, kept, selection };
    let large_objects = large_objects::read(run, session, &source.identity)?;
    if run.request.kind == RunKind::Validate {
        let mut plan = known.plan_validation(rename.as_ref());
        plan::large_objects::add_comparison(&mut plan, &large_objects);
        return Ok(CompletePlan { plan, existing: Existing::default() });
    }
    check_extensions(&items, &is_kept, target)?;
    types::check(&source.catalog, target, selection)?;
    check_conditions(session, source, selection)?;
    let mut found = Cow::Borrowed(&target.catalog);
    version::forget_names(&mut found, majors[0]);
    let target_items = order::sort(ddl::render(&found, &ddl_options), &found.depends);
    let sides = Sides {
        wanted,
        wanted_items: &items,
        is_kept: &is_kept,
        target: &found,
        target_items: &target_items,
        is_replaceable: &|table| target.is_replaceable(table),
        owed: &target.owed,
    };
    let loaded: Vec<u32> = known.with_data().into_iter().collect();
    let existing = transaction::run(|| existing::compare(&sides, &loaded, options))?;
    distributed::check(&existing, &loaded, &target.catalog, &target.distributed)?;
    let data = known.describe(session)?;
    let input = Input {
        source: &source.catalog,
        wanted,
        items: &items,
        is_kept: &is_kept,
        existing: &existing,
        tables: &data,
        sequences: known.sequences(&items, &is_kept),
        options,
        role_statements: &roles.statements,
        roles: &known_roles,
        large_objects: &large_objects,
    };
    let mut plan = build::build(&input);
    plan.notes.extend(roles.notes);
    plan.notes.extend(notes);
    plan.notes.extend(existing.notes.iter().cloned());
    plan.notes.extend(target.firing_triggers.iter().map(|name| {
        Note {
            object: format!("event trigger {name}"),
            message:
                "is enabled on the target in a way that nothing silences: it fires at what the run \
                  does"
                    .to_owned(),
        }
    }));
    Ok(CompletePlan { plan, existing })
}

/// What is to be done about roles that the target does not have.
fn plan_roles(run: &Run, source: &SourceReading, target: &TargetReading) -> Roles {
    if !run.options.roles || run.options.data_only {
        return Roles::default();
    }
    let known = roles::Target {
        roles: &target.roles,
        settings: &target.settings,
        major: target.catalog.server.version_num / 10_000,
        is_superuser: run.request.is_superuser,
    };
    let labels = &source.catalog.annotations.labels;
    roles::plan(&source.catalog.roles, labels, &known, &run.options)
}

/// Has the source read the user's conditions, so that a wrong one stops the run now.
fn check_conditions(
    session: &Actor<Connection>,
    source: &SourceReading,
    selection: &Selection,
) -> Result<()> {
    for table in source.names.values() {
        let Some(condition) = selection.condition(table) else {
            continue;
        };
        let sql = format!("select from only {} where ({condition}\n) limit 0", table.quoted());
        let read = session.call(move |connection| connection.query(&sql).map(drop));
        read.map_err(|error| match error {
            Error::Remote(mut remote) => {
                remote.context = format!("option \"where\", table \"{table}\"");
                Error::Remote(remote)
            }
            other => other,
        })?;
    }
    Ok(())
}

/// Names every extension that the target cannot create.
fn check_extensions(items: &[Item], is_kept: &[bool], target: &TargetReading) -> Result<()> {
    let missing: Vec<_> = items
        .iter()
        .zip(is_kept)
        .filter(|(item, is_kept)| **is_kept && item.kind == ItemKind::Extension)
        .filter(|(item, _)| !target.extensions.contains(&item.name))
        .map(|(item, _)| format!("\"{}\"", item.name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Preflight {
        message: format!("extensions are not available on the target: {}", missing.join(", ")),
        detail: Some("The source uses them; nothing has been changed.".to_owned()),
        hint: Some(
            "Install their packages on the target's server, or set option \"extensions\" to false."
                .to_owned(),
        ),
        sqlstate: "0A000",
    })
}

/// Refuses when the target's encoding cannot hold what the source's can.
fn check_encodings(source: &Catalog, target: &Catalog) -> Result<()> {
    let (from, to) = (&source.server.encoding, &target.server.encoding);
    if from == to || to == "UTF8" || to == "SQL_ASCII" {
        return Ok(());
    }
    Err(Error::Preflight {
        message: format!(
            "encoding \"{to}\" of the target cannot hold encoding \"{from}\" of the source"
        ),
        detail: None,
        hint: Some(
            "Create the target database with encoding UTF8 or that of the source.".to_owned(),
        ),
        sqlstate: "22021",
    })
}

/// Writes the plan to pgmig's tables.
fn record(
    run: &Run,
    complete: &CompletePlan,
    source: &SourceReading,
    selection: &Selection,
) -> Result<()> {
    let (state, id, plan) = (run.state, run.id, &complete.plan);
    let definitions = definitions::hash(&source.catalog, selection, &run.options);
    transaction::run(|| {
        state.set_source_definitions(id, &source.identity, &definitions)?;
        state.notice_crash(id)?;
        state.insert_tables(id, &plan.tables, &source.file_nodes, run.request.kind)?;
        if run.request.kind == RunKind::Migrate {
            state.insert_dropped(id, &complete.existing.drops)?;
        }
        for Note { object, message } in &plan.notes {
            let event = Event::new(Severity::Warning, Some(object.clone()), message.as_str());
            state.insert_event(id, &event)?;
        }
        state.insert_tasks(id, &plan.tasks, graph::estimate_cost)
    })
}

/// OIDs of tables to their names on the source.
type NamesByOid = HashMap<u32, QualifiedName>;
