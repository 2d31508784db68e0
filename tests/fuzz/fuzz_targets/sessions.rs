//! A list of sessions.

#![no_main]

use damage::decoders::Target;
use libfuzzer_sys::fuzz_target;
use spacefold_store::fuzzing::Decoder;

fuzz_target!(|bytes: &[u8]| {
    Target::Store(Decoder::Sessions).run_repaired(bytes);
});
