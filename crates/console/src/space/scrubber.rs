//! The history of a space under a thumb.

use maud::{Markup, html};
use spacefold::Position;

use super::SpacePage;
use crate::{
    chart::{self, COLUMNS, HEIGHT},
    text::{grouped, short_time},
    timeline::TimelineTick,
};

/// Steps of the thumb between the first time and the last.
const THUMB_STEPS: i64 = 2_000;

impl SpacePage {
    pub(super) fn scrubber(&self) -> Markup {
        let Some((first, last)) = self.timeline.times() else { return html! {} };
        let (min, max) = (first.as_micros() / 1_000, (last.as_micros() + 999) / 1_000);
        let here = self.event.as_ref().map_or(first, |event| event.recorded_at);
        let lanes = TimelineTick::ALL.into_iter().filter_map(|(tick, class, name)| {
            let columns = self.timeline.ticks(tick, COLUMNS);
            (!columns.is_empty()).then(|| (class, name, chart::ticks(columns)))
        });
        let lanes: Vec<_> = lanes.collect();
        let bars = chart::bars(&self.timeline.columns(COLUMNS));
        let played = self.timeline.thousandths(here).unwrap_or(0);
        let view_box = format!("0 0 {COLUMNS} {HEIGHT}");
        let clip = i64::try_from(COLUMNS).unwrap_or(i64::MAX) * played / 1_000 + 1;
        html! {
            section.card.scrub aria-label="History" {
                form method="get" action="space" data-scrub {
                    (self.hidden_fields())
                    div.track {
                        svg.bars viewBox=(view_box) preserveAspectRatio="none" aria-hidden="true" {
                            clipPath #played { rect data-played x="0" y="0" width=(clip) height=(HEIGHT) {} }
                            path.bar d=(bars) {}
                            path.bar.played d=(bars) clip-path="url(#played)" {}
                        }
                        (self.pin_marks())
                        input #moment-range type="range" name="t" min=(min) max=(max)
                            step=(((max - min) / THUMB_STEPS).max(1)) value=(here.as_micros() / 1_000)
                            aria-label="Moment in the history" aria-valuetext=(self.said());
                    }
                    @for (class, name, path) in &lanes {
                        svg class=(format!("lane {class}")) viewBox=(format!("0 0 {COLUMNS} 10"))
                            preserveAspectRatio="none" role="img" aria-label=(format!("when something was {name}")) {
                            path d=(path) {}
                        }
                    }
                    svg.years aria-hidden="true" width="100%" height="16" {
                        @for (year, share) in self.timeline.years() {
                            text x=(format!("{}.{}%", share / 10, share % 10)) y="12" { (year) }
                        }
                    }
                    div.legend {
                        span { (short_time(first)) " – " (short_time(last)) ", "
                            (grouped(self.timeline.events())) " events" }
                        @for (class, name, _) in &lanes {
                            span class=(format!("key {class}")) { (name) }
                        }
                        @if self.is_timeline_partial {
                            span.bad { "The history is long: what is shown here is not all of it yet." }
                        }
                        button.go { "Go there" }
                    }
                }
            }
        }
    }

    /// What the address has, for forms.
    fn hidden_fields(&self) -> Markup {
        let view = self.inspector.name();
        html! {
            input type="hidden" name="id" value=(self.space_id);
            @for (name, pin) in [("a", self.pin_a), ("b", self.pin_b)] {
                @if let Some(pin) = pin {
                    input type="hidden" name=(name) value=(pin);
                }
            }
            @if !["events", "document"].contains(&view) {
                input type="hidden" name="view" value=(view);
            }
            @if let Some(document_id) = self.document_id() {
                input type="hidden" name="document" value=(document_id);
            }
            @if !self.search.is_empty() {
                input type="hidden" name="q" value=(self.search);
            }
        }
    }

