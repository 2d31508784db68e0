//! Files of frames that grow at their end alone: what becomes of a place where no frame reads.
//!
//! A frame is whole or it is not: its checksum says so. Where one does not read, either the power
//! went while it was being written, or something that was durable is damaged, and nothing at the
//! place itself tells the two apart. What comes later does: a frame says up to where the file was
//! synced when it was written, and so do records beside the file. The rule:
//!
//! - A place before what is known to be synced is **damaged**. What was there was acknowledged: it is
//!   mended or reported, and reading goes on after it.
//! - Any other is a **torn tail**. Nothing from there on was acknowledged, whole frames among it too,
//!   since what was written in front of them is lost; the file ends there.
//!
//! The journal of the log and the packs of content are such files. Their frames differ, the rule
//! does not.

/// Why a place holds no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// It was never acknowledged: the file ends there.
    Torn,
    /// It was synced, and is damaged.
    Damaged,
}

impl Gap {
    /// What the place at `begin` is, where everything before `synced` is known to be synced. Places
    /// are offsets, or whatever else grows along a file.
    pub fn at<P: Ord>(begin: P, synced: P) -> Self {
        if begin < synced { Self::Damaged } else { Self::Torn }
    }
}

/// The first place from `from` on, in steps of what frames are aligned to, at which `frame` finds
/// one; `None` when none is before `end`.
///
/// # Errors
/// As `frame`.
pub fn next_frame<F, E>(
    from: u64,
    end: u64,
    alignment: u64,
    mut frame: impl FnMut(u64) -> Result<Option<F>, E>,
) -> Result<Option<(u64, F)>, E> {
    let mut offset = from;
    while offset < end {
        if let Some(found) = frame(offset)? {
            return Ok(Some((offset, found)));
        }
        offset += alignment;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn a_gap_is_torn_unless_it_begins_before_what_is_synced() {
        assert_eq!([4, 5, 6].map(|begin| Gap::at(begin, 5)), [Gap::Damaged, Gap::Torn, Gap::Torn]);
    }

    #[test]
    fn the_next_frame_is_looked_for_where_frames_begin_and_nowhere_else() {
        let mut asked = Vec::new();
        let mut look = |from, end, there: Option<u64>| {
            next_frame::<_, Infallible>(from, end, 8, |offset| {
                asked.push(offset);
                Ok((Some(offset) == there).then_some("frame"))
            })
            .unwrap()
        };
        assert_eq!(look(16, 64, Some(32)), Some((32, "frame")));
        assert_eq!(look(16, 32, Some(32)), None);
        assert_eq!(look(64, 64, None), None);
        assert_eq!(asked, [16, 24, 32, 16, 24]);
    }
}
