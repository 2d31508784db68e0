//! The index of the blocks.

#![no_main]

use damage::decoders::Target;
use libfuzzer_sys::fuzz_target;
use spacefold_store::fuzzing::Decoder;

fuzz_target!(|bytes: &[u8]| {
    Target::Store(Decoder::BlockIndex).run_repaired(bytes);
});
