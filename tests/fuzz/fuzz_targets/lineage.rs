//! What sled's copy says of itself, its checksum made to fit.

#![no_main]

use damage::decoders::Target;
use libfuzzer_sys::fuzz_target;
use spacefold_store::fuzzing::Decoder;

fuzz_target!(|bytes: &[u8]| {
    Target::Store(Decoder::Lineage).run_repaired(bytes);
});
