//! The encoded state of a space.

#![no_main]

use damage::decoders::Target;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    Target::State.run_repaired(bytes);
});
