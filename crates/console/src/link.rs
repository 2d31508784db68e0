//! Addresses of pages: relative, and whole.

use std::fmt::{self, Display, Write as _};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a value of a query keeps as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A page, and what it is asked.
#[derive(Clone, Debug)]
pub(crate) struct PageLink(String);

impl PageLink {
    pub(crate) fn to(page: &str) -> Self {
        Self(page.to_owned())
    }

    pub(crate) fn with(mut self, name: &str, value: impl Display) -> Self {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        let value = value.to_string();
        let value = utf8_percent_encode(&value, PLAIN);
        // Writing to a string does not fail.
        let _ = write!(self.0, "{name}={value}");
        self
    }

    pub(crate) fn with_some(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

impl Display for PageLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_ends_its_place() {
        let link = PageLink::to("space").with("id", "a&b=c d/#\"é").with_some("at", Some(7));
        assert_eq!(link.to_string(), "space?id=a%26b%3Dc%20d%2F%23%22%C3%A9&at=7");
        assert_eq!(PageLink::to("live").with_some("at", None::<u8>).to_string(), "live");
    }
}
