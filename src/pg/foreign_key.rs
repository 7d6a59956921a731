//! Foreign keys added without a query over their rows: trusted, left unchecked, or checked here.

use pgmig_core::heap::deform::{Attribute, Deformer};
use pgmig_core::heap::key::KeyKind;
use pgmig_core::heap::key_set::KeySet;
use pgmig_core::heap::page::Pointer;
use pgrx::pg_sys;

use super::heap_pages::{self, FEWEST_BLOCKS, Others, TableAttribute, Unusual};
use super::relation::OpenRelation;
use super::{spi, utility};

/// What a foreign key that is not checked is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Valid: the rows are known to obey it.
    Valid,
    /// Not valid, until somebody validates it.
    NotValid,
}

/// Runs one `alter table … add constraint … foreign key …` with the verdict instead of a check.
///
/// The constraint's node is marked the way the parser marks it itself in `create table`, where rows
/// cannot exist either; the constraint is enforced from then on. Raises the server's ERROR for
/// anything else.
pub fn add_unchecked(sql: &str, verdict: Verdict) {
    let Some(addition) = Addition::parse(sql) else {
        pgrx::error!("expected ALTER TABLE with one ADD CONSTRAINT");
    };
    addition.run(verdict);
}

/// Runs a statement, which adds a foreign key or does something else; the server's ERROR is raised.
///
/// The rows of large tables with a key of one narrow column are checked by two passes over the pages
/// and a set of the referenced keys in between, under the locks that the server takes too. Rows that
/// violate the key, and everything unusual, are left to the server and its message.
pub fn add_checked(sql: &str) {
    match Addition::parse(sql).filter(Addition::holds) {
        Some(addition) => addition.run(Verdict::Valid),
        None => spi::execute(sql),
    }
}

/// A statement that adds one foreign key to a table.
struct Addition {
    text: std::ffi::CString,
    statement: *mut pg_sys::AlterTableStmt,
    constraint: *mut pg_sys::Constraint,
}

impl Addition {
    /// None if the statement is another one.
    fn parse(sql: &str) -> Option<Self> {
        let text = utility::c_string(sql);
        let statement = utility::cast::<pg_sys::AlterTableStmt>(
            utility::parse_one(&text),
            pg_sys::NodeTag::T_AlterTableStmt,
        )?;
        // SAFETY: made by the parser.
        let commands = unsafe { (*statement).cmds };
        let command = utility::only_element::<pg_sys::AlterTableCmd>(commands)?;
        // SAFETY: the elements of the list are commands.
        let definition = unsafe { (*command).def };
        let constraint =
            utility::cast::<pg_sys::Constraint>(definition, pg_sys::NodeTag::T_Constraint)?;
        // SAFETY: checked just now.
        let kind = unsafe { (*constraint).contype };
        (kind == pg_sys::ConstrType::CONSTR_FOREIGN).then_some(Addition {
            text,
            statement,
            constraint,
        })
    }

    /// Adds the key, which is taken for what the verdict says.
    fn run(&self, verdict: Verdict) {
        // SAFETY: made by the parser, and ours.
        unsafe { (*self.constraint).skip_validation = true };
        // SAFETY: as above.
        unsafe { (*self.constraint).initially_valid = verdict == Verdict::Valid };
        utility::run(self.statement.cast(), &self.text);
    }

    /// Whether the rows are known to obey the key; they may also if not.
    fn holds(&self) -> bool {
        // SAFETY: made by the parser.
        let (statement, constraint) = unsafe { (&*self.statement, &*self.constraint) };
        let columns = (
            utility::only_element::<pg_sys::String>(constraint.fk_attrs),
            utility::only_element::<pg_sys::String>(constraint.pk_attrs),
        );
        let (Some(column), Some(referenced_column)) = columns else {
            return false;
        };
        if constraint.skip_validation {
            return false;
        }
        // In the server's order.
        let referencing = End::open(statement.relation, column);
        let referenced = End::open(constraint.pktable, referenced_column);
        referencing.references(&referenced).unwrap_or(false)
    }
}

/// A table of a foreign key and its column, open and locked against writers.
struct End {
    relation: OpenRelation,
    number: pg_sys::AttrNumber,
}

impl End {
    /// Raises the server's ERROR if there is no such table.
    fn open(table: *mut pg_sys::RangeVar, column: *mut pg_sys::String) -> Self {
        let lock = pg_sys::ShareRowExclusiveLock as pg_sys::LOCKMODE;
        let relation = OpenRelation::open_named(table, lock);
        // SAFETY: open; the name is the parser's.
        let number = unsafe { pg_sys::get_attnum((*relation.get()).rd_id, (*column).sval) };
        End { relation, number }
    }

    /// Whether every value of this column is one of the other; None if that is not found out.
    fn references(&self, other: &End) -> Option<bool> {
        let (reader, other_reader) = (self.reader()?, other.reader()?);
        if reader.kind != other_reader.kind
            || heap_pages::count_blocks(self.relation.get()) < FEWEST_BLOCKS
        {
            return None;
        }
        // SAFETY: a setting in kilobytes.
        let memory = usize::try_from(unsafe { pg_sys::maintenance_work_mem }).ok()? * 1024;
        let mut keys = Vec::new();
        other
            .for_each_key(&other_reader, &mut |key| {
                keys.push(key);
                match size_of_val(keys.as_slice()) <= memory / 2 {
                    true => Ok(()),
                    false => Err(Unusual),
                }
            })
            .ok()?;
        let keys = KeySet::new(&keys, memory / 2)?;
        let mut holds = true;
        self.for_each_key(&reader, &mut |key| {
            holds &= keys.contains(key);
            Ok(())
        })
        .ok()?;
        Some(holds)
    }

    /// How to read the column; None for tables and types that this does not know.
    fn reader(&self) -> Option<ColumnReader> {
        let index = usize::try_from(self.number).ok()?.checked_sub(1)?;
        if !heap_pages::is_heap_table(self.relation.get()) {
            return None;
        }
        let attributes = heap_pages::attributes_of(self.relation.get());
        let kind = attributes.get(index)?.kind?;
        let stored: Vec<Attribute> =
            attributes.iter().map(|attribute: &TableAttribute| attribute.stored).collect();
        Some(ColumnReader { deformer: Deformer::new(&stored, &[index])?, kind })
    }

    /// Calls `each` with every value that is not NULL.
    fn for_each_key(
        &self,
        reader: &ColumnReader,
        each: &mut dyn FnMut(u128) -> Result<(), Unusual>,
    ) -> Result<(), Unusual> {
        heap_pages::for_each_page(self.relation.get(), Others::Read, &mut |_, page, live| {
            for offset in live {
                let Pointer::Tuple(tuple) = page.pointer(*offset) else {
                    return Err(Unusual);
                };
                let mut value = [None];
                reader.deformer.deform(tuple, &mut value).map_err(|_| Unusual)?;
                if let [Some(stored)] = value {
                    each(reader.kind.normalize(stored))?;
                }
            }
            Ok(())
        })
    }
}

/// A column that is read from pages.
struct ColumnReader {
    deformer: Deformer,
    kind: KeyKind,
}
