//! Every example in the documentation of the crates that are published, and in the guide, as a
//! documentation test of a crate that depends on `spacefold`, `spacefold-archive` and nothing else.
//!
//! Whoever reads an example has the facade; the crates behind it are none of theirs. So an example
//! names `spacefold`, whichever crate it stands in, and no crate that helps with tests.

include!(concat!(env!("OUT_DIR"), "/examples.rs"));

#[cfg(test)]
mod tests {
    #[test]
    fn the_examples_are_found() {
        let found = super::COUNT;
        assert!(found > 60, "where are the examples? there are {found}");
    }
}
