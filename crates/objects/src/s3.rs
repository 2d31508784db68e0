//! Objects in a bucket of S3, or of a service like it.

mod bucket_url;
mod runtime;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::{
    BackoffConfig, ClientOptions, Error as StoreError, ObjectStore, ObjectStoreExt as _, PutMode,
    PutPayload, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey},
    list::{PaginatedListOptions, PaginatedListStore as _},
    path::Path,
};
use spacefold_event_core::{StorageError, bytes::to_u64, lock::Lock};
use uuid::Uuid;

pub use self::bucket_url::InvalidBucketUrl;
use self::{bucket_url::BucketUrl, runtime::RuntimeThread};
use crate::{
    error::{ObjectError, ObjectErrorKind},
    key::ObjectKey,
    storage::ObjectStorage,
};

/// How a bucket is reached. Credentials, region and endpoint are those of the usual variables
/// (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT_URL`,
/// …), or of the machine's role, unless told otherwise.
#[derive(Clone)]
pub struct S3Options {
    endpoint: Option<String>,
    /// The id of a key, and the secret.
    credentials: Option<(String, String)>,
    timeout: Duration,
    tries: usize,
    first_pause: Duration,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            endpoint: None,
            credentials: None,
            timeout: Duration::from_secs(60),
            tries: 6,
            first_pause: Duration::from_millis(100),
        }
    }
}

/// Without the secret.
impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key_id = self.credentials.as_ref().map(|(key_id, _)| key_id);
        let mut shown = f.debug_struct("S3Options");
        shown.field("endpoint", &self.endpoint).field("key_id", &key_id);
        shown.field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl S3Options {
    /// The id of an access key, and its secret.
    #[must_use]
    pub fn credentials(mut self, key_id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.credentials = Some((key_id.into(), secret.into()));
        self
    }

    /// Where the service is, as a URL: `http:` too where it says so.
    #[must_use]
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// How long an answer may take; 60 s unless told. An object has at most 64 MiB.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often a call is made that the service is too busy for, or does not answer: 6 times unless told,
    /// with a pause before the second of `first_pause`, 100 ms unless told, and longer ones after it.
    #[must_use]
    pub const fn tries(mut self, tries: usize, first_pause: Duration) -> Self {
        self.tries = if tries == 0 { 1 } else { tries };
        self.first_pause = first_pause;
        self
    }
}

/// A bucket of S3 or of a service like it, or what is below a prefix of one.
///
/// Calls wait for their answers, on whatever thread: the client has a runtime on a thread of its own. Calls
/// that are refused for being too many, or get no answer, are made again.
///
/// # Durability
/// What the service has answered is there for good by the word of the service.
///
/// # Conditions
/// Before the first [`put_new`](ObjectStorage::put_new) two are tried on an object that is drawn at random,
/// and removed after: a service that takes both accepts `If-None-Match: *` and ignores it, and is refused.
pub struct S3Storage {
    name: String,
    prefix: String,
    /// Makes calls again by itself: those that may be made twice.
    retrying: Arc<AmazonS3>,
    /// Makes none again: whether a put that must not be made twice was done is asked in between.
    once: Arc<AmazonS3>,
    options: S3Options,
    /// Whether conditional puts were tried.
    is_conditional: Lock<bool>,
    runtime: RuntimeThread,
}

