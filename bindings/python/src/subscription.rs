//! Subscriptions: history, then what happens, pulled by threads of Python.

use std::{
    io::{Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures_core::Stream;
use pyo3::{exceptions::PyValueError, prelude::*, types::PyBytes};
use spacefold::{
    Delivery, Position, Subscriber,
    subscribe::{DurableSubscriber, ReceiveError, SubscriptionHandle},
};

use crate::{
    calls,
    errors::{self, OrRaise},
    event::RecordedEvent,
    opened::Kept,
    queue::Queue,
    times,
};

pub(crate) enum Receiver {
    Plain(Subscriber),
    Durable(DurableSubscriber),
}

impl Receiver {
    fn subscriber(&mut self) -> &mut Subscriber {
        match self {
            Self::Plain(subscriber) => subscriber,
            Self::Durable(durable) => durable.subscriber(),
        }
    }
}

struct Receiving {
    receiver: Receiver,
    queue: Queue,
    caught_up: bool,
    skipped: u64,
}

impl Receiving {
    fn take(&mut self, delivery: &Delivery) {
        match delivery {
            Delivery::Events(page) => {
                self.caught_up = false;
                self.queue.fill(page);
            }
            Delivery::CaughtUp { .. } => self.caught_up = true,
            Delivery::Skipped { events, .. } => self.skipped += events,
            _ => {}
        }
    }

    /// Waits for events, at most this long; whether there are some.
    fn receive(&mut self, slice: Duration) -> Result<bool, ReceiveError> {
        if !self.queue.is_empty() {
            return Ok(true);
        }
        while let Some(delivery) = self.receiver.subscriber().recv_timeout(slice)? {
            self.take(&delivery);
            if !self.queue.is_empty() {
                return Ok(true);
            }
            if self.caught_up {
                // Said, so that who asks for it need not wait for the next event.
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Takes what is there; whether there are events. The waker is told when there is more.
    fn poll(&mut self, waker: &Waker) -> Result<bool, ReceiveError> {
        let mut context = Context::from_waker(waker);
        while self.queue.is_empty() {
            match Pin::new(self.receiver.subscriber()).poll_next(&mut context) {
                Poll::Ready(Some(Ok(delivery))) => self.take(&delivery),
                Poll::Ready(Some(Err(error))) => return Err(error),
                Poll::Ready(None) => return Err(ReceiveError::Closed),
                Poll::Pending => return Ok(false),
            }
        }
        Ok(true)
    }

    fn pop_some(&mut self, most: usize) -> Vec<RecordedEvent> {
        std::iter::from_fn(|| self.queue.pop()).take(most).collect()
    }
}

/// Writes a byte to a pipe when there is something to be received: who waits for it waits for a file.
struct Bell(UnixStream);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // A pipe that is full has been heard of.
        let _ = (&self.0).write(&[1]);
    }
}

struct Pipe {
    bell: Arc<Bell>,
    end: UnixStream,
}

/// An open subscription: iterated over, it gives each event, and waits for the next one.
#[pyclass(frozen, module = "spacefold")]
pub(crate) struct Subscription {
    receiving: Kept<Mutex<Receiving>>,
    handle: Kept<SubscriptionHandle>,
    pipe: Mutex<Option<Pipe>>,
}

impl Subscription {
    pub(crate) fn new(mut receiver: Receiver) -> Self {
        let handle = receiver.subscriber().handle();
        let (queue, caught_up, skipped) = (Queue::default(), false, 0);
        let receiving = Receiving { receiver, queue, caught_up, skipped };
        Self {
            receiving: Kept::new(Mutex::new(receiving)),
            handle: Kept::new(handle),
            pipe: Mutex::new(None),
        }
    }

    /// Calls `read` with what is received from, while nobody else receives.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        read: impl FnOnce(&mut Receiving) -> T + Send,
    ) -> PyResult<T> {
        let receiving = self.receiving.get(py)?;
        calls::detached(py, || read(&mut receiving.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Calls `read` with the durable subscriber.
    fn with_durable<T: Send>(
        &self,
        py: Python<'_>,
        read: impl FnOnce(&mut DurableSubscriber) -> T + Send,
    ) -> PyResult<T> {
        let found = self.with(py, |receiving| match &mut receiving.receiver {
            Receiver::Plain(_) => None,
            Receiver::Durable(durable) => Some(read(durable)),
        })?;
        let plain = "the subscription keeps no place: open it by Store.subscribe_durable";
        found.ok_or_else(|| PyValueError::new_err(plain))
    }

    /// Waits for events, at most this long; `false` when none came.
    fn wait(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<bool> {
        let receiving = self.receiving.get(py)?;
        let step = |slice| {
            let mut receiving = receiving.lock().unwrap_or_else(PoisonError::into_inner);
            match receiving.receive(slice) {
                Ok(false) => None,
                Ok(true) => Some(Ok(())),
                Err(error) => Some(Err(error)),
            }
        };
        match calls::waiting(py, timeout, step)? {
            None => Ok(false),
            Some(received) => received.or_raise(py).map(|()| true),
        }
    }
}

#[pymethods]
impl Subscription {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    /// The next event; the iteration ends when the subscription or the store is closed.
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<RecordedEvent>> {
        let receiving = self.receiving.get(py)?;
        loop {
            if let Ok(mut receiving) = receiving.try_lock()
                && let Some(event) = receiving.queue.pop()
            {
                return Ok(Some(event));
            }
            let step = |slice| {
                let mut receiving = receiving.lock().unwrap_or_else(PoisonError::into_inner);
                match receiving.receive(slice) {
                    Ok(false) => None,
                    received => Some(received),
                }
            };
            match calls::waiting(py, None, step) {
                Ok(Some(Err(ReceiveError::Closed))) => return Ok(None),
                // Its store is closed by then, or about to be.
                Err(_) if calls::is_exiting() => return Ok(None),
                Err(error) => return Err(error),
                Ok(Some(Err(error))) => return Err(error).or_raise(py),
                Ok(Some(Ok(_)) | None) => {}
            }
        }
    }

    /// The next event, waited for this many seconds, or for ever.
    ///
    /// Raises `WaitTimeout` when none came, `ClosedError` when the subscription is closed.
    #[pyo3(signature = (timeout = None))]
    fn recv(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<RecordedEvent> {
        let timeout = times::timeout(timeout)?;
        loop {
            if let Some(event) = self.with(py, |receiving| receiving.queue.pop())? {
                return Ok(event);
            }
            if !self.wait(py, timeout)? {
                return Err(errors::timed_out(py, "no event came in time"));
            }
        }
    }

    /// The next events, at most `max`: waits for the first of them this many seconds, or for ever.
    /// Empty when none came in time.
    #[pyo3(signature = (max = 4096, timeout = None))]
    fn recv_many(
        &self,
        py: Python<'_>,
        max: usize,
        timeout: Option<f64>,
    ) -> PyResult<Vec<RecordedEvent>> {
        let timeout = times::timeout(timeout)?;
        self.wait(py, timeout)?;
        self.with(py, |receiving| receiving.pop_some(max))
    }

    /// The events that are here, at most `max`, without waiting. When there are none, the file of
    /// `fileno` becomes readable once there are.
    #[pyo3(signature = (max = 4096))]
    fn poll(&self, py: Python<'_>, max: usize) -> PyResult<Vec<RecordedEvent>> {
        self.fileno(py)?;
        let receiving = self.receiving.get(py)?;
        let pipe = &self.pipe;
        let received = calls::detached(py, || {
            let pipe = pipe.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(pipe) = &*pipe else { return Ok(Vec::new()) };
            let mut heard = [0; 64];
            while (&pipe.end).read(&mut heard).is_ok_and(|bytes| bytes == heard.len()) {}
            let mut receiving = receiving.lock().unwrap_or_else(PoisonError::into_inner);
            receiving.poll(&Waker::from(Arc::clone(&pipe.bell)))?;
            Ok(receiving.pop_some(max))
        })?;
        received.map_err(|error: ReceiveError| error).or_raise(py)
    }

    /// The file that becomes readable when there is something to `poll` for.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        self.receiving.get(py)?;
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipe) = &*pipe {
            return Ok(pipe.end.as_raw_fd());
        }
        let (end, bell) = UnixStream::pair()?;
        end.set_nonblocking(true)?;
        bell.set_nonblocking(true)?;
        let fd = end.as_raw_fd();
        *pipe = Some(Pipe { bell: Arc::new(Bell(bell)), end });
        Ok(fd)
    }

    /// The position up to which everything was received, or does not pass the filter.
    #[getter]
    fn position(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |receiving| receiving.receiver.subscriber().position().get())
    }

    /// How many events the durable head is ahead of that.
    #[getter]
    fn lag(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |receiving| receiving.receiver.subscriber().lag())
    }

    /// Whether the history is over: whether nothing was left when it was last looked for more.
    #[getter]
    fn caught_up(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |receiving| receiving.caught_up && receiving.queue.is_empty())
    }

    /// How many events were left out since the subscription was too far behind and its policy is
    /// `"skip_oldest"`.
    #[getter]
    fn skipped(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |receiving| receiving.skipped)
    }

    /// Of a durable subscription: the position up to which it was acknowledged.
    #[getter]
    fn acknowledged(&self, py: Python<'_>) -> PyResult<u64> {
        self.with_durable(py, |durable| durable.acknowledged().get())
    }

    /// Of a durable subscription: the bytes that were kept with the place.
    #[getter]
    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let result = self.with_durable(py, |durable| durable.result().to_vec())?;
        Ok(PyBytes::new(py, &result))
    }

    /// Of a durable subscription: keeps the place after an event, and with it some bytes. A kill
    /// within a second may undo it, unless `sync` comes first.
    #[pyo3(signature = (event, result = None))]
    fn ack(
        &self,
        py: Python<'_>,
        event: &Bound<'_, PyAny>,
        result: Option<Vec<u8>>,
    ) -> PyResult<()> {
        let position = match event.extract::<u64>() {
            Ok(position) => position,
            Err(_) => event.getattr("position")?.extract()?,
        };
        let position = Position::new(position);
        let acknowledged = self.with_durable(py, |durable| match result {
            Some(result) => durable.ack_with(position, result),
            None => durable.ack(position),
        })?;
        acknowledged.or_raise(py)
    }

    /// Of a durable subscription: makes the place outlive a kill as it is now.
    fn sync(&self, py: Python<'_>) -> PyResult<()> {
        self.with_durable(py, |durable| durable.sync())?.or_raise(py)
    }

    /// Ends the subscription, for whoever waits for its events too.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let handle = self.handle.get(py)?;
        py.detach(|| handle.close());
        Ok(())
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(
        &self,
        py: Python<'_>,
        _exception: &Bound<'_, pyo3::types::PyTuple>,
    ) -> PyResult<()> {
        self.close(py)
    }
}
