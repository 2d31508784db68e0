//! A run of records.

#![no_main]

use damage::decoders::Target;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    Target::Records.run_repaired(bytes);
});
