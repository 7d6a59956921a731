//! Names of anything.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pgmig_core::fuzzing::quote_name(data));
