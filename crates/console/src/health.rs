//! Whether the store takes what it is given.

use maud::{Markup, html};
use spacefold::admin::{StoreHealth, StoreInfo, VerifyReport};

use crate::{
    frame::PageFrame,
    text::{self, counted, grouped},
};

/// The health of a store.
#[derive(Clone, Debug, Default)]
pub struct HealthPage {
    /// Its figures.
    pub info: Option<StoreInfo>,
    /// Whether it takes what it is given, where it is open here.
    pub health: Option<StoreHealth>,
    /// What a look at every byte has found, where it was taken now.
    pub verified: Option<Result<VerifyReport, String>>,
    /// Whether it can be verified here.
    pub can_verify: bool,
}

impl HealthPage {
    /// The page, whole.
    #[must_use]
    pub fn render(&self, frame: &PageFrame) -> String {
        let body = html! {
            div.heading { h1 { "Health" } }
            (self.state())
            @if let Some(info) = &self.info { (figures(info)) }
            (self.verify(frame))
        };
        frame.page("Health", &body)
    }

    fn state(&self) -> Markup {
        let Some(health) = &self.health else {
            return html! { section.card { p { "The store is followed beside the process that has it: it is only read here." } } };
        };
        html! {
            section class=(if health.is_well() { "card well" } else { "card problem-card" }) {
                h2 { @if health.is_well() { "The store takes what it is given" } @else { "The store refuses" } }
                dl.fields {
                    div { dt { "appends" } dd { (taken(health.log.accepts_appends)) } }
                    div { dt { "content" } dd { (taken(health.accepts_content)) } }
                    @if let Some(failure) = &health.log.failure { div { dt { "why" } dd { (failure) } } }
                    @if let Some(since) = health.log.failed_since { div { dt { "since" } dd { (text::time(since)) } } }
                    @if let Some(failure) = &health.content_failure { div { dt { "why content" } dd { (failure) } } }
                    @if let Some((used, max)) = health.log.quota {
                        div { dt { "limit" } dd {
                            label { (text::bytes(used)) " of " (text::bytes(max)) " "
                                meter min="0" max=(max) value=(used) {} } } }
                    }
                    div { dt { "not sealed" } dd { (counted(health.log.seal_lag, "event", "events")) ", " (text::bytes(health.log.unsealed_bytes)) } }
                }
            }
        }
    }

    fn verify(&self, frame: &PageFrame) -> Markup {
        html! {
            section.card aria-labelledby="verify-title" {
                h2 #verify-title { "Verify" }
                @match &self.verified {
                    None => p.quiet { "Reads every byte of both copies and holds it against its checksums. It changes nothing." },
                    Some(Err(why)) => p.problem role="alert" { (why) },
                    Some(Ok(report)) => (found(report)),
                }
                @if self.can_verify {
                    (frame.form("console/verify", &html! { button.primary { "Verify now" } }))
                }
            }
        }
    }
}

fn taken(is_taken: bool) -> Markup {
    html! { @if is_taken { span.good { "taken" } } @else { span.bad { "refused" } } }
}

fn figures(info: &StoreInfo) -> Markup {
    html! {
        section.card aria-labelledby="files-title" {
            h2 #files-title { "Files" }
            dl.fields {
                div { dt { "store" } dd.mono { (info.store_id) } }
                div { dt { "timeline" } dd.mono { (info.identity.timeline) } }
                div { dt { "format" } dd { (info.format_version) } }
                div { dt { "journal" } dd { (text::bytes(info.journal_bytes)) } }
                div { dt { "segments" } dd { (text::bytes(info.sealed_bytes)) ", sealed through position " (grouped(info.sealed_through.get())) } }
                div { dt { "sled" } dd { (text::bytes(info.sled_bytes)) } }
                div { dt { "healed" } dd { (counted(info.healed, "part", "parts")) } }
                div { dt { "last stop" } dd { @if info.was_closed { "clean" } @else { "not clean; recovered" } } }
            }
        }
    }
}

fn found(report: &VerifyReport) -> Markup {
    html! {
        @if report.problems.is_empty() {
            p.good role="status" { "Sound: " (counted(report.events, "event", "events")) " in "
                (counted(report.blocks, "block", "blocks")) ", both copies alike." }
        } @else {
            p.problem role="alert" { (counted(u64::try_from(report.problems.len()).unwrap_or(u64::MAX), "problem", "problems")) " in "
                (counted(report.events, "event", "events")) }
            ul.plain {
                @for problem in report.problems.iter().take(100) {
                    li.bad {
                        (problem.kind) ": " (problem.detail)
                        @if let Some(position) = problem.position { ", position " (grouped(position.get())) }
                        @if let Some(file) = &problem.file { ", " (file.display()) }
                        @if let Some(offset) = problem.offset { " at byte " (grouped(offset)) }
                        @if problem.healed { span.good { " healed" } }
                    }
                }
            }
        }
    }
}
