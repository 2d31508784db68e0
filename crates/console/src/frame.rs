//! What is around every page.

use maud::{DOCTYPE, Markup, html};
use spacefold::Position;

use crate::text::{cut, grouped};

/// Which page it is, in the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The store, and its spaces.
    Store,
    /// Events as they come.
    Live,
    /// A correlation id.
    Trace,
    /// Subscriptions.
    Subscriptions,
    /// Projections.
    Projections,
    /// Health.
    Health,
    /// None of these: asking for a token, or refusing.
    None,
}

impl Section {
    const NAVIGATION: [(Self, &'static str, &'static str, &'static str); 6] = [
        (Self::Store, "./", "Store", "s"),
        (Self::Live, "live", "Live", "l"),
        (Self::Trace, "trace", "Trace", "t"),
        (Self::Subscriptions, "subscriptions", "Subscriptions", "u"),
        (Self::Projections, "projections", "Projections", "p"),
        (Self::Health, "health", "Health", "h"),
    ];
}

/// What is around a page: which store it is of, and who looks at it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PageFrame {
    /// The id of the store.
    pub store_id: String,
    /// Its durable head.
    pub durable_head: Position,
    /// Which page it is.
    pub section: Section,
    /// What forms carry so that no other site can send them.
    pub form_token: String,
    /// Whether somebody logged in, who can log out.
    pub is_logged_in: bool,
    /// Whether nothing can be changed: forms are not shown.
    pub is_read_only: bool,
    /// What was done by the form that led here.
    pub notice: Option<String>,
    /// Where the pages are, from the address that is shown: empty for each of them, `../` beneath one.
    pub root: String,
}

impl PageFrame {
    /// The frame of a page of a store, for somebody who changes nothing.
    #[must_use]
    pub fn new(store_id: impl Into<String>, section: Section) -> Self {
        Self {
            store_id: store_id.into(),
            durable_head: Position::START,
            section,
            form_token: String::new(),
            is_logged_in: false,
            is_read_only: true,
            notice: None,
            root: String::new(),
        }
    }

    /// The whole page around its body.
    pub(crate) fn page(&self, title: &str, body: &Markup) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " · spacefold" }
                    link rel="icon" href={ (self.root) "assets/icon.svg" } type="image/svg+xml";
                    link rel="stylesheet" href={ (self.root) "assets/console.css" };
                    script type="module" src={ (self.root) "assets/console.js" } {}
                }
                body {
                    a.skip href="#main" { "Skip to the page" }
                    (self.head())
                    main #main tabindex="-1" {
                        @if let Some(notice) = &self.notice {
                            p.notice role="status" { (notice) }
                        }
                        (body)
                    }
                    (help())
                }
            }
        };
        page.into_string()
    }

    fn head(&self) -> Markup {
        html! {
            header.top {
                a.brand href={ (self.root) "./" } {
                    (logo())
                    span { "spacefold" }
                }
                @if self.section != Section::None || self.is_logged_in {
                    nav aria-label="Pages" {
                        @for (section, href, name, key) in Section::NAVIGATION {
                            a href={ (self.root) (href) } data-go=(key) aria-current=[(section == self.section).then_some("page")] {
                                (name)
                            }
                        }
                    }
                    div.whose {
                        span title=(format!("store {}", self.store_id)) {
                            span.quiet { "store " } span.mono { (cut(&self.store_id, 8)) }
                        }
                        span title="the last event that is known to be on disk" {
                            span.quiet { "head " }
                            span.mono data-head { (grouped(self.durable_head.get())) }
                        }
                        button.icon type="button" data-help hidden aria-label="Help" title="Help (?)" { "?" }
                        @if self.is_logged_in {
                            (self.form("console/logout", &html! { button.plain { "Log out" } }))
                        }
                    }
                }
            }
        }
    }

    /// A form that changes something, whose fields these are.
    pub(crate) fn form(&self, action: &str, fields: &Markup) -> Markup {
        html! {
            form method="post" action=(action) {
                input type="hidden" name="form_token" value=(self.form_token);
                (fields)
            }
        }
    }
}

/// A sheet that is folded once.
fn logo() -> Markup {
    html! {
        svg.logo viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" {
            path.back d="M4 3h11l5 5v13H4z" {}
            path.fold d="M15 3v5h5z" {}
            path.line d="M7.5 12.5h9M7.5 16.5h6" {}
        }
    }
}

fn help() -> Markup {
    let keys: [(&str, &str); 12] = [
        ("← →", "the event before or after"),
        ("⇧ ← →", "the day before or after"),
        ("Home End", "the first event, the last"),
        ("Space", "play the history, or stop it"),
        ("a b", "pin A or B at this position"),
        ("x", "take the pins away"),
        ("d", "what changed between the pins"),
        ("/", "search the documents"),
        ("g s", "go to the store"),
        ("g l", "go to what is live"),
        ("g h", "go to the health of the store"),
        ("?", "this help"),
    ];
    html! {
        dialog #help aria-labelledby="help-title" {
            h2 #help-title { "Keys" }
            dl.keys {
                @for (key, what) in keys {
                    div { dt { kbd { (key) } } dd { (what) } }
                }
            }
            p.quiet { "Every address is the whole state of its page: copy it, and others see the same." }
            form method="dialog" { button { "Close" } }
        }
    }
}
