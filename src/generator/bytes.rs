//! Random bytes, and the values that are made of them: base64, hexadecimal, UUIDs.

use crate::base::failure::Failure;
use crate::base::hex::digits;
use crate::base::secret::{Plaintext, Wiped};

pub(super) fn random(bytes: usize) -> Result<Wiped, Failure> {
    let mut random = Wiped::new(vec![0; bytes]);
    getrandom::fill(&mut random).map_err(|why| Failure::new("random numbers", why))?;
    Ok(random)
}

/// ASCII text becomes a plaintext without being copied.
pub(super) fn plaintext(mut ascii: Wiped) -> Plaintext {
    Plaintext::new(String::from_utf8(std::mem::take(&mut *ascii)).expect("ASCII is UTF-8"))
}

/// RFC 4648, section 4, with padding.
pub(super) fn base64(bytes: usize) -> Result<Plaintext, Failure> {
    let mut text = Wiped::new(vec![0; bytes.div_ceil(3) * 4]);
    base64::encode_config_slice(&*random(bytes)?, base64::STANDARD, &mut text);
    Ok(plaintext(text))
}

/// Lower-case hexadecimal, two digits a byte.
pub(super) fn hex(bytes: usize) -> Result<Plaintext, Failure> {
    let mut text = Wiped::new(Vec::with_capacity(bytes * 2));
    text.extend(digits(&random(bytes)?));
    Ok(plaintext(text))
}

/// A random UUID, version 4 (RFC 9562, section 5.4).
pub(super) fn uuid() -> Result<Plaintext, Failure> {
    let mut bytes = random(16)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = Wiped::new(Vec::with_capacity(36));
    for (i, digit) in digits(&bytes).enumerate() {
        if matches!(i, 8 | 12 | 16 | 20) {
            text.push(b'-');
        }
        text.push(digit);
    }
    Ok(plaintext(text))
}
