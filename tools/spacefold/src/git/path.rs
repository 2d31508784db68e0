//! Paths, which in git are bytes, as the text of a document's path.

use std::fmt::Write as _;

/// The attribute that keeps the bytes, in hexadecimal, of a path that is not UTF-8.
pub(crate) const ATTRIBUTE_PATH_HEX: &str = "path_hex";

/// The path of a document: what of the bytes is UTF-8, and `\xNN` for every other byte. With the
/// bytes of the path in an attribute, nothing is lost by it.
pub(super) fn text_of(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The bytes of a path that its text does not give back.
pub(super) fn hex_of(path: &[u8]) -> Option<String> {
    if std::str::from_utf8(path).is_ok() {
        return None;
    }
    let mut hex = String::with_capacity(path.len() * 2);
    for byte in path {
        let _ = write!(hex, "{byte:02x}");
    }
    Some(hex)
}

/// The bytes that [`hex_of`] wrote.
pub(crate) fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    digits
        .map(|pair| {
            pair.filter(|pair| pair.len() == 2).and_then(|pair| u8::from_str_radix(pair, 16).ok())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_given_back() {
        assert_eq!((text_of("ü b".as_bytes()), hex_of("ü b".as_bytes())), ("ü b".to_owned(), None));
        let latin = b"caf\xe9/\xff.md";
        assert_eq!(text_of(latin), "caf\\xe9/\\xff.md");
        assert_eq!(bytes_of(&hex_of(latin).unwrap()).unwrap(), latin);
        assert_eq!(bytes_of("1"), None);
        assert_eq!(bytes_of("zz"), None);
    }
}
