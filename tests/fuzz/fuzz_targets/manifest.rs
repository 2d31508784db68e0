//! The manifest of the persisted states, its hash made to fit.

#![no_main]

use damage::decoders::Target;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    Target::Manifest.run_repaired(bytes);
});
