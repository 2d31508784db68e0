//! Zstandard input: any number of frames, each checked against its checksum.

use std::{
    io::{self, BufRead, Read},
    mem,
};

use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

/// Decodes a stream of Zstandard frames.
pub(crate) struct ZstdReader<R> {
    source: R,
    decoder: FrameDecoder,
    state: DecoderState,
}

enum DecoderState {
    BetweenFrames,
    InFrame,
    /// What was decoded before the failure is given first.
    Failed(io::Error),
}

/// An empty last block and a checksum: after them the decoder gives what it has held back.
const END_OF_FRAME: &[u8] = &[1, 0, 0, 0, 0, 0, 0];

impl<R: BufRead> ZstdReader<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, decoder: FrameDecoder::new(), state: DecoderState::BetweenFrames }
    }

    fn begin_frame(&mut self) -> io::Result<()> {
        match self.decoder.reset(&mut self.source) {
            Ok(()) => self.state = DecoderState::InFrame,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let length = u64::from(length);
                let skipped = io::copy(&mut (&mut self.source).take(length), &mut io::sink())?;
                if skipped < length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Err(error) => return Err(self.explain(&error)),
        }
        Ok(())
    }

    fn decode_block(&mut self) {
        let one = || BlockDecodingStrategy::UptoBlocks(1);
        if let Err(error) = self.decoder.decode_blocks(&mut self.source, one()) {
            self.state = DecoderState::Failed(self.explain(&error));
            // If even that fails, what was held back is lost with the rest.
            let _ = self.decoder.decode_blocks(END_OF_FRAME, one());
        }
    }

    fn explain(&mut self, error: &FrameDecoderError) -> io::Error {
        match self.source.fill_buf() {
            Err(error) => error,
            Ok([]) => {
                io::Error::new(io::ErrorKind::UnexpectedEof, "the zstd data ends in the middle")
            }
            Ok(_) => io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the zstd data is damaged: {error}"),
            ),
        }
    }

    fn end_frame(&mut self) -> io::Result<()> {
        self.state = DecoderState::BetweenFrames;
        let stated = self.decoder.get_checksum_from_data();
        if stated.is_some() && stated != self.decoder.get_calculated_checksum() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the checksum of a zstd frame does not match",
            ));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match &mut self.state {
                DecoderState::BetweenFrames => {
                    if self.source.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    self.begin_frame()?;
                }
                _ if self.decoder.can_collect() > 0 => return self.decoder.read(buffer),
                DecoderState::Failed(error) => {
                    let again = io::Error::new(error.kind(), error.to_string());
                    return Err(mem::replace(error, again));
                }
                DecoderState::InFrame if self.decoder.is_finished() => self.end_frame()?,
                DecoderState::InFrame => self.decode_block(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn read(bytes: &[u8]) -> (Vec<u8>, io::Result<usize>) {
        let mut decoded = Vec::new();
        let outcome = ZstdReader::new(bytes).read_to_end(&mut decoded);
        (decoded, outcome)
    }

    fn frame(text: &[u8]) -> Vec<u8> {
        compress_to_vec(text, CompressionLevel::Fastest)
    }

    #[test]
    fn frames_follow_each_other_with_others_to_be_skipped_in_between() {
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let bytes = [frame(b"one "), skipped, frame(b"two")].concat();
        let (decoded, outcome) = read(&bytes);
        assert_eq!(outcome.unwrap(), 7);
        assert_eq!(decoded, b"one two");
    }

    #[test]
    fn what_comes_before_the_end_of_a_cut_frame_is_given() {
        let text: Vec<u8> =
            (0..100_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
        let bytes = frame(&text);
        let (decoded, outcome) = read(&bytes[..bytes.len() - 10]);
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(decoded.len() >= 100_000 && text.starts_with(&decoded));
    }
}
