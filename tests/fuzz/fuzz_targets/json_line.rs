//! A line of JSON, and what is written for it.

#![no_main]

use damage::decoders::Target;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    Target::JsonLine.run_repaired(bytes);
});
