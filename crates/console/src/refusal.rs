//! What is shown where a page cannot be.

use maud::html;

use crate::frame::PageFrame;

/// Why there is no page.
#[derive(Clone, Debug)]
pub struct RefusalPage {
    /// The status of the answer.
    pub status: u16,
    /// What is wrong, in a few words.
    pub title: String,
    /// What exactly.
    pub detail: String,
}

impl RefusalPage {
    /// The page, whole.
    #[must_use]
    pub fn render(&self, frame: &PageFrame) -> String {
        let body = html! {
            section.card.refusal {
                h1 { (self.title) }
                p { (self.detail) }
                p.quiet { "Status " (self.status) ". Nothing was changed." }
                p { a.button href={ (frame.root) "./" } { "To the store" } }
            }
        };
        frame.page(&self.title, &body)
    }
}
