//! What takes longer than a request: it goes on by itself, and is asked for.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use serde::Serialize;
use serde_json::Value;
use spacefold::{EventId, Timestamp};
use tokio::sync::watch;

use crate::{drain::Drain, problem::HttpProblem};

/// Jobs that run at a time.
pub(crate) const MAX_RUNNING_JOBS: usize = 4;

/// Jobs that are known after they have ended: of more, the oldest are forgotten.
pub(crate) const MAX_ENDED_JOBS: usize = 64;

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum JobStatus {
    Running,
    Done,
    Failed,
    Cancelled,
}

/// What came of a job.
pub(crate) enum JobEnd {
    Done(Value),
    Failed(HttpProblem),
    Cancelled,
}

/// Something that goes on by itself.
pub(crate) struct Job {
    id: String,
    kind: &'static str,
    started_at: Timestamp,
    /// Events that there are to be read.
    total: u64,
    done: AtomicU64,
    is_cancelled: AtomicBool,
    ended: Mutex<Option<(Timestamp, JobEnd)>>,
    has_ended: watch::Sender<bool>,
}

/// A job, as it is told.
#[derive(Serialize)]
pub(crate) struct PrintedJob {
    pub(crate) id: String,
    kind: &'static str,
    pub(crate) status: JobStatus,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
    /// Events that were read, of those that there were when it began.
    progress: PrintedProgress,
    /// Of a job that is done.
    result: Option<Value>,
    /// Of one that has failed.
    problem: Option<Value>,
    pub(crate) href: String,
}

#[derive(Serialize)]
struct PrintedProgress {
    events: u64,
    of: u64,
}

/// The jobs of a router.
#[derive(Default)]
pub(crate) struct Jobs(Mutex<VecDeque<Arc<Job>>>);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Jobs {
    /// Begins a job, which ends early once the server drains.
    pub(crate) fn start(
        &self,
        (kind, total): (&'static str, u64),
        drain: &Drain,
        work: impl FnOnce(&Job) -> JobEnd + Send + 'static,
    ) -> Result<Arc<Job>, HttpProblem> {
        let mut jobs = locked(&self.0);
        let running = jobs.iter().filter(|job| job.status() == JobStatus::Running).count();
        if running >= MAX_RUNNING_JOBS {
            let detail = format_args!("{running} jobs run, the most that may");
            return Err(HttpProblem::unavailable("too_many_jobs", detail));
        }
        forget_oldest(&mut jobs);
        let job = Arc::new(Job {
            id: EventId::new().to_string(),
            kind,
            started_at: Timestamp::now(),
            total,
            done: AtomicU64::new(0),
            is_cancelled: AtomicBool::new(false),
            ended: Mutex::default(),
            has_ended: watch::Sender::new(false),
        });
        let running = Arc::clone(&job);
        let begun = thread::Builder::new().name("spacefold-job".to_owned()).spawn(move || {
            let end = catch_unwind(AssertUnwindSafe(|| work(&running)));
            running.end(end.unwrap_or_else(|_| {
                let detail = "the job was broken off by a fault of the server";
                JobEnd::Failed(HttpProblem::internal("internal", detail))
            }));
        });
        begun.map_err(|error| HttpProblem::unavailable("busy", error))?;
        let (drain, cancelled) = (drain.clone(), Arc::clone(&job));
        tokio::spawn(async move {
            let mut has_ended = cancelled.has_ended.subscribe();
            tokio::select! {
                () = drain.started() => cancelled.cancel(),
                _ = has_ended.wait_for(|ended| *ended) => {}
            }
        });
        jobs.push_back(Arc::clone(&job));
        Ok(job)
    }

    /// Every job that is known, the newest first.
    pub(crate) fn list(&self) -> Vec<PrintedJob> {
        locked(&self.0).iter().rev().map(|job| job.printed()).collect()
    }

    pub(crate) fn of(&self, id: &str) -> Result<Arc<Job>, HttpProblem> {
        let found = locked(&self.0).iter().find(|job| job.id == id).cloned();
        found.ok_or_else(|| {
            let id: String = id.chars().take(80).collect();
            let detail = format_args!(
                "there is no job {id:?}; of those that have ended {MAX_ENDED_JOBS} are known"
            );
            HttpProblem::not_found("unknown_job", detail)
        })
    }
}

fn forget_oldest(jobs: &mut VecDeque<Arc<Job>>) {
    let is_over = |job: &Arc<Job>| job.status() != JobStatus::Running;
    let ended = jobs.iter().filter(|job| is_over(job)).count();
    let mut too_many = ended.saturating_sub(MAX_ENDED_JOBS);
    jobs.retain(|job| {
        let is_forgotten = too_many > 0 && is_over(job);
        too_many -= usize::from(is_forgotten);
        !is_forgotten
    });
}

impl Job {
    /// Notes how many events have been read.
    pub(crate) fn progress(&self, events: u64) {
        self.done.fetch_max(events, Ordering::Relaxed);
    }

