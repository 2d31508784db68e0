//! The end of serving: no stream goes on, what is under way is answered.

use std::fmt;

use tokio::sync::watch;

/// Begins the end of serving, for whoever holds a clone: streams get `closing` and end, long polls
/// are answered, `/readyz` says no, and [`serve`](crate::serve) takes no further connection and
/// returns once all requests are answered.
///
/// # Examples
/// ```
/// use spacefold_server::Drain;
/// let drain = Drain::default();
/// let another = drain.clone();
/// assert!(!another.has_started());
/// drain.start();
/// assert!(another.has_started());
/// ```
#[derive(Clone)]
pub struct Drain(watch::Sender<bool>);

impl Default for Drain {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Drain {
    /// Begins the end. Calling it again does nothing.
    pub fn start(&self) {
        self.0.send_replace(true);
    }

    /// Whether it has begun.
    #[must_use]
    pub fn has_started(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it begins.
    pub(crate) async fn started(&self) {
        let mut told = self.0.subscribe();
        // The sender is there as long as this.
        let _ = told.wait_for(|has_started| *has_started).await;
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Drain").field(&self.has_started()).finish()
    }
}
