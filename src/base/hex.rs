//! Bytes as lower-case hexadecimal.

/// The digits, two for each byte.
pub fn digits(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    halves.map(|half| b"0123456789abcdef"[usize::from(half)])
}

/// The digits as a text.
pub fn hex(bytes: &[u8]) -> String {
    digits(bytes).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_has_two_digits() {
        assert_eq!(hex(&[0x00, 0x1f, 0xa0, 0xff]), "001fa0ff");
    }
}