    /// What ends the job, once it is set.
    pub(crate) const fn cancelled(&self) -> &AtomicBool {
        &self.is_cancelled
    }

    /// Tells the job to end; what has ended stays as it is.
    pub(crate) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Release);
    }

    fn end(&self, end: JobEnd) {
        *locked(&self.ended) = Some((Timestamp::now(), end));
        self.has_ended.send_replace(true);
    }

    pub(crate) fn status(&self) -> JobStatus {
        match &*locked(&self.ended) {
            None => JobStatus::Running,
            Some((_, JobEnd::Done(_))) => JobStatus::Done,
            Some((_, JobEnd::Failed(_))) => JobStatus::Failed,
            Some((_, JobEnd::Cancelled)) => JobStatus::Cancelled,
        }
    }

    /// Waits until the job has ended.
    pub(crate) async fn ended(&self) {
        let mut has_ended = self.has_ended.subscribe();
        // The sender is there as long as this.
        let _ = has_ended.wait_for(|ended| *ended).await;
    }

    pub(crate) fn printed(&self) -> PrintedJob {
        let status = self.status();
        let ended = locked(&self.ended);
        let (result, problem) = match &*ended {
            Some((_, JobEnd::Done(result))) => (Some(result.clone()), None),
            Some((_, JobEnd::Failed(problem))) => {
                (None, Some(serde_json::from_str(&problem.to_json()).unwrap_or_default()))
            }
            _ => (None, None),
        };
        PrintedJob {
            href: format!("/v1/jobs/{}", self.id),
            id: self.id.clone(),
            kind: self.kind,
            status,
            started_at: self.started_at,
            ended_at: ended.as_ref().map(|(time, _)| *time),
            progress: PrintedProgress { events: self.done.load(Ordering::Relaxed), of: self.total },
            result,
            problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(jobs: &Jobs, end: JobEnd) -> Arc<Job> {
        let job = jobs.start(("test", 1), &Drain::default(), |_| end).unwrap();
        job.ended().await;
        job
    }

    #[tokio::test]
    async fn few_ended_jobs_are_known_and_few_run() {
        let jobs = Jobs::default();
        let first = run(&jobs, JobEnd::Done(Value::Null)).await;
        for _ in 0..MAX_ENDED_JOBS {
            run(&jobs, JobEnd::Cancelled).await;
        }
        assert_eq!(jobs.list().len(), MAX_ENDED_JOBS + 1);
        run(&jobs, JobEnd::Cancelled).await;
        assert_eq!(jobs.list().len(), MAX_ENDED_JOBS + 1);
        assert_eq!(jobs.of(&first.id).map(|_| ()).unwrap_err().code(), "unknown_job");

        let drain = Drain::default();
        let until_cancelled = |job: &Job| {
            while !job.cancelled().load(Ordering::Acquire) {
                thread::yield_now();
            }
            JobEnd::Cancelled
        };
        let start = || jobs.start(("test", 1), &drain, until_cancelled);
        let running: Vec<_> = (0..MAX_RUNNING_JOBS).map(|_| start().unwrap()).collect();
        assert_eq!(start().map(|_| ()).unwrap_err().code(), "too_many_jobs");
        drain.start();
        for job in &running {
            job.ended().await;
            assert_eq!(job.status(), JobStatus::Cancelled);
        }
    }

    #[tokio::test]
    async fn a_job_that_panics_has_failed() {
        let jobs = Jobs::default();
        let job = jobs.start(("test", 1), &Drain::default(), |_| panic!("as it is meant to"));
        let job = job.unwrap();
        job.ended().await;
        assert_eq!(job.status(), JobStatus::Failed);
        assert_eq!(job.printed().problem.unwrap()["code"], "internal");
    }
}
