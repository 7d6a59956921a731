//! The compressor, against a decompressor that follows the format.

use super::super::pglz::Compressor;

/// What `pglz_decompress` does.
fn decompress(packed: &[u8], length: usize) -> Vec<u8> {
    let mut plain = Vec::with_capacity(length);
    let mut bytes = packed.iter().copied();
    while plain.len() < length {
        let control = bytes.next().unwrap();
        for bit in 0..8 {
            if plain.len() == length {
                break;
            }
            let first = bytes.next().unwrap();
            if control >> bit & 1 == 0 {
                plain.push(first);
                continue;
            }
            let mut count = usize::from(first & 0x0f) + 3;
            let distance = usize::from(first & 0xf0) << 4 | usize::from(bytes.next().unwrap());
            if count == 18 {
                count += usize::from(bytes.next().unwrap());
            }
            assert!(distance > 0 && distance <= plain.len());
            for _ in 0..count {
                plain.push(plain[plain.len() - distance]);
            }
        }
    }
    assert_eq!(bytes.next(), None);
    plain
}

/// Pseudo-random bytes out of an alphabet of `letters`.
fn noise(length: usize, letters: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) % letters
    };
    (0..length).map(|_| next() as u8).collect()
}

#[test]
fn what_is_compressed_comes_back() {
    let mut inputs = vec![
        vec![7; 100_000],
        b"a row, another row, one more row, and a row again; ".repeat(3),
        b"abcdefgh".repeat(5000),
        noise(300_000, 3),
        noise(5_000, 16),
    ];
    for length in [32, 33, 273, 274, 4095, 4096, 4097, 8192] {
        inputs.push(noise(length / 2 + 1, 256).repeat(2));
        inputs.push(vec![0; length]);
    }
    // One compressor for all: what it remembers of one value must not leak into the next.
    let mut compressor = Compressor::default();
    let mut packed_count = 0;
    for input in inputs.iter().chain(&inputs) {
        let mut output = b"before".to_vec();
        if !compressor.compress(input, &mut output) {
            assert_eq!(output, b"before");
            continue;
        }
        packed_count += 1;
        assert!((output.len() - 6) * 4 <= input.len() * 3);
        assert_eq!(decompress(&output[6..], input.len()), *input);
    }
    assert!(packed_count >= 20, "{packed_count}");
}

#[test]
fn what_saves_too_little_is_left_alone() {
    let mut compressor = Compressor::default();
    for input in [noise(5000, 256), vec![], vec![1; 31], b"short and without repeats, no?".to_vec()]
    {
        let mut output = Vec::new();
        assert!(!compressor.compress(&input, &mut output));
        assert!(output.is_empty());
    }
}
