//! The projections that come with the crate.

mod activity;
mod content_index;
mod day;
mod known_documents;
mod open_problems;

pub use self::{
    activity::{Activity, ActivityCount, ActivityFilter},
    content_index::{ContentIndex, Occurrence},
    day::{Day, InvalidDay},
    open_problems::{OpenProblem, OpenProblems, ProblemDetail, ProblemFilter, ProblemKind},
};
use crate::projections::{ProjectionHandle, Projections, RegisterError};

/// The projections that come with the crate, registered.
#[derive(Clone, Debug)]
pub struct Shipped {
    /// Where a content is.
    pub content_index: ProjectionHandle<ContentIndex>,
    /// How many events there were.
    pub activity: ProjectionHandle<Activity>,
    /// What is to be looked after.
    pub open_problems: ProjectionHandle<OpenProblems>,
}

impl Shipped {
    /// Registers all of them.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn register(projections: &Projections) -> Result<Self, RegisterError> {
        Ok(Self {
            content_index: projections.register(ContentIndex)?,
            activity: projections.register(Activity)?,
            open_problems: projections.register(OpenProblems)?,
        })
    }
}
