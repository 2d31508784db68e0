//! Names that some file system takes for `.git`, by the rules that git itself has for them.
//!
//! What is in a folder of that name git believes, and runs. The folder that is written now may be on
//! another file system later, or be on one that tells names apart as NTFS and HFS+ do.

use std::fmt;

/// How a name comes to be `.git`, or `.gitmodules`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakenFor {
    /// It is, but for the case of its letters.
    Itself,
    /// NTFS ends names before dots, spaces and a colon.
    NtfsEnding,
    /// NTFS has short names.
    NtfsShortName,
    /// A backslash ends a name where NTFS is.
    NtfsSeparator,
    /// HFS+ passes over characters that are not seen.
    HfsIgnored,
}

impl fmt::Display for TakenFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Itself => "in whatever case its letters are",
            Self::NtfsEnding => {
                "NTFS takes no notice of dots and spaces at the end, or of a stream"
            }
            Self::NtfsShortName => "NTFS has it as a short name",
            Self::NtfsSeparator => "a backslash ends a name where NTFS is",
            Self::HfsIgnored => "HFS+ takes no notice of characters that are not seen",
        })
    }
}

/// How a name of a path is taken for `.git`, if it is.
pub(super) fn taken_for_git(name: &[u8]) -> Option<TakenFor> {
    if name.eq_ignore_ascii_case(b".git") {
        return Some(TakenFor::Itself);
    }
    on_every_part(name, |part| {
        let longer = |prefix: &[u8]| {
            let (begin, rest) = part.split_at_checked(prefix.len())?;
            (begin.eq_ignore_ascii_case(prefix) && ends_for_ntfs(rest)).then_some(())
        };
        let short = || longer(b"git~1").map(|()| TakenFor::NtfsShortName);
        longer(b".git").map(|()| TakenFor::NtfsEnding).or_else(short)
    })
    .or_else(|| is_for_hfs(name, b".git").then_some(TakenFor::HfsIgnored))
}

/// How the name of a link is taken for `.gitmodules`, if it is. Git reads that file through a link,
/// so as a link it could be any.
pub(super) fn taken_for_gitmodules(name: &[u8]) -> Option<TakenFor> {
    const NAME: &[u8] = b".gitmodules";
    if name.eq_ignore_ascii_case(NAME) {
        return Some(TakenFor::Itself);
    }
    on_every_part(name, |part| {
        let longer = part
            .split_at_checked(NAME.len())
            .is_some_and(|(begin, rest)| begin.eq_ignore_ascii_case(NAME) && ends_for_ntfs(rest));
        if longer {
            return Some(TakenFor::NtfsEnding);
        }
        is_short_name_of_gitmodules(part).then_some(TakenFor::NtfsShortName)
    })
    .or_else(|| is_for_hfs(name, NAME).then_some(TakenFor::HfsIgnored))
}

/// Looks at what stands between backslashes as if it were a name.
fn on_every_part(name: &[u8], is_taken: impl Fn(&[u8]) -> Option<TakenFor>) -> Option<TakenFor> {
    let mut parts = name.split(|byte| *byte == b'\\').map(is_taken);
    let first = parts.next().flatten();
    match first {
        Some(TakenFor::NtfsEnding) if name.contains(&b'\\') => Some(TakenFor::NtfsSeparator),
        Some(found) => Some(found),
        None => parts.flatten().next().map(|_| TakenFor::NtfsSeparator),
    }
}

/// Whether a name that goes on so ends before it on NTFS: with dots and spaces, up to a stream.
fn ends_for_ntfs(rest: &[u8]) -> bool {
    let end = rest.iter().find(|byte| !matches!(byte, b'.' | b' '));
    matches!(end, None | Some(b':'))
}

/// Whether it is one of the short names that NTFS gives `.gitmodules`: `gitmod~1` to `~4`, and with
/// more files of that kind `gi7eba~1` and so on, the digits of a hash.
fn is_short_name_of_gitmodules(name: &[u8]) -> bool {
    let Some((short, rest)) = name.split_at_checked(8) else { return false };
    let short = short.to_ascii_lowercase();
    let regular =
        matches!(short.as_slice(), [b'g', b'i', b't', b'm', b'o', b'd', b'~', b'1'..=b'4']);
    let by_hash = short.iter().position(|byte| *byte == b'~').is_some_and(|tilde| {
        let (begin, number) = short.split_at(tilde);
        let mut digits = number.iter().skip(1);
        b"gi7eba".starts_with(begin)
            && matches!(digits.next(), Some(b'1'..=b'9'))
            && digits.all(u8::is_ascii_digit)
    });
    (regular || by_hash) && ends_for_ntfs(rest)
}

