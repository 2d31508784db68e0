//! Which versions of payloads there are: the byte that stands for a type at a version.
//!
//! The byte is the whole price of versions. Its low bits are the type, the others the version, so
//! that records of all versions stand side by side in one run, and a byte that this program writes
//! itself is looked up as before there were versions.

use crate::{
    payload::{EventType, layout::Layout},
    schema_version::SchemaVersion,
    value::Object,
};

/// Bits of the byte that are the type's code.
const TYPE_BITS: u32 = 5;
const TYPES: usize = 1 << TYPE_BITS;
const TYPE_MASK: u8 = (1 << TYPE_BITS) - 1;
/// The newest version that the byte has room for.
const MAX_VERSION: u8 = u8::MAX >> TYPE_BITS;

/// The versions of payloads that a program reads, and those that it writes: what bodies of records are
/// encoded and decoded by. Every program has [`Schemas::today`]; others are for tests.
#[derive(Debug)]
pub struct Schemas {
    /// The byte that stands for each type, by the code of the type.
    codes: [u8; TYPES],
    /// The type that each byte stands for, when its payload is of the version that is written.
    types: [Option<EventType>; 1 << u8::BITS],
    upcasters: &'static [Upcaster],
}

/// What a byte says of a payload that is not of the version that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OtherVersion {
    pub(super) event_type: EventType,
    pub(super) found: SchemaVersion,
    /// The version that is written.
    pub(super) known: SchemaVersion,
}

/// Reads payloads of one version of a type as payloads of the next.
///
/// # To change what a type carries
/// 1. Record bytes of a run that has the type, as a fixture.
/// 2. Change the type in the table of payloads.
/// 3. Add an upcaster with the layout that it had. The type is at the next version from then on.
/// 4. Where what it makes of a payload is folded to something else than what the payload was before,
///    raise the versions of the states and of the projections that read the type: what is kept of
///    them is believed as long as their versions stay.
#[derive(Debug)]
pub(super) struct Upcaster {
    /// The type.
    pub(super) event_type: EventType,
    /// The version that it reads.
    pub(super) from: SchemaVersion,
    /// How payloads of that version are laid out.
    pub(super) layout: Layout,
    /// The keys of the next version out of those of this one, extra keys among them. It depends on
    /// nothing else.
    pub(super) upcast: fn(Object) -> Object,
}

impl Schemas {
    /// The schemas of this program.
    #[must_use]
    pub const fn today() -> &'static Self {
        &TODAY
    }

    /// The schemas of a program that has these upcasters: each type is at the version that the last
    /// of its upcasters leads to. Those of one type follow one another from the first version on.
    #[allow(clippy::indexing_slicing, reason = "const: what is out of range does not compile")]
    pub(super) const fn new(upcasters: &'static [Upcaster]) -> Self {
        let mut codes = [0; TYPES];
        let own = EventType::Application.code();
        codes[own as usize] = own;
        let mut place = 0;
        while place < EventType::CORE.len() {
            let code = EventType::CORE[place].code();
            codes[code as usize] = code;
            place += 1;
        }
        place = 0;
        while place < upcasters.len() {
            let Upcaster { event_type, from, .. } = &upcasters[place];
            let code = &mut codes[event_type.code() as usize];
            assert!(
                from.get() - 1 == *code >> TYPE_BITS,
                "upcasters of a type leave no version out"
            );
            assert!(from.get() < MAX_VERSION + 1, "the byte has room for so many versions");
            *code = byte(*event_type, from.next());
            place += 1;
        }
        Self::with_codes(codes, upcasters)
    }

    /// The schemas of a program that writes these bytes for the types.
    #[allow(clippy::indexing_slicing, reason = "const: what is out of range does not compile")]
    pub(super) const fn with_codes(codes: [u8; TYPES], upcasters: &'static [Upcaster]) -> Self {
        let mut types = [None; 1 << u8::BITS];
        let own = EventType::Application;
        types[codes[own.code() as usize] as usize] = Some(own);
        let mut place = 0;
        while place < EventType::CORE.len() {
            let event_type = EventType::CORE[place];
            types[codes[event_type.code() as usize] as usize] = Some(event_type);
            place += 1;
        }
        Self { codes, types, upcasters }
    }

    /// The byte that stands for a type at the version that is written.
    pub(super) fn code(&self, event_type: EventType) -> u8 {
        self.codes.get(usize::from(event_type.code())).copied().unwrap_or_default()
    }

    /// The type that a byte stands for; `None` when its payload is of another version.
    pub(super) fn current(&self, code: u8) -> Option<EventType> {
        self.types.get(usize::from(code)).copied().flatten()
    }

    /// What a byte says that [`Schemas::current`] does not know; `None` for an unknown type.
    pub(super) fn other(&self, code: u8) -> Option<OtherVersion> {
        let event_type = EventType::from_code(code & TYPE_MASK)?;
        let known = version(self.code(event_type));
        Some(OtherVersion { event_type, found: version(code), known })
    }

    /// The upcaster that reads a version of a type.
    pub(super) fn upcaster(&self, event_type: EventType, from: SchemaVersion) -> Option<&Upcaster> {
        let reads =
            |upcaster: &&Upcaster| upcaster.event_type == event_type && upcaster.from == from;
        self.upcasters.iter().find(reads)
    }
}

/// The byte that stands for a type at a version.
pub(super) const fn byte(event_type: EventType, version: SchemaVersion) -> u8 {
    event_type.code() | (version.get() - 1) << TYPE_BITS
}

const fn version(code: u8) -> SchemaVersion {
    SchemaVersion::new((code >> TYPE_BITS) + 1)
}

/// No payload has changed yet: every type is at its first version.
static TODAY: Schemas = Schemas::new(&[]);

impl Default for &'static Schemas {
    fn default() -> Self {
        Schemas::today()
    }
}