impl fmt::Debug for S3Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Storage").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Removals that are under way at a time, at the most.
const REMOVALS_AT_ONCE: usize = 16;
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl S3Storage {
    /// The bucket and prefix of a URL, `s3://bucket/prefix`. Nothing is asked of the service yet.
    ///
    /// # Errors
    /// [`ObjectErrorKind::Refused`]: the URL is none, or the variables or options do not fit together.
    pub fn at(url: &str, options: S3Options) -> Result<Self, ObjectError> {
        let refused = |cause: Box<dyn std::error::Error + Send + Sync>| {
            let cause = StorageError::new(format!("opening {url:?}"), cause);
            ObjectError::new(ObjectErrorKind::Refused, cause)
        };
        let BucketUrl { bucket, prefix } =
            url.parse().map_err(|error: InvalidBucketUrl| refused(error.into()))?;
        let client = |retries: usize| {
            let backoff = BackoffConfig {
                init_backoff: options.first_pause,
                max_backoff: LONGEST_PAUSE.max(options.first_pause),
                base: 2.0,
            };
            let retry = RetryConfig {
                backoff,
                max_retries: retries,
                retry_timeout: options.timeout.saturating_mul(3),
            };
            let wire = ClientOptions::new()
                .with_timeout(options.timeout)
                .with_connect_timeout(options.timeout.min(Duration::from_secs(10)));
            let mut builder =
                AmazonS3Builder::from_env().with_bucket_name(&bucket).with_retry(retry);
            builder = builder.with_client_options(wire);
            if let Some(endpoint) = &options.endpoint {
                // The more special of the two, which goes before the other.
                builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
            }
            if let Some((key_id, secret)) = &options.credentials {
                builder = builder.with_access_key_id(key_id).with_secret_access_key(secret);
            }
            let of = |key| builder.get_config_value(&key);
            let endpoint = of(AmazonS3ConfigKey::S3Endpoint);
            let endpoint = endpoint.or_else(|| of(AmazonS3ConfigKey::Endpoint));
            // Whoever names a place without encryption means it.
            let is_plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
            builder.with_allow_http(is_plain).build().map(Arc::new)
        };
        let retrying = client(options.tries - 1).map_err(|error| refused(error.into()))?;
        let once = client(0).map_err(|error| refused(error.into()))?;
        let runtime = RuntimeThread::start().map_err(|error| refused(error.into()))?;
        let name = format!("s3://{bucket}/{prefix}").trim_end_matches('/').to_owned();
        let is_conditional = Lock::new(false);
        Ok(Self { name, prefix, retrying, once, options, is_conditional, runtime })
    }

    fn path(&self, key: &ObjectKey) -> Path {
        // Names of keys have nothing in them that would be encoded; the prefix was made of such too.
        Path::from_iter(
            self.prefix.split('/').chain(key.as_str().split('/')).filter(|it| !it.is_empty()),
        )
    }

    fn doing(&self, what: &str, key: &ObjectKey) -> String {
        format!("{what} {key} in {}", self.name)
    }

    /// Tries whether the service keeps an object that is there, once.
    fn check_conditions(&self) -> Result<(), ObjectError> {
        let mut is_conditional = self.is_conditional.lock();
        if *is_conditional {
            return Ok(());
        }
        let key = ObjectKey::new(format!("probe-{}", Uuid::new_v4().simple()));
        let first = self.put_if_absent(&key, b"first");
        let second = first.and_then(|_| self.put_if_absent(&key, b"second"));
        // What cannot be removed is of no kind that anybody lists.
        let _ = self.remove(std::slice::from_ref(&key));
        if second? {
            let what =
                "the service replaces objects that a put with `If-None-Match: *` is to leave";
            let cause = StorageError::new(self.doing("putting", &key), what);
            return Err(ObjectError::new(ObjectErrorKind::Unconditional, cause));
        }
        *is_conditional = true;
        Ok(())
    }

    /// Puts unless one is there, and again after an answer that does not say whether it did.
    fn put_if_absent(&self, key: &ObjectKey, bytes: &[u8]) -> Result<bool, ObjectError> {
        let payload = PutPayload::from_bytes(Bytes::copy_from_slice(bytes));
        let (mut pause, mut may_be_ours) = (self.options.first_pause, false);
        let mut tries = 0;
        loop {
            tries += 1;
            let (once, path, payload) = (Arc::clone(&self.once), self.path(key), payload.clone());
            let put = self
                .runtime
                .run(async move { once.put_opts(&path, payload, PutMode::Create.into()).await });
            let error = match put {
                Ok(_) => return Ok(true),
                Err(StoreError::AlreadyExists { .. }) => {
                    // Also the answer where two were putting at once: neither may have been then.
                    match self.get(key, to_u64(bytes.len()))? {
                        Some(there) => return Ok(may_be_ours && there == bytes),
                        None => "two were putting it at once, and it is not there".into(),
                    }
                }
                Err(error) if is_refusal(&error) => {
                    let kind = match error {
                        StoreError::NotImplemented { .. } => ObjectErrorKind::Unconditional,
                        _ => ObjectErrorKind::Refused,
                    };
                    let cause = StorageError::new(self.doing("putting", key), error);
                    return Err(ObjectError::new(kind, cause));
                }
                Err(error) => {
                    may_be_ours = true;
                    Box::from(error)
                }
            };
            if tries >= self.options.tries {
                let cause: Box<dyn std::error::Error + Send + Sync> = error;
                let cause = StorageError::new(self.doing("putting", key), cause);
                return Err(ObjectError::new(ObjectErrorKind::OutcomeUnknown, cause));
            }
            std::thread::sleep(pause);
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }
}

impl ObjectStorage for S3Storage {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> Result<(), ObjectError> {
        let payload = PutPayload::from_bytes(Bytes::copy_from_slice(bytes));
        let (client, path) = (Arc::clone(&self.retrying), self.path(key));
        let put = self.runtime.run(async move { client.put(&path, payload).await });
        put.map(|_| ()).map_err(|error| failed_change(self.doing("putting", key), error))
    }

    fn put_new(&self, key: &ObjectKey, bytes: &[u8]) -> Result<bool, ObjectError> {
        self.check_conditions()?;
        self.put_if_absent(key, bytes)
    }

    fn get(&self, key: &ObjectKey, most: u64) -> Result<Option<Vec<u8>>, ObjectError> {
        let (client, path) = (Arc::clone(&self.retrying), self.path(key));
        let got = self.runtime.run(async move {
            let found = match client.get(&path).await {
                Err(StoreError::NotFound { .. }) => return Ok(None),
                found => found?,
            };
            let wanted = found.meta.size.min(most.saturating_add(1));
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
            let mut bytes = Vec::with_capacity(wanted);
            let mut stream = found.into_stream();
            while bytes.len() < wanted
                && let Some(next) = stream.try_next().await?
            {
                bytes.extend(next.into_iter().take(wanted - bytes.len()));
            }
            Ok::<_, StoreError>(Some((bytes, wanted)))
        });
        let doing = || self.doing("getting", key);
        match got.map_err(|error| failed_reading(doing(), error))? {
            None => Ok(None),
            Some((bytes, wanted)) if bytes.len() == wanted => Ok(Some(bytes)),
            Some((bytes, wanted)) => {
                let what = format!("{} of {wanted} bytes came", bytes.len());
                let cause = StorageError::new(doing(), what);
                Err(ObjectError::new(ObjectErrorKind::Unavailable, cause))
            }
        }
    }

    fn list(
        &self,
        folder: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<String>, ObjectError> {
        let prefix: String = [self.prefix.as_str(), folder]
            .into_iter()
            .filter(|it| !it.is_empty())
            .map(|it| format!("{it}/"))
            .collect();
        let mut names: Vec<String> = Vec::new();
        let mut page_token = None;
        let doing = || format!("listing {folder:?} in {}", self.name);
        while names.len() < most {
            let options = PaginatedListOptions {
                offset: after.map(|after| format!("{prefix}{after}")),
                delimiter: Some("/".into()),
                max_keys: Some((most - names.len()).min(1_000)),
                page_token: page_token.take(),
                ..PaginatedListOptions::default()
            };
            let (client, within) = (Arc::clone(&self.retrying), prefix.clone());
            let page = self.runtime.run(async move {
                let within = Some(within.as_str()).filter(|it| !it.is_empty());
                client.list_paginated(within, options).await
            });
            let page = page.map_err(|error| failed_reading(doing(), error))?;
            let found = page.result.objects.iter().filter_map(|it| it.location.filename());
            names.extend(
                found.map(str::to_owned).filter(|it| after.is_none_or(|after| it.as_str() > after)),
            );
            match page.page_token {
                Some(next) => page_token = Some(next),
                None => break,
            }
        }
        // Services list in this order, all but the few that keep buckets of one zone.
        names.sort_unstable();
        names.dedup();
        names.truncate(most);
        Ok(names)
    }

    fn remove(&self, keys: &[ObjectKey]) -> Result<(), ObjectError> {
        let paths: Vec<Path> = keys.iter().map(|key| self.path(key)).collect();
        let client = Arc::clone(&self.retrying);
        let removed = self.runtime.run(async move {
            let each = stream::iter(paths).map(|path| {
                let client = Arc::clone(&client);
                async move {
                    match client.delete(&path).await {
                        Err(StoreError::NotFound { .. }) => Ok(()),
                        removed => removed,
                    }
                }
            });
            each.buffer_unordered(REMOVALS_AT_ONCE).try_collect::<()>().await
        });
        let doing = || match keys {
            [key] => self.doing("removing", key),
            keys => format!("removing {} objects in {}", keys.len(), self.name),
        };
        removed.map_err(|error| failed_change(doing(), error))
    }
}

/// Whether the service has understood a call, and refused it for good.
const fn is_refusal(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::NotFound { .. }
            | StoreError::InvalidPath { .. }
            | StoreError::NotSupported { .. }
            | StoreError::NotImplemented { .. }
            | StoreError::PermissionDenied { .. }
            | StoreError::Unauthenticated { .. }
            | StoreError::UnknownConfigurationKey { .. }
    )
}

fn failed_change(doing: String, error: StoreError) -> ObjectError {
    let kind = match is_refusal(&error) {
        true => ObjectErrorKind::Refused,
        false => ObjectErrorKind::OutcomeUnknown,
    };
    ObjectError::new(kind, StorageError::new(doing, error))
}

fn failed_reading(doing: String, error: StoreError) -> ObjectError {
    let kind = match is_refusal(&error) {
        true => ObjectErrorKind::Refused,
        false => ObjectErrorKind::Unavailable,
    };
    ObjectError::new(kind, StorageError::new(doing, error))
}
