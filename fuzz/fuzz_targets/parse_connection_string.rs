//! Connection strings and URIs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pgmig_core::fuzzing::parse_connection_string(data));
