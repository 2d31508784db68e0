#![doc = include_str!("../README.md")]
//!
//! The console of a store: pages that are looked at. Data in, markup out; whoever serves them brings
//! both.
//!
//! ```
//! use spacefold_console::{PageFrame, Section, TracePage};
//! let frame = PageFrame::new("0d0f…", Section::Trace);
//! let page = TracePage { correlation_id: "<b>".to_owned(), ..TracePage::default() };
//! assert!(page.render(&frame).contains("&lt;b&gt;"));
//! ```
//!
//! # Pages
//! | path | page | shows |
//! |---|---|---|
//! | `.` | [`StorePage`] | problems, figures, spaces |
//! | `space` | [`SpacePage`] | a space at any position of its history, what changed between two |
//! | `live` | [`LivePage`] | events as they come |
//! | `trace` | [`TracePage`] | the events of a correlation id |
//! | `subscriptions` | [`SubscriptionsPage`] | who has come how far |
//! | `projections` | [`ProjectionsPage`] | what is folded, how far, why it is paused |
//! | `health` | [`HealthPage`] | whether the store takes what it is given |
//! | `login` | [`LoginPage`] | asks for a token |
//!
//! Every link is relative to the folder of the pages, so that they can be mounted anywhere; every
//! address is the whole state of its page. Forms that change something post to `console/…`, with the
//! [token against forgery](PageFrame::form_token) of their frame. Without scripts all of it works but what is
//! live.
//!
//! # Assets
//! [`Asset::named`] has the style sheet, the one module of script and the icon.

mod assets;
mod chart;
mod frame;
mod health;
mod link;
mod live;
mod login;
mod projections;
mod refusal;
mod space;
mod store;
mod subscriptions;
mod text;
mod text_diff;
mod timeline;
mod trace;

pub use crate::{
    assets::Asset,
    frame::{PageFrame, Section},
    health::HealthPage,
    live::LivePage,
    login::LoginPage,
    projections::ProjectionsPage,
    refusal::RefusalPage,
    space::{DocumentView, InspectorView, MAX_SHOWN_TEXT_BYTES, ShownText, SpacePage, Steps},
    store::{SpaceListRow, StorePage},
    subscriptions::SubscriptionsPage,
    timeline::{SpaceTimeline, TimelineTick},
    trace::TracePage,
};
