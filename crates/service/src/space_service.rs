//! The service: commands in, events out.

mod batch;
mod methods;
mod render_guard;

use std::{fmt, sync::Arc};

use spacefold_event_core::{
    AppendCondition, ContentStore, EventLog, MemoryContentStore, MemoryLog, Pending, Position,
    Presence, Timestamp, Value,
};
use spacefold_projection::{DerivedState, LiveStates};
use spacefold_state::SpaceState;

pub use self::{batch::Batch, render_guard::RenderGuard};
use crate::{
    attribution::Attribution,
    command::Command,
    command_error::CommandError,
    commands::Commands,
    condition::{Conditions, Scope},
    decide::check_takes_content,
    executor::{Executor, Order},
    idempotency_key::{IdempotencyKey, KeyInLog},
    named_content::NamedContent,
    outcome::Outcome,
    submissions::{CommandSubmission, PendingOutcome, Submissions},
};

/// The command side of a log: a method for each operation on a space, checked against the state of
/// the space and recorded as an event. Clones are cheap and share one service.
///
/// A command is appended with the revision that it was decided at. When another writer was first it
/// is decided anew, a bounded number of times. Threads of one service wait for each other where they
/// command the same space.
///
/// | nothing is emitted | refused |
/// |---|---|
/// | what is set, added or recorded is there already; a change that changes nothing; a move to the own path; clearing where nothing is | a space that is not there, deleted or archived; a status that the space has; a document, variable or conflict that is not there; a document or path that is; an end without a start, a start without an end; an empty name, path, target or hash |
///
/// # Blocking
/// A command blocks until its event is on disk, and while another command on the same space is under
/// way; one that is refused or changes nothing waits for no sync of its own. [`SpaceService::submit`]
/// and [`Batch::submit`] block on nothing. What makes another service of this one (`with_`, `only_if`,
/// `if_unchanged_since`) takes no time. Dropping the last clone waits until what was submitted is
/// answered; where the log is closed meanwhile, as with a store, what it has not taken yet is refused.
///
/// # Cost
/// A few µs beyond the append. The states of up to 1,024 spaces are kept, sharing what they can
/// with those of the projection. That a path is taken is known at once; which document is there, as
/// the refusal says, takes a walk over the documents.
///
/// # Examples
/// ```
/// use spacefold::{Refusal, SpaceService};
/// let service = SpaceService::in_memory();
/// service.create_space("handbook", "Handbook")?;
/// let added = service.add_document("handbook", "intro", "/intro.md")?;
/// assert_eq!(added.events().len(), 1);
/// assert!(service.rename_space("handbook", "Handbook")?.is_unchanged());
///
/// let refused = service.add_document("handbook", "start", "/intro.md").unwrap_err();
/// let (path, document_id) = ("/intro.md".to_owned(), "intro".to_owned());
/// assert_eq!(refused.refusal(), Some(&Refusal::PathTaken { path, document_id }));
///
/// let editor = service.with_source("editor").with_correlation_id("session 9");
/// let set = editor.set_variable("handbook", "reviewed", true)?;
/// assert_eq!(set.events()[0].event.source.as_deref(), Some("editor"));
/// # Ok::<(), spacefold::CommandError>(())
/// ```
#[derive(Clone)]
pub struct SpaceService {
    executor: Arc<Executor>,
    submissions: Arc<Submissions>,
    content: Option<Arc<dyn ContentStore>>,
    attribution: Arc<Attribution>,
    conditions: Arc<Conditions>,
}

