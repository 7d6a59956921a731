//! Large objects: removed where they are in the way, made under the source's OIDs, filled, described.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;

use crossbeam_channel::{Receiver, bounded};
use pgmig_core::ddl::{DdlOptions, large_object};
use pgmig_core::digest::{Digest, StreamDigest};
use pgmig_core::model::LargeObject;
use pgmig_core::options::Validation;
use pgmig_core::source::large_objects::{self, Piece, PieceReader};
use pgmig_core::source::wire::Connection;
use pgmig_core::{Error, Result};
use pgrx::pg_sys;

use crate::pg::copy_in;
use crate::pg::thread::{Actor, Pending};
use crate::pg::{self, catch, spi, transaction};
use crate::run::settings;
use crate::run::state::{CopiedTable, Event, Severity};
use crate::run::worker::TaskContext;

/// Pieces on their way to the main thread: with a quarter of a megabyte each at most.
const PIECES_AHEAD: usize = 8;

/// Neighbouring large objects, and the row of the run that they count for.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    pub table_id: i32,
    pub first: u32,
    pub last: u32,
}

/// Removes large objects that are still there.
pub fn remove(context: &TaskContext, task: i32, oids: &[u32]) -> Result<()> {
    let (run, state) = (context.request.run, context.state);
    transaction::run(|| {
        catch::catch(|| {
            spi::execute(&format!(
                "select pg_catalog.lo_unlink(m.oid)
                 from pg_catalog.pg_largeobject_metadata m
                 where m.oid = any ({})
                 order by m.oid",
                oid_array(oids.iter().copied())
            ));
            Ok(())
        })?;
        state.delete_large_objects(oids)?;
        state.mark_done(run, task, &[])
    })
}

/// Copies the large objects of a range.
pub fn copy(context: &mut TaskContext, task: i32, range: Range) -> Result<()> {
    let (run, state) = (context.request.run, context.state);
    transaction::run(|| {
        let (first, last) = (range.first, range.last);
        let actor = context.source.get()?;
        let objects =
            actor.call(move |connection| large_objects::read_metadata(connection, first, last))?;
        let oids: Vec<u32> = objects.iter().map(|object| object.oid).collect();
        create(&oids)?;
        let sent = write_contents(actor, range, context.options.validation)?;
        describe(context, &objects)?;
        state.insert_large_objects(run, &oids)?;
        let copied = CopiedTable {
            table_id: range.table_id,
            rows: i64::try_from(oids.len()).unwrap_or(i64::MAX),
            bytes: sent.bytes,
            digest: sent.digest,
            is_unlogged: false,
        };
        state.mark_done(run, task, &[copied])
    })
}

fn create(oids: &[u32]) -> Result<()> {
    let oids = oid_array(oids.iter().copied());
    catch::catch(|| {
        spi::execute(&format!(
            "select pg_catalog.lo_create(o.oid) from pg_catalog.unnest({oids}) as o (oid)"
        ));
        Ok(())
    })?;
    transaction::increment_command_counter();
    Ok(())
}

/// What the source has sent.
struct Sent {
    bytes: i64,
    digest: Option<Digest>,
}

/// Copies the contents, piece by piece.
fn write_contents(actor: &Actor<Connection>, range: Range, validation: Validation) -> Result<Sent> {
    let (pieces, outcome) = open_stream(actor, range, validation)?;
    let mut bytes = 0;
    let written = loop {
        match copy_in::receive(&pieces) {
            // The reader has said its last word.
            Err(Error::Lost(_)) => break Ok(()),
            Err(error) => break Err(error),
            Ok(piece) => {
                bytes += i64::try_from(piece.data.len()).unwrap_or(0);
                if let Err(error) = write(&piece) {
                    break Err(error);
                }
            }
        }
    };
    drop(pieces);
    written?;
    let digest = outcome.wait()??;
    Ok(Sent { bytes, digest })
}

fn write(piece: &Piece) -> Result<()> {
    catch::catch(|| {
        if piece.data.is_empty() {
            // 131072 asks for the right to write.
            spi::execute(&format!(
                "select pg_catalog.lo_truncate64(pg_catalog.lo_open({}, 131072), {})",
                piece.oid, piece.offset
            ));
        } else {
            pg::large_object::write(piece.oid, piece.offset, &piece.data);
        }
        Ok(())
    })
}

type Stream = (Receiver<Piece>, Pending<Result<Option<Digest>>>);

/// Has the session's thread read pages and send pieces; its answer is the pages' digest.
fn open_stream(actor: &Actor<Connection>, range: Range, validation: Validation) -> Result<Stream> {
    let (sender, pieces) = bounded(PIECES_AHEAD);
    let outcome = actor.begin(move |connection| {
        let sql = large_objects::copy_out_statement(connection, range.first, range.last)?;
        let mut digest = (validation == Validation::Checksum).then(StreamDigest::binary);
        let mut reader = PieceReader::default();
        let mut broken = None;
        let mut each = |piece| match sender.send(piece) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        let mut sink = |buffer: Vec<u8>| {
            let fed = digest.as_mut().map_or(Ok(()), |digest| digest.feed(&buffer));
            match fed.and_then(|()| reader.feed(&buffer, &mut each)) {
                Ok(flow) => flow,
                Err(error) => {
                    broken = Some(error);
                    ControlFlow::Break(())
                }
            }
        };
        let copied = connection.copy_out(&sql, &mut sink);
        if let Some(error) = broken {
            return Err(error);
        }
        copied?;
        reader.finish(&mut each)?;
        digest.map(StreamDigest::finish).transpose()
    })?;
    Ok((pieces, outcome))
}

/// States owners, privileges, comments and labels; what names a missing role is an event.
fn describe(context: &TaskContext, objects: &[LargeObject]) -> Result<()> {
    let (run, state) = (context.request.run, context.state);
    let options = DdlOptions::new(&context.options, pg_sys::PG_VERSION_NUM);
    let creator = settings::current_role()?;
    let mut roles = HashSet::new();
    spi::for_each_text("select r.rolname::text from pg_catalog.pg_roles r order by 1", &mut |r| {
        roles.insert(r.to_owned());
        Ok(())
    })?;
    let mut missing: BTreeMap<String, (u32, usize)> = BTreeMap::new();
    for object in objects {
        for attribute in large_object::render(object, &creator, &options) {
            if let Some(role) = attribute.roles.iter().find(|role| !roles.contains(*role)) {
                missing.entry(role.clone()).or_insert((object.oid, 0)).1 += 1;
                continue;
            }
            catch::catch(|| {
                spi::execute(&attribute.sql);
                Ok(())
            })?;
            transaction::increment_command_counter();
        }
    }
    for (role, (first, count)) in missing {
        let message = format!(
            "role \"{role}\" does not exist, so {count} statements about ownership and privileges \
             of large objects were left out, the first for {first}"
        );
        let object = Some(format!("large object {first}"));
        state.insert_event(run, &Event::new(Severity::Warning, object, message))?;
    }
    Ok(())
}

fn oid_array(oids: impl Iterator<Item = u32>) -> String {
    let oids: Vec<_> = oids.map(|oid| oid.to_string()).collect();
    format!("'{{{}}}'::pg_catalog.oid[]", oids.join(","))
}
