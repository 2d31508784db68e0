//! A segment, its checksums made to fit.

#![no_main]

use damage::decoders::Target;
use libfuzzer_sys::fuzz_target;
use spacefold_store::fuzzing::Decoder;

fuzz_target!(|bytes: &[u8]| {
    Target::Store(Decoder::Segment).run_repaired(bytes);
});
