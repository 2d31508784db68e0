//! How payloads of an earlier version are laid out: by data, where those of today are by type.

use bincode::de::Decoder;

use super::field::{Ids, Json, MaybeText, Members, PayloadField, Text};
use crate::{value::Object, varint::Malformed};

/// The keys of a payload in the order of their bytes, each with what it is. The keys that a version
/// does not name follow behind them, as in every version.
pub(crate) type Layout = &'static [(&'static str, KeyForm)];

/// What the bytes of a key are. Ids and hashes are texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "no payload has changed yet"))]
pub(crate) enum KeyForm {
    /// A text.
    Text,
    /// A text, or null, or absent.
    MaybeText,
    /// A JSON object.
    Members,
    /// Any JSON.
    Json,
    /// A list of texts.
    Texts,
}

/// Decodes all keys of a payload, each of its texts as `text` does.
pub(crate) fn decode<D: Decoder>(
    layout: Layout,
    decoder: &mut D,
    text: &mut impl FnMut(&mut D) -> Result<String, Malformed>,
) -> Result<Object, Malformed> {
    let mut named = Object::new();
    for (key, kind) in layout {
        match kind {
            KeyForm::Text => Text::put(&Text::decode(decoder, text)?, key, &mut named),
            KeyForm::MaybeText => {
                MaybeText::put(&MaybeText::decode(decoder, text)?, key, &mut named);
            }
            KeyForm::Members => Members::put(&Members::decode(decoder, text)?, key, &mut named),
            KeyForm::Json => Json::put(&Json::decode(decoder, text)?, key, &mut named),
            KeyForm::Texts => Ids::put(&Ids::decode(decoder, text)?, key, &mut named),
        }
    }
    let mut object = Object::decode_with(decoder, text)?;
    object.insert_all(&named);
    Ok(object)
}
