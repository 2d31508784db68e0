//! What the pages load: from the program, never from another host.

/// A file that pages load.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Asset {
    /// Its name below `assets/`.
    pub name: &'static str,
    /// What it is.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: &'static [u8],
}

impl Asset {
    /// All of them.
    pub const ALL: [Self; 3] = [
        Self {
            name: "console.css",
            media_type: "text/css; charset=utf-8",
            bytes: include_bytes!("../assets/console.css"),
        },
        Self {
            name: "console.js",
            media_type: "text/javascript; charset=utf-8",
            bytes: include_bytes!("../assets/console.js"),
        },
        Self {
            name: "icon.svg",
            media_type: "image/svg+xml",
            bytes: include_bytes!("../assets/icon.svg"),
        },
    ];

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|asset| asset.name == name)
    }
}