    /// Where the pins are.
    fn pin_marks(&self) -> Markup {
        let marks = [("a", self.pin_times.0), ("b", self.pin_times.1)];
        let place = |time| self.timeline.thousandths(time);
        let marks = marks.into_iter().filter_map(|(name, time)| Some((name, place(time?)?)));
        html! {
            svg.pin-marks aria-hidden="true" {
                @for (name, share) in marks {
                    rect class=(name) x=(format!("{}.{}%", share / 10, share % 10)) y="0" width="2" height="100%" {}
                }
            }
        }
    }

    pub(super) fn step_links(&self) -> Markup {
        let steps = self.steps;
        let step = |position: Option<Position>, key: &str, name: &str, sign: &str| {
            let href = position.map(|position| self.link().with("at", position).to_string());
            html! {
                a.button href=[href] data-step=(key) aria-label=(name) title=(name)
                    role=[position.is_none().then_some("link")] aria-disabled=[position.is_none().then_some("true")] { (sign) }
            }
        };
        let day = |way: &str, is_there: bool, name: &str, sign: &str| {
            let href =
                is_there.then(|| self.link().with("at", self.at).with("step", way).to_string());
            html! {
                a.button href=[href] data-step=(way) aria-label=(name) title=(name)
                    role=[(!is_there).then_some("link")] aria-disabled=[(!is_there).then_some("true")] { (sign) }
            }
        };
        let here = Some(self.at);
        html! {
            nav.steps aria-label="Steps through the history" {
                div.group {
                    (step(steps.first.filter(|_| steps.previous.is_some()), "first", "The first event (Home)", "|←"))
                    (day("day-back", steps.previous.is_some(), "The day before (Shift ←)", "−day"))
                    (step(steps.previous, "previous", "The event before (←)", "←"))
                    button.play type="button" data-play hidden aria-pressed="false" title="Play (Space)" { "▶ Play" }
                    (step(steps.next, "next", "The event after (→)", "→"))
                    (day("day-on", steps.next.is_some(), "The day after (Shift →)", "+day"))
                    (step(steps.last.filter(|_| steps.next.is_some()), "last", "The last event (End)", "→|"))
                }
                p.where {
                    @if let Some(event) = &self.event {
                        span.moment { (short_time(event.recorded_at)) }
                        span.quiet { " · position " (grouped(self.at.get())) }
                    } @else {
                        span.moment { "before the first event" }
                    }
                }
                div.group.pins {
                    (self.pin("A", self.pin_a, here))
                    (self.pin("B", self.pin_b, here))
                    @if self.pin_a.is_some() || self.pin_b.is_some() {
                        a.button data-unpin href=(self.unpinned()) title="Take the pins away (x)" { "×" span.sr { " Take the pins away" } }
                    }
                }
            }
        }
    }

    fn pin(&self, name: &str, pinned: Option<Position>, here: Option<Position>) -> Markup {
        let (mut a, mut b) = (self.pin_a, self.pin_b);
        *(if name == "A" { &mut a } else { &mut b }) = here;
        let is_both = a.is_some() && b.is_some();
        let view = self.inspector.name();
        let view = if is_both { "changes" } else { view };
        let link = crate::link::PageLink::to("space")
            .with("id", &self.space_id)
            .with("at", self.at)
            .with_some("a", a)
            .with_some("b", b)
            .with_some("view", (!["events", "document"].contains(&view)).then_some(view))
            .with_some("document", self.document_id().filter(|_| !is_both || view == "document"))
            .with_some("q", (!self.search.is_empty()).then_some(&self.search));
        let class = format!("button pin {}", name.to_ascii_lowercase());
        html! {
            a class=(class) href=(link) data-pin=(name) title=(format!("Pin {name} here ({})", name.to_ascii_lowercase())) {
                b { (name) }
                @match pinned {
                    Some(position) => span { (grouped(position.get())) },
                    None => span.quiet { "pin here" },
                }
            }
        }
    }

    fn unpinned(&self) -> crate::link::PageLink {
        crate::link::PageLink::to("space")
            .with("id", &self.space_id)
            .with("at", self.at)
            .with_some("document", self.document_id())
            .with_some("q", (!self.search.is_empty()).then_some(&self.search))
    }
}
