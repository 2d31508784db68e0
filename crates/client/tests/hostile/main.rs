//! A client beside servers that answer whatever they like.

#[cfg(test)]
mod answering;
#[cfg(test)]
mod answers;
