//! Variable-length integers as bincode has them, with short cuts: whole lists, and single ones
//! that are small.

use crate::bytes::{to_u64, to_usize};
use bincode::{
    Decode,
    de::{Decoder, read::Reader},
};

/// Bytes that are not what they should be. It says no more, so that results are small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The largest number that is its own byte; larger ones follow a byte that says how long they are.
const MAX_ONE_BYTE: u8 = 250;
const TWO_BYTES: u8 = 251;
const FOUR_BYTES: u8 = 252;
const EIGHT_BYTES: u8 = 253;

/// Writes bytes, led by their number.
pub(crate) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_len(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Writes the number of entries of a list.
pub(crate) fn put_len(len: usize, out: &mut Vec<u8>) {
    put_u64(to_u64(len), out);
}

/// Writes a list.
pub(crate) fn put_u32s(numbers: impl ExactSizeIterator<Item = u32>, out: &mut Vec<u8>) {
    put_len(numbers.len(), out);
    out.reserve(numbers.len());
    numbers.for_each(|number| put_u32(number, out));
}

/// Writes a list.
pub(crate) fn put_u64s(numbers: impl ExactSizeIterator<Item = u64>, out: &mut Vec<u8>) {
    put_len(numbers.len(), out);
    out.reserve(numbers.len());
    numbers.for_each(|number| put_u64(number, out));
}

/// Writes a list of numbers with sign: those that are near 0 are short.
pub(crate) fn put_i64s(numbers: impl ExactSizeIterator<Item = i64>, out: &mut Vec<u8>) {
    put_u64s(numbers.map(|number| (number << 1 ^ number >> 63).cast_unsigned()), out);
}

fn put_u32(number: u32, out: &mut Vec<u8>) {
    match (u8::try_from(number), u16::try_from(number)) {
        (Ok(byte @ 0..=MAX_ONE_BYTE), _) => out.push(byte),
        (_, Ok(number)) => {
            let [a, b] = number.to_le_bytes();
            out.extend_from_slice(&[TWO_BYTES, a, b]);
        }
        _ => {
            let [a, b, c, d] = number.to_le_bytes();
            out.extend_from_slice(&[FOUR_BYTES, a, b, c, d]);
        }
    }
}

fn put_u64(number: u64, out: &mut Vec<u8>) {
    match u32::try_from(number) {
        Ok(number) => put_u32(number, out),
        Err(_) => {
            let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
            out.extend_from_slice(&[EIGHT_BYTES, a, b, c, d, e, f, g, h]);
        }
    }
}

/// Bytes that lists are read from, one after the other.
pub(crate) struct Lists<'a>(pub(crate) &'a [u8]);

impl<'a> Lists<'a> {
    /// Reads bytes that are led by their number.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.len()?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// Reads the number of entries of a list. There are as many bytes and more, or it is refused.
    pub(crate) fn len(&mut self) -> Result<usize, Malformed> {
        let (len, rest) = read_u64(self.0).ok_or(Malformed)?;
        self.0 = rest;
        Some(to_usize(len)).filter(|len| *len <= rest.len()).ok_or(Malformed)
    }

    /// Reads as many numbers, and hands each on.
    pub(crate) fn u32s(
        &mut self,
        count: usize,
        mut each: impl FnMut(u32),
    ) -> Result<(), Malformed> {
        if let Some((bytes, rest)) = self.0.split_at_checked(count)
            && are_numbers(bytes)
        {
            bytes.iter().for_each(|byte| each(u32::from(*byte)));
            self.0 = rest;
            return Ok(());
        }
        let mut left = self.0;
        for _ in 0..count {
            let (number, rest) = read_u32(left).ok_or(Malformed)?;
            each(number);
            left = rest;
        }
        self.0 = left;
        Ok(())
    }

    /// Reads a list.
    pub(crate) fn u64s(&mut self) -> Result<Vec<u64>, Malformed> {
        let len = self.len()?;
        let mut numbers = Vec::with_capacity(len);
        for _ in 0..len {
            let (number, rest) = read_u64(self.0).ok_or(Malformed)?;
            numbers.push(number);
            self.0 = rest;
        }
        Ok(numbers)
    }

