//! Heap pages and tuples as PostgreSQL 15 to 18 lay them out on 64-bit machines, without a server.
//!
//! Reading: index builds and foreign key checks read whole tables for a few columns. `page` has line
//! pointers and tuples, `deform` columns of a tuple, `key` values that sort as plain integers, `sort`
//! many of them in order; `wide_key` has keys of any length, such as texts and (`numeric_key`) numbers, `wide_sort`
//! many of these in order, and `wide_order` those that collations have rules for.
//! `reference` has keys of both ends of a foreign key, `key_set` and `byte_set` whether one is among many.
//!
//! Writing: `rows` takes the rows out of a binary COPY, `form` makes tuples of them, `pglz` compresses
//! long values, `toast` moves them out of line, `fill` makes pages of tuples. `conversion` knows which values can be stored without
//! their types' receive functions; `numeric`, `json`, `jsonb`, `moment`, `network` and `array` make
//! stored forms, `layout` and `prefix` put them into tuples.
//!
//! Layout: `storage/bufpage.h`, `access/htup_details.h`, `varatt.h`.

pub mod array;
pub mod byte_set;
pub mod conversion;
pub mod deform;
pub mod encoding;
pub mod fill;
pub mod form;
mod json;
mod jsonb;
pub mod key;
pub mod key_set;
pub(crate) mod layout;
mod moment;
pub mod network;
pub mod numeric;
mod numeric_key;
pub mod page;
pub mod pglz;
mod prefix;
pub mod reference;
pub mod rows;
pub mod sort;
pub mod toast;
pub mod wide_key;
pub mod wide_order;
pub mod wide_sort;

#[cfg(test)]
mod tests;
