//! Options as JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pgmig_core::fuzzing::parse_options(data));
