//! Who looks is asked for a token.

use maud::html;

use crate::frame::PageFrame;

/// Asks for a token.
#[derive(Clone, Debug, Default)]
pub struct LoginPage {
    /// Where it leads then: the address of a page, relative.
    pub next: String,
    /// Whether a token was given that is not good.
    pub was_refused: bool,
}

impl LoginPage {
    /// The page, whole.
    #[must_use]
    pub fn render(&self, frame: &PageFrame) -> String {
        let fields = html! {
            input type="hidden" name="next" value=(self.next);
            label for="token" { "Token" }
            input #token type="password" name="token" autocomplete="off" required autofocus
                spellcheck="false" placeholder="sfk1_…"
                aria-describedby=[self.was_refused.then_some("refused")];
            button.primary { "Look" }
        };
        let body = html! {
            section.card.login {
                h1 { "Look at a store" }
                p.quiet {
                    "The token says what you see. It stays in the server; the browser keeps only a session."
                }
                @if self.was_refused {
                    p.problem #refused role="alert" { "This token is wrong, has expired, or was revoked." }
                }
                (frame.form("console/login", &fields))
                details {
                    summary { "Where do I get one?" }
                    pre { code { "spacefold token create --allow read --spaces '*'" } }
                }
            }
        };
        frame.page("Log in", &body)
    }
}
