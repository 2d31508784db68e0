#![doc = include_str!("../README.md")]

mod condition;
mod content_hash;
mod content_store;
mod corrupt_records;
mod event;
mod event_id;
mod event_type;
mod factory;
mod filter;
mod hash_index;
mod json;
mod log;
mod memory_log;
mod origin;
mod payload;
mod pending;
mod position;
mod printable;
mod query;
mod rare;
mod read_error;
mod record;
mod schema_version;
mod storage_error;
mod store_mode;
mod tags;
mod timestamp;
mod type_name;
mod type_pattern;
mod value;
mod varint;

pub mod append_rules;
pub mod bytes;
pub mod closing;
pub mod limits;
pub mod lock;
pub mod prelude;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use self::{
    condition::{AppendCondition, ExpectedRevision, FailedCondition},
    content_hash::{ContentHash, InvalidContentHash, RecordedHash},
    content_store::{
        ContentError, ContentReader, ContentStore, HashedContent, MemoryContentStore, StoredContent,
    },
    corrupt_records::CorruptRecords,
    event::{RecordedEvent, RecordedEventRef, SpaceEvent},
    event_id::{EventId, InvalidEventId},
    event_type::EventTypes,
    filter::EventFilter,
    json::{FilledIn, JsonError, JsonEvent, JsonReader, KeyMap, MAX_JSON_LINE_BYTES, split_array},
    limits::{
        LimitExceeded, MAX_APPEND_BYTES, MAX_APPEND_EVENTS, MAX_CONTENT_BYTES, MAX_EVENT_BYTES,
        MAX_ID_BYTES, MAX_JSON_DEPTH, MAX_LABEL_BYTES, MAX_QUERY_FILTERS, MAX_TAG_BYTES, MAX_TAGS,
    },
    log::{
        AppendError, AppendFuture, AppendRequest, Discontinuity, EventLog, EventMark, Ingested,
        LogId, LogIdentity, LogMark, LogOrigin, LogReader, LogWriter, Page, Pages, PendingAppend,
        ReadRequest, Receipt, TimelineFork, TimelineId, least_after,
    },
    memory_log::MemoryLog,
    origin::{EventOrigin, id_of_text, id_text},
    payload::{EventType, NamedDocuments, Payload, PayloadError, Presence},
    pending::{Answerer, Awaited, Pending},
    position::{Position, Revision},
    printable::printable,
    query::EventQuery,
    read_error::ReadError,
    record::Schemas,
    record::{Assignments, EncodedBody, Envelope, RUN_BYTES, RUN_EVENTS, Records, RecordsBuilder},
    schema_version::SchemaVersion,
    storage_error::{StorageError, StorageErrorKind},
    store_mode::{InvalidStoreMode, StoreMode},
    tags::Tags,
    timestamp::{InvalidTimestamp, InvalidUtcOffset, Timestamp, UtcOffset},
    type_name::{
        COMMAND_UNCHANGED, MAX_TYPE_NAME_BYTES, MIN_TYPE_NAME_BYTES, RESERVED_LABELS,
        UnknownEventType,
    },
    type_pattern::{TypePattern, TypeSelection},
    value::{Digits, Finite, Object, Value},
};
