//! Heap pages as PostgreSQL 15 to 18 lay them out on 64-bit machines, read from copies of them.
//!
//! Index builds and foreign key checks read whole tables for one or two narrow columns. Here is what
//! that takes without a server: line pointers and tuples (`page`), columns of a tuple (`deform`),
//! values that sort as plain integers (`key`), many of them in order (`sort`), and whether a value is
//! among many (`key_set`). Layout: `storage/bufpage.h`, `access/htup_details.h`.

pub mod deform;
pub mod form;
pub mod key;
pub mod key_set;
pub mod page;
pub mod pglz;
pub mod rows;
pub mod sort;

#[cfg(test)]
mod tests;