    /// Reads as many numbers with sign, and hands each on.
    pub(crate) fn i64s(
        &mut self,
        count: usize,
        mut each: impl FnMut(i64),
    ) -> Result<(), Malformed> {
        let mut left = self.0;
        for _ in 0..count {
            let (number, rest) = read_u64(left).ok_or(Malformed)?;
            each((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
            left = rest;
        }
        self.0 = left;
        Ok(())
    }
}

/// Decodes a byte.
pub(crate) fn decode_u8<D: Decoder>(decoder: &mut D) -> Result<u8, Malformed> {
    let reader = decoder.reader();
    if let Some([byte]) = reader.peek_read(1) {
        let byte = *byte;
        reader.consume(1);
        return Ok(byte);
    }
    decode(decoder)
}

/// Decodes a number.
pub(crate) fn decode_u32<D: Decoder>(decoder: &mut D) -> Result<u32, Malformed> {
    let reader = decoder.reader();
    if let Some([byte @ 0..=MAX_ONE_BYTE]) = reader.peek_read(1) {
        let number = u32::from(*byte);
        reader.consume(1);
        return Ok(number);
    }
    if let Some([TWO_BYTES, a, b]) = reader.peek_read(3) {
        let number = u32::from(u16::from_le_bytes([*a, *b]));
        reader.consume(3);
        return Ok(number);
    }
    decode(decoder)
}

/// Decodes the number of entries of a list.
pub(crate) fn decode_len<D: Decoder>(decoder: &mut D) -> Result<usize, Malformed> {
    let reader = decoder.reader();
    if let Some([byte @ 0..=MAX_ONE_BYTE]) = reader.peek_read(1) {
        let len = usize::from(*byte);
        reader.consume(1);
        return Ok(len);
    }
    decode(decoder)
}

/// Decodes anything, without a short cut.
pub(crate) fn decode<T: Decode<D::Context>, D: Decoder>(decoder: &mut D) -> Result<T, Malformed> {
    T::decode(decoder).map_err(|_| Malformed)
}

/// Whether every byte is a number of its own. Looks at a run of them without a branch.
fn are_numbers(bytes: &[u8]) -> bool {
    bytes.chunks(64).all(|run| run.iter().fold(true, |are, byte| are & (*byte <= MAX_ONE_BYTE)))
}

fn read_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    match bytes {
        [byte @ 0..=MAX_ONE_BYTE, rest @ ..] => Some((u32::from(*byte), rest)),
        [TWO_BYTES, a, b, rest @ ..] => Some((u32::from(u16::from_le_bytes([*a, *b])), rest)),
        [FOUR_BYTES, a, b, c, d, rest @ ..] => Some((u32::from_le_bytes([*a, *b, *c, *d]), rest)),
        _ => None,
    }
}

fn read_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    match bytes {
        [EIGHT_BYTES, a, b, c, d, e, f, g, h, rest @ ..] => {
            Some((u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), rest))
        }
        _ => read_u32(bytes).map(|(number, rest)| (u64::from(number), rest)),
    }
}

#[cfg(test)]
mod tests {
    use bincode::de::{DecoderImpl, read::SliceReader};
    use proptest::prelude::*;

    use super::*;
    use crate::record::codec;

    /// Numbers of every length, and those about where it changes.
    fn numbers() -> impl Strategy<Value = Vec<u64>> {
        let edges = [0, 250, 251, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, u64::MAX];
        let edge = prop::sample::select(edges.to_vec());
        let number = (0_u32..64, any::<u64>()).prop_map(|(shift, number)| number >> shift);
        prop::collection::vec(prop_oneof![0_u64..250, number, edge], 0..70)
    }

    type SliceDecoder<'a> = DecoderImpl<SliceReader<'a>, crate::record::BincodeConfig, ()>;

    /// What is decoded of the bytes, and how many it leaves.
    fn short_cut<T>(
        bytes: &[u8],
        decode: impl Fn(&mut SliceDecoder<'_>) -> Result<T, Malformed>,
    ) -> Option<(T, usize)> {
        let mut decoder = DecoderImpl::new(SliceReader::new(bytes), codec(), ());
        let decoded = decode(&mut decoder).ok()?;
        let left = (0..=bytes.len()).rfind(|len| decoder.reader().peek_read(*len).is_some());
        Some((decoded, left.unwrap()))
    }

    fn plain<T: Decode<()>>(bytes: &[u8]) -> Option<(T, usize)> {
        let (decoded, used) = bincode::decode_from_slice(bytes, codec()).ok()?;
        Some((decoded, bytes.len() - used))
    }

    proptest! {
        #[test]
        fn lists_are_those_of_the_codec(numbers in numbers()) {
            let shorts = numbers.iter().map(|number| u32::try_from(number >> 32).unwrap());
            let shorts: Vec<u32> = shorts.collect();
            let signed: Vec<i64> = numbers.iter().map(|number| number.cast_signed()).collect();
            let mut out = Vec::new();
            put_u32s(shorts.iter().copied(), &mut out);
            put_u64s(numbers.iter().copied(), &mut out);
            put_i64s(signed.iter().copied(), &mut out);
            let lists = (&shorts, &numbers, &signed);
            prop_assert_eq!(&out, &bincode::encode_to_vec(lists, codec()).unwrap());

            let mut read = Lists(&out);
            let mut read_shorts = Vec::new();
            let count = read.len().unwrap();
            read.u32s(count, |number| read_shorts.push(number)).unwrap();
            prop_assert_eq!(read_shorts, shorts);
            let count = read.len().unwrap();
            for number in &numbers {
                let (again, rest) = read_u64(read.0).unwrap();
                prop_assert_eq!(again, *number);
                read.0 = rest;
            }
            prop_assert_eq!(count, numbers.len());
            let mut read_signed = Vec::new();
            let count = read.len().unwrap();
            read.i64s(count, |number| read_signed.push(number)).unwrap();
            prop_assert_eq!(read_signed, signed);
            prop_assert!(read.0.is_empty());
        }

        #[test]
        fn any_bytes_read_as_the_codec_reads_them(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), 248_u8..], 0..12),
        ) {
            let mut number = None;
            let read = Lists(&bytes).u32s(1, |read| number = Some(read)).ok().and(number);
            let expected = bincode::decode_from_slice::<u32, _>(&bytes, codec());
            prop_assert_eq!(read, expected.ok().map(|(number, _)| number));
            prop_assert_eq!(short_cut(&bytes, |decoder| decode_u32(decoder)), plain(&bytes));
            prop_assert_eq!(short_cut(&bytes, |decoder| decode_len(decoder)), plain(&bytes));
            prop_assert_eq!(short_cut(&bytes, |decoder| decode_u8(decoder)), plain(&bytes));
            let mut number = None;
            let read = Lists(&bytes).i64s(1, |read| number = Some(read)).ok().and(number);
            let expected = bincode::decode_from_slice::<i64, _>(&bytes, codec());
            prop_assert_eq!(read, expected.ok().map(|(number, _)| number));
        }
    }
}