impl SpaceService {
    /// A service that records in a log, and finds the states of its spaces in the projection of it.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>, states: Arc<LiveStates>) -> Self {
        let executor = Arc::new(Executor::new(log, states));
        let submissions = Arc::new(Submissions::new(Arc::clone(&executor)));
        let (attribution, conditions) = (Arc::default(), Arc::default());
        Self { executor, submissions, content: None, attribution, conditions }
    }

    /// A service that records in a log, and folds the states of its spaces in memory.
    #[must_use]
    pub fn over(log: Arc<dyn EventLog>) -> Self {
        let states = LiveStates::new(log.clone(), DerivedState::in_memory());
        Self::new(log, Arc::new(states))
    }

    /// A service without a store: events and states are in memory, and gone with it.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::over(Arc::new(MemoryLog::new()))
            .with_content_store(Arc::new(MemoryContentStore::new()))
    }

    /// The service with a store for the bytes of documents.
    #[must_use]
    pub fn with_content_store(mut self, content: Arc<dyn ContentStore>) -> Self {
        self.content = Some(content);
        self
    }

    /// The log that the service records in.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn EventLog> {
        self.executor.log()
    }

    /// The states of the spaces.
    #[must_use]
    pub fn states(&self) -> &Arc<LiveStates> {
        self.executor.states()
    }

    /// The newest durable position that this service, or a clone of it, has recorded or read, in memory: what a
    /// snapshot should have, so that those who command see what they were answered by.
    ///
    /// # Examples
    /// ```
    /// use spacefold::SpaceService;
    /// let service = SpaceService::in_memory();
    /// let created = service.create_space("handbook", "Handbook")?;
    /// assert_eq!(Some(service.seen()), created.last_position());
    /// # Ok::<(), spacefold::CommandError>(())
    /// ```
    #[must_use]
    pub fn seen(&self) -> Position {
        self.executor.seen()
    }

    /// The store for the bytes of documents, if there is one.
    #[must_use]
    pub fn content_store(&self) -> Option<&Arc<dyn ContentStore>> {
        self.content.as_ref()
    }

    /// The service as this source uses it: who says so, in each event.
    #[must_use]
    pub fn with_source(&self, source: impl Into<String>) -> Self {
        self.with(|attribution| attribution.source = Some(source.into()))
    }

    /// The service for commands that belong to this, which each event says.
    #[must_use]
    pub fn with_correlation_id(&self, correlation_id: impl Into<String>) -> Self {
        self.with(|attribution| attribution.correlation_id = Some(correlation_id.into()))
    }

    /// The service for commands whose events have these tags, in place of those it gave before: at most
    /// 16 distinct ones, each of 1 to 200 bytes. With others each command that records something is
    /// refused, by [`Refusal::Limit`](crate::Refusal::Limit).
    ///
    /// # Examples
    /// ```
    /// use spacefold::{SpaceService, event::Object};
    /// let service = SpaceService::in_memory();
    /// let enrolled = service.with_tags(["course:c1", "student:s7"]);
    /// let outcome = enrolled.record("school", "com.example.enrolled", Object::new())?;
    /// assert_eq!(outcome.events()[0].event.tags, ["course:c1", "student:s7"]);
    /// # Ok::<(), spacefold::CommandError>(())
    /// ```
    #[must_use]
    pub fn with_tags(&self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.with(|attribution| attribution.tags = tags.into_iter().map(Into::into).collect())
    }

    /// The service for commands whose events have one more payload key, which the contract does not name
    /// for them: a command with one for which it does is refused, by
    /// [`Refusal::ExtraKey`](crate::Refusal::ExtraKey), and so is an event of one's own that has the key,
    /// by [`Refusal::KeyInPayload`](crate::Refusal::KeyInPayload).
    ///
    /// # Examples
    /// ```
    /// use spacefold::{Refusal, SpaceService, Value};
    /// let service = SpaceService::in_memory().with_extra("ticket", 17);
    /// let created = service.create_space("handbook", "Handbook")?;
    /// let payload = &created.events()[0].event.payload;
    /// assert_eq!(payload.extra().get("ticket"), Some(&Value::from(17)));
    ///
    /// let refused = service.with_extra("value", 1).set_variable("handbook", "v", 1).unwrap_err();
    /// assert!(matches!(refused.refusal(), Some(Refusal::ExtraKey(_))));
    /// # Ok::<(), spacefold::CommandError>(())
    /// ```
    #[must_use]
    pub fn with_extra(&self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.with(|attribution| drop(attribution.extra.insert(key, value.into())))
    }

    /// The service for commands that happened at this time, instead of now.
    #[must_use]
    pub fn with_timestamp(&self, timestamp: Timestamp) -> Self {
        self.with(|attribution| attribution.timestamp = Some(timestamp))
    }

    /// The service for one command or batch under this key: when it is repeated, because its answer
    /// was lost, it emits nothing and answers as the first time, whatever has happened since.
    ///
    /// A command that changes nothing leaves an event that says so
    /// ([`COMMAND_UNCHANGED`](spacefold_event_core::COMMAND_UNCHANGED)), which no state takes in: repeated,
    /// it changes nothing either, whatever has happened since. A command that is refused leaves
    /// nothing, and its key stays free. The key is of one command and its arguments: others under it are
    /// refused with [`Refusal::KeyReused`](crate::Refusal::KeyReused).
    ///
    /// # Examples
    /// ```
    /// use spacefold::SpaceService;
    /// let service = SpaceService::in_memory();
    /// service.create_space("handbook", "Handbook")?;
    /// let first = service.with_key("request-17").set_variable("handbook", "n", 1)?;
    /// service.set_variable("handbook", "n", 2)?;
    /// let again = service.with_key("request-17").set_variable("handbook", "n", 1)?;
    /// assert_eq!(again.events(), first.events());
    /// assert!(again.is_repeated());
    /// # Ok::<(), spacefold::CommandError>(())
    /// ```
    #[must_use]
    pub fn with_key(&self, key: impl Into<IdempotencyKey>) -> Self {
        let key = KeyInLog::new(key.into(), self.log().identity().log_id);
        self.with(|attribution| attribution.key = Some(key))
    }

    /// Who says so, in each event: see [`SpaceService::with_source`].
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.attribution.source.as_deref()
    }

    /// What the commands belong to, which each event says: see
    /// [`SpaceService::with_correlation_id`].
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.attribution.correlation_id.as_deref()
    }

    /// The service for one command or batch that happens only if this condition holds in the log when
    /// its events are appended. Conditions add up.
    ///
    /// A condition that does not hold refuses whatever the command would come to, with
    /// [`Refusal::ConditionFailed`](crate::Refusal::ConditionFailed), which lists what was found: also
    /// a command that would change nothing, or that breaks a rule. When other writers on the space are
    /// faster, the command is decided anew, and the condition is looked at again. A repetition under a
    /// [key](SpaceService::with_key) answers as the first time, whether the condition still holds or
    /// not.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{
    ///     AppendCondition, Refusal, Revision, SpaceService, command::FailedPrecondition,
    /// };
    /// let service = SpaceService::in_memory();
    /// let created = service.create_space("handbook", "Handbook")?;
    /// let read = AppendCondition::exact("handbook", created.revision());
    /// service.only_if(read.clone()).rename_space("handbook", "Guide")?;
    ///
    /// let refused = service.only_if(read).rename_space("handbook", "Manual").unwrap_err();
    /// let Some(Refusal::ConditionFailed { failed }) = refused.refusal() else { unreachable!() };
    /// assert_eq!(failed[0].to_string(), r#"space "handbook" is at revision 2: expected revision 1"#);
    /// # Ok::<(), spacefold::CommandError>(())
    /// ```
    #[must_use]
    pub fn only_if(&self, condition: AppendCondition) -> Self {
        let conditions = Conditions::clone(&self.conditions).and_only_if(condition);
        Self { conditions: Arc::new(conditions), ..self.clone() }
    }

    /// The service for one command or batch that happens only if its space, or a document of it, has
    /// not changed since a position: the `If-Match` of a wiki. Everything that
    /// [`SpaceService::only_if`] says holds for it, and both can be combined.
    ///
    /// Any position will do that is as new as what was read: that of a snapshot, of an
    /// [`Outcome`](crate::Outcome), or a document's own
    /// [`updated_position`](spacefold_state::Document::updated_position). The space that is meant is
    /// the one that is commanded.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{Refusal, SpaceService, command::{FailedPrecondition, Scope}};
    /// let service = SpaceService::in_memory();
    /// service.batch("wiki").create_space("Wiki").add_document("intro", "/intro.md").commit()?;
    /// let page = service.states().snapshot("wiki")?;
    ///
    /// // Two people edit what they have read. What else happens in the space is no matter.
    /// let edit = service.if_unchanged_since(Scope::document("intro"), page.position());
    /// service.set_variable("wiki", "visitors", 1)?;
    /// let saved = edit.set_content("wiki", "intro", "# Hello")?;
    /// let refused = edit.set_content("wiki", "intro", "# Welcome").unwrap_err();
    /// let Some(Refusal::ConditionFailed { failed }) = refused.refusal() else { unreachable!() };
    /// let [FailedPrecondition::DocumentChanged { found, .. }] = &failed[..] else { unreachable!() };
    /// assert_eq!(*found, saved.last_position());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn if_unchanged_since(&self, scope: Scope, position: Position) -> Self {
        let conditions = Conditions::clone(&self.conditions).and_unchanged_since(scope, position);
        Self { conditions: Arc::new(conditions), ..self.clone() }
    }

    pub(crate) fn has_key(&self) -> bool {
        self.attribution.key.is_some()
    }

    /// The service for what follows a command: neither its key nor its conditions are for that.
    pub(crate) fn for_what_follows(&self) -> Self {
        let keyless = self.with(|attribution| attribution.key = None);
        Self { conditions: Arc::default(), ..keyless }
    }

    fn with(&self, change: impl FnOnce(&mut Attribution)) -> Self {
        let mut service = self.clone();
        change(Arc::make_mut(&mut service.attribution));
        service
    }

    /// Commands on a space that happen together or not at all. Blocks on nothing.
    pub fn batch(&self, space_id: impl Into<String>) -> Batch {
        Batch::new(self.clone(), space_id.into())
    }

    /// Starts the render of a document, without one of the space, and gives a guard that fails it
    /// when it is dropped. Blocks as a command does; so does dropping the guard.
    ///
    /// # Errors
    /// [`CommandError`]; nothing was started then.
    pub fn render(
        &self,
        space_id: impl Into<String>,
        document_id: impl Into<Presence>,
    ) -> Result<RenderGuard, CommandError> {
        let document_id = document_id.into();
        let start = Command::StartRender { document_id: document_id.clone() };
        RenderGuard::start(self, space_id.into(), document_id, start)
    }

    /// Starts a render in place of one that runs no more, though no event says so: its process was
    /// killed, say. Blocks as a command does. The guard that was given for that one ends nothing any more.
    ///
    /// `started` says which render is given up, by where its start stands: what
    /// [`OpenProblems`](spacefold_projection::OpenProblems) lists and a refusal to
    /// [start](SpaceService::render) another one says. Of several who find the same render given up
    /// one takes it over, and the others are refused.
    ///
    /// # Errors
    /// [`CommandError`]; [`Refusal::RenderSuperseded`](crate::Refusal::RenderSuperseded) when another
    /// render runs by now, [`Refusal::RenderNotRunning`](crate::Refusal::RenderNotRunning) when none
    /// does. Nothing was started then.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{Refusal, SpaceService};
    /// let service = SpaceService::in_memory();
    /// service.batch("handbook").create_space("Handbook").add_document("intro", "/intro.md").commit()?;
    /// // A process that is killed drops no guard.
    /// std::mem::forget(service.with_source("host 1").render("handbook", "intro")?);
    ///
    /// let refused = service.render("handbook", "intro").unwrap_err();
    /// let Some(&Refusal::RenderRunning { started, .. }) = refused.refusal() else { unreachable!() };
    /// let guard = service.with_source("host 2").take_over("handbook", "intro", started)?;
    /// assert!(service.take_over("handbook", "intro", started).is_err());
    /// guard.complete("5d41402a…")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_over(
        &self,
        space_id: impl Into<String>,
        document_id: impl Into<Presence>,
        started: Position,
    ) -> Result<RenderGuard, CommandError> {
        let document_id = document_id.into();
        let start = Command::TakeOverRender { document_id: document_id.clone(), started };
        RenderGuard::start(self, space_id.into(), document_id, start)
    }

    /// Executes a command on a space: what the method of the operation does. Blocks as that does.
    ///
    /// # Errors
    /// [`CommandError`]; see there what is known to be stored.
    pub fn execute(&self, space_id: &str, command: Command) -> Result<Outcome, CommandError> {
        self.execute_all(space_id, &Commands::One(command), None)
    }

    /// Hands a command over, and returns at once: what [`SpaceService::execute`] would answer is to be
    /// waited for, or awaited under any runtime. [`Batch::submit`] does the same for the methods of a
    /// batch, and for content.
    ///
    /// Commands on one space happen in the order in which they were handed over; those on different
    /// spaces are under way together, and may share one sync. Neither this nor the future blocks on a
    /// sync, on a read, or on other commands: threads of the service decide, and a command that has to
    /// wait for something holds up none on another space. Dropping the handle does not take the command
    /// back.
    ///
    /// # Limits
    /// [`MAX_SUBMITTED_COMMANDS`](crate::MAX_SUBMITTED_COMMANDS) commands, and
    /// [`MAX_SUBMITTED_BYTES`](crate::MAX_SUBMITTED_BYTES) of them, that are not answered yet: the
    /// answer to more is [`CommandError::TooManySubmitted`], at once. Where more than 32 MiB of appends wait for a
    /// store, handing more over to it waits for room, for all spaces.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{SpaceService, command::Command};
    /// let service = SpaceService::in_memory();
    /// let created = service.submit("handbook", Command::CreateSpace { name: "Handbook".into() });
    /// let guide = service.submit("guide", Command::CreateSpace { name: "Guide".into() });
    /// // Both are under way: `created.await?` where there is a runtime.
    /// assert_eq!(created.wait()?.revision(), guide.wait()?.revision());
    ///
    /// let refused = service.submit("handbook", Command::DeleteVariable { name: "n".into() });
    /// assert!(refused.wait().unwrap_err().refusal().is_some());
    /// # Ok::<(), spacefold::CommandError>(())
    /// ```
    pub fn submit(&self, space_id: &str, command: Command) -> PendingOutcome {
        self.submit_all(space_id, Commands::One(command), None)
    }

    /// Has the content synced that was put into the [content store](SpaceService::content_store), and
    /// returns at once: what [`ContentStore::sync`] would answer is to be waited for, or awaited. A
    /// thread of the service syncs; those who ask meanwhile share the next sync.
    ///
    /// The answer is an error where the sync fails, or the service has no content store: see
    /// [`ContentStore::sync`] for what is then known. Dropping the handle does not take it back.
    ///
    /// # Examples
    /// ```
    /// use spacefold::SpaceService;
    /// let service = SpaceService::in_memory();
    /// let stored = service.content_store().unwrap().put(&mut &b"# Hello"[..])?;
    /// // `service.submit_content_sync().await?` where there is a runtime.
    /// service.submit_content_sync().wait()?;
    /// service.batch("handbook")
    ///     .create_space("Handbook")
    ///     .add_document("intro", "/intro.md")
    ///     .set_content_hash("intro", stored.hash.to_string())
    ///     .commit()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn submit_content_sync(&self) -> Pending<Result<(), CommandError>> {
        match &self.content {
            Some(store) => self.submissions.sync_content(Arc::clone(store)),
            None => Pending::answered(Err(CommandError::NoContentStore)),
        }
    }

    /// Hands commands over, once the content that they name is synced in a store.
    pub(crate) fn submit_all(
        &self,
        space_id: &str,
        commands: Commands,
        content: Option<Arc<dyn ContentStore>>,
    ) -> PendingOutcome {
        self.submissions.submit(CommandSubmission {
            space_id: space_id.into(),
            commands,
            attribution: Arc::clone(&self.attribution),
            conditions: Arc::clone(&self.conditions),
            content,
        })
    }

    /// Executes a command that names this content.
    pub(crate) fn execute_naming(
        &self,
        space_id: &str,
        command: Command,
        content: NamedContent<'_>,
    ) -> Result<Outcome, CommandError> {
        self.execute_all(space_id, &Commands::One(command), Some(content))
    }

    /// The state of a space, with what this service has recorded.
    pub(crate) fn state(&self, space_id: &str) -> Result<Arc<SpaceState>, CommandError> {
        self.executor.state(space_id)
    }

    /// Completes a render, and marks stale what it shows otherwise than it is now.
    pub(crate) fn complete(
        &self,
        space_id: &str,
        command: Command,
        shown: Arc<SpaceState>,
    ) -> Result<Outcome, CommandError> {
        self.execute_all(space_id, &Commands::Completion { command, shown }, None)
    }

    /// Whether a document may be given content, whatever that is.
    pub(crate) fn check_takes_content(
        &self,
        space_id: &str,
        document_id: &str,
    ) -> Result<(), CommandError> {
        let rule = |state: &SpaceState| check_takes_content(state, document_id);
        self.executor.check(space_id, &self.conditions, rule)
    }

    pub(crate) fn execute_all(
        &self,
        space_id: &str,
        commands: &Commands,
        content: Option<NamedContent<'_>>,
    ) -> Result<Outcome, CommandError> {
        let (attribution, conditions) = (&*self.attribution, &*self.conditions);
        let order = Order { space_id, commands, attribution, conditions };
        self.executor.execute(order, content)
    }
}

impl fmt::Debug for SpaceService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpaceService")
            .field("attribution", &self.attribution)
            .field("conditions", &self.conditions)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
