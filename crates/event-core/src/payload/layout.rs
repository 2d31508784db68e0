//! How payloads of an earlier version are laid out: by data, where those of today are by type.

use bincode::de::Decoder;

use super::field::{FieldValue, Ids, Json, MaybeText, Members, PayloadField, Text};
use crate::{
    value::{Object, Value},
    varint::Malformed,
};

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
    let mut entries = Vec::new();
    for (key, kind) in layout {
        let value = match kind {
            KeyForm::Text => owned(Text::value(&Text::decode(decoder, text)?)),
            KeyForm::MaybeText => owned(MaybeText::value(&MaybeText::decode(decoder, text)?)),
            KeyForm::Members => owned(Members::value(&Members::decode(decoder, text)?)),
            KeyForm::Json => owned(Json::value(&Json::decode(decoder, text)?)),
            KeyForm::Texts => owned(Ids::value(&Ids::decode(decoder, text)?)),
        };
        entries.extend(value.map(|value| ((*key).to_owned(), value)));
    }
    // Of a key that is named and among the others, what is named counts.
    let mut others = Object::decode_with(decoder, text)?.into_entries();
    others.append(&mut entries);
    Ok(Object::of_entries(others))
}

fn owned(field: Option<FieldValue<'_, String>>) -> Option<Value> {
    field.map(|field| field.to_owned_value())
}
