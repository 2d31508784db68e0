//! A server on a real listener, asked by a client that knows nothing of it.

#[cfg(test)]
mod appending;
#[cfg(test)]
mod client;
#[cfg(test)]
mod commanding;
#[cfg(test)]
mod console;
#[cfg(test)]
mod contents;
#[cfg(test)]
mod documented;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod local;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod projecting;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod request_ids;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod subscriptions;
#[cfg(test)]
#[cfg(feature = "tls")]
mod tls;
#[cfg(test)]
mod who_may;
