//! Compression of values in the format of `common/pg_lzcompress.c`, several times as fast as there.
//!
//! The format fixes what a decompressor does, not how repetitions are found. This looks at few
//! earlier places with the same four bytes and takes the longest match. It accepts and refuses
//! what the server's default strategy does: a result saves a quarter, and the first kilobyte of
//! output has a repetition.

/// Shorter values are not worth it.
const SHORTEST_INPUT: usize = 32;

/// Output without any repetition after which there is no hope.
const PATIENCE: usize = 1024;

/// Distances that the format can express.
const WINDOW: usize = 4095;

/// Lengths that the format can express.
const SHORTEST_MATCH: usize = 3;
const LONGEST_MATCH: usize = 273;

/// A match this long is taken without looking for a longer one.
const GOOD_MATCH: usize = 96;

/// Earlier places looked at; with so many, texts get as small as the server makes them.
const MOST_PLACES: usize = 5;

/// Bytes that are found again by their hash.
const HASHED_BYTES: usize = 4;

/// Bits of the hash.
const HASH_BITS: u32 = 12;

/// A compressor with its tables, which serve one value after another.
#[derive(Debug)]
pub struct Compressor {
    /// The last place with each hash, counted over all values.
    heads: Box<[u32; 1 << HASH_BITS]>,
    /// For each place, modulo the window, the one before it with the same hash.
    links: Box<[u32; WINDOW + 1]>,
    /// Where the value at work begins in the count of places; older places are of other values.
    base: u32,
}

impl Default for Compressor {
    fn default() -> Self {
        // Place 0 belongs to no value.
        let (heads, links) = (Box::new([0; 1 << HASH_BITS]), Box::new([0; WINDOW + 1]));
        Compressor { heads, links, base: 1 }
    }
}

impl Compressor {
    /// Appends the compressed form of `input` to `output`; false, with `output` as it was, if that
    /// would save too little.
    pub fn compress(&mut self, input: &[u8], output: &mut Vec<u8>) -> bool {
        let most = input.len() / 100 * 75 + input.len() % 100 * 75 / 100;
        if input.len() < SHORTEST_INPUT || u32::try_from(input.len()).is_err() {
            return false;
        }
        self.begin(input.len());
        let start = output.len();
        let is_compressed = self.write(input, output, start, most) && output.len() - start < most;
        if !is_compressed {
            output.truncate(start);
        }
        self.base += input.len() as u32;
        is_compressed
    }

    /// Makes room for the places of another value.
    fn begin(&mut self, length: usize) {
        if self.base as usize + length > u32::MAX as usize {
            *self = Compressor::default();
        }
    }

    fn write(&mut self, input: &[u8], output: &mut Vec<u8>, start: usize, most: usize) -> bool {
        let mut at = 0;
        let mut has_match = false;
        while at < input.len() {
            let control = output.len();
            output.push(0);
            let mut bits = 0;
            for bit in 0..8 {
                let Some(literal) = input.get(at) else {
                    break;
                };
                match self.find(input, at) {
                    Some((distance, length)) => {
                        bits |= 1 << bit;
                        has_match = true;
                        push_match(output, distance, length);
                        self.remember(input, at, length);
                        at += length;
                    }
                    None => {
                        output.push(*literal);
                        self.remember(input, at, 1);
                        at += 1;
                    }
                }
            }
            output[control] = bits;
            let written = output.len() - start;
            if written >= most || !has_match && written >= PATIENCE {
                return false;
            }
        }
        true
    }

    /// The longest earlier match of what begins at `at`: distance and length.
    fn find(&self, input: &[u8], at: usize) -> Option<(usize, usize)> {
        let hash = hash(input.get(at..at + HASHED_BYTES)?);
        let here = self.base + at as u32;
        let oldest = self.base.max(here.saturating_sub(WINDOW as u32));
        let mut place = self.heads[hash];
        let mut best = (0, SHORTEST_MATCH - 1);
        for _ in 0..MOST_PLACES {
            if place < oldest {
                break;
            }
            let earlier = (place - self.base) as usize;
            let length = common_length(input, earlier, at);
            if length > best.1 {
                best = (at - earlier, length);
                if length >= GOOD_MATCH {
                    break;
                }
            }
            let next = self.links[place as usize & WINDOW];
            if next >= place {
                break;
            }
            place = next;
        }
        (best.1 >= SHORTEST_MATCH).then_some(best)
    }

    /// Enters the places from `at` on.
    fn remember(&mut self, input: &[u8], at: usize, count: usize) {
        let end = (at + count + HASHED_BYTES - 1).min(input.len());
        let places = self.base + at as u32..;
        for (place, bytes) in places.zip(input[at..end].windows(HASHED_BYTES)) {
            let hash = hash(bytes);
            self.links[place as usize & WINDOW] = self.heads[hash];
            self.heads[hash] = place;
        }
    }
}

/// The hash of four bytes.
fn hash(bytes: &[u8]) -> usize {
    let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    (word.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize
}

/// Bytes that agree from two places on, as many as a match can have.
fn common_length(input: &[u8], earlier: usize, at: usize) -> usize {
    // Most matches are short.
    if let (Some(left), Some(right)) = (input.get(earlier..earlier + 8), input.get(at..at + 8)) {
        let difference = word(left) ^ word(right);
        if difference != 0 {
            return (difference.trailing_zeros() / 8) as usize;
        }
    }
    long_common_length(input, earlier, at)
}

#[inline(never)]
fn long_common_length(input: &[u8], earlier: usize, at: usize) -> usize {
    let most = (input.len() - at).min(LONGEST_MATCH);
    let (left, right) = (&input[earlier..earlier + most], &input[at..at + most]);
    let mut length = 0;
    for (left, right) in left.chunks_exact(8).zip(right.chunks_exact(8)) {
        let difference = word(left) ^ word(right);
        if difference != 0 {
            return length + (difference.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    length + left[length..].iter().zip(&right[length..]).take_while(|(a, b)| a == b).count()
}

/// Eight bytes, the first one lowest.
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// Writes a match: 4 bits of length and 12 of distance, and one more byte for a long one.
fn push_match(output: &mut Vec<u8>, distance: usize, length: usize) {
    let high = (distance >> 4 & 0xf0) as u8;
    let low = distance as u8;
    match length.checked_sub(18) {
        None => output.extend([high | (length - SHORTEST_MATCH) as u8, low]),
        Some(rest) => output.extend([high | 0x0f, low, rest as u8]),
    }
}
