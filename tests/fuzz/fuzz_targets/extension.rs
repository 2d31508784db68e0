//! The extension fields of HEAD and of journal files.

#![no_main]

use damage::decoders::Target;
use libfuzzer_sys::fuzz_target;
use spacefold_store::fuzzing::Decoder;

fuzz_target!(|bytes: &[u8]| {
    Target::Store(Decoder::Extension).run_repaired(bytes);
});
