//! Bytes of a server: login, rows, bulk data.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pgmig_core::fuzzing::read_wire(data));