/// Whether HFS+ has the name as this one. What is no UTF-8 ends a name there.
fn is_for_hfs(name: &[u8], needle: &[u8]) -> bool {
    let text = name.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let mut seen = text.chars().filter(|character| !is_ignored_by_hfs(*character));
    let begins = needle.iter().all(|byte| {
        seen.next().is_some_and(|character| character.eq_ignore_ascii_case(&char::from(*byte)))
    });
    begins && seen.next().is_none()
}

const fn is_ignored_by_hfs(character: char) -> bool {
    matches!(
        character,
        '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_for_git_as_git_takes_them() {
        let cases: [(&[u8], Option<TakenFor>); 36] = [
            (b".git", Some(TakenFor::Itself)),
            (b".GiT", Some(TakenFor::Itself)),
            (b".git ", Some(TakenFor::NtfsEnding)),
            (b".git.", Some(TakenFor::NtfsEnding)),
            (b".git . .", Some(TakenFor::NtfsEnding)),
            (b".git::$INDEX_ALLOCATION", Some(TakenFor::NtfsEnding)),
            (b".GIT .:x", Some(TakenFor::NtfsEnding)),
            (b"git~1", Some(TakenFor::NtfsShortName)),
            (b"GIT~1", Some(TakenFor::NtfsShortName)),
            (b"GIT~1. ", Some(TakenFor::NtfsShortName)),
            (b"git~1:stream", Some(TakenFor::NtfsShortName)),
            (b".git\\config", Some(TakenFor::NtfsSeparator)),
            (b"a\\.git", Some(TakenFor::NtfsSeparator)),
            (b"a\\git~1\\hooks", Some(TakenFor::NtfsSeparator)),
            (b"a\\b\\.GIT \\x", Some(TakenFor::NtfsSeparator)),
            ("\u{200c}.git".as_bytes(), Some(TakenFor::HfsIgnored)),
            (".g\u{200c}it".as_bytes(), Some(TakenFor::HfsIgnored)),
            (".gi\u{feff}T\u{206f}".as_bytes(), Some(TakenFor::HfsIgnored)),
            (".g\u{202e}\u{200f}\u{206a}i\u{202a}t".as_bytes(), Some(TakenFor::HfsIgnored)),
            (b".git\xff", Some(TakenFor::HfsIgnored)),
            (b".gitx", None),
            (b".gitignore", None),
            (b".git.x", None),
            (b".git x", None),
            (b"git~2", None),
            (b"git~10", None),
            (b"git", None),
            (b".gi", None),
            (b"", None),
            (b"a.git", None),
            (b" .git", None),
            (b"a\\b", None),
            (".g\u{200b}it".as_bytes(), None),
            (".g\u{206f}".as_bytes(), None),
            (".g\u{131}t".as_bytes(), None),
            (b"\xff.git", None),
        ];
        for (name, taken) in cases {
            assert_eq!(taken_for_git(name), taken, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn links_are_taken_for_gitmodules_as_git_takes_them() {
        let taken: [&[u8]; 14] = [
            b".gitmodules",
            b".GITMODULES",
            b".gitmodules . ",
            b".gitmodules:x",
            b"gitmod~1",
            b"GITMOD~4 .",
            b"gi7eba~1",
            b"gi7eb~10",
            b"g~123456",
            b"~1000000",
            b"gi7eba~9:x",
            b"a\\.gitmodules",
            ".gitmod\u{200d}ules".as_bytes(),
            ".\u{feff}gitmodules".as_bytes(),
        ];
        for name in taken {
            assert!(taken_for_gitmodules(name).is_some(), "{}", name.escape_ascii());
        }
        let others: [&[u8]; 10] = [
            b".gitmodulesx",
            b"gitmodules",
            b"gitmod~5",
            b"gitmod~0",
            b"gi7eba~0",
            b"gi7ebb~1",
            b"gi7eba~1x",
            b"gi7eba~a",
            b"gi7eba1",
            b"\xffgi7e~1",
        ];
        for name in others {
            assert!(taken_for_gitmodules(name).is_none(), "{}", name.escape_ascii());
        }
    }
}
