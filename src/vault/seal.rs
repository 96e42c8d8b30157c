//! AES-256-GCM: sealing with associated data, and the data key wrapped by the master key.
//!
//! Nonces are 96 random bits. Under one data key at most 2³² records may be sealed so (NIST SP 800-38D, section 8.3);
//! the vault stops there, see [`MAX_SEALS`].

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zeroize::Zeroizing;

use super::aes::{Key, NONCE, TAG};
use crate::base::failure::Failure;
use crate::base::secret::Wiped;
use crate::metrics::Page;

/// How many records one data key may seal with random nonces.
pub const MAX_SEALS: u64 = 1 << 32;

/// What shows that a sealed text is authentic, and stands at its end.
pub type Tag = [u8; TAG];

/// What sealing adds to a plaintext: the nonce before it and the tag behind it.
pub const OVERHEAD: usize = NONCE + TAG;

/// The bytes of an AES-256 key, wiped on drop.
///
/// They are filled in where they stay: a value that is moved leaves a copy behind, which nobody wipes.
pub struct KeyBytes(Box<Zeroizing<[u8; 32]>>);

impl KeyBytes {
    /// A key that `fill` writes over zeros.
    ///
    /// # Errors
    /// Those of `fill`.
    pub fn filled<E>(fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        fill(&mut bytes[..])?;
        Ok(Self(bytes))
    }

    /// A new key.
    ///
    /// # Errors
    /// If the system has no random bytes to give.
    pub fn random() -> Result<Self, Failure> {
        Self::filled(fill)
    }

    /// The key that `bytes` are, which the caller wipes; none if they are not 32.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let copy = |place: &mut [u8]| match bytes.len() {
            32 => {
                place.copy_from_slice(bytes);
                Ok(())
            }
            _ => Err(()),
        };
        Self::filled(copy).ok()
    }
}

impl Deref for KeyBytes {
    type Target = [u8; 32];

    fn deref(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Clone for KeyBytes {
    fn clone(&self) -> Self {
        Self::of(&self[..]).expect("it is as long as itself")
    }
}

impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl PartialEq for KeyBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

/// A sealed text did not open: another key, other associated data, or changed bytes. AES-GCM does not tell which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAuthentic;

/// Fills `N` bytes from the system's random number generator.
///
/// # Errors
/// If the system has none to give; nothing can be made without it.
pub fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Failure> {
    let mut bytes = Zeroizing::new([0; N]);
    fill(&mut bytes[..])?;
    Ok(bytes)
}

/// The same for any number of bytes, which are written over those that are there.
///
/// # Errors
/// As for [`random`].
pub fn fill(bytes: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(bytes).map_err(|why| Failure::new("system random number generator", why))
}

/// A key that seals and opens, and counts both.
pub struct SealingKey {
    cipher: Key,
    pub stats: Arc<SealStats>,
}

/// How often something was sealed or opened, and how often that failed.
#[derive(Default)]
pub struct SealStats {
    pub seals: AtomicU64,
    /// Sealed texts that were to be opened.
    pub unseals: AtomicU64,
    /// How many of those did not open.
    pub unseal_errors: AtomicU64,
}

impl SealStats {
    pub fn write(&self, page: &mut Page) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        page.counter("seal_operations_total", "Seal operations.").value(read(&self.seals));
        page.counter("unseal_operations_total", "Unseal operations, failed ones included.").value(read(&self.unseals));
        page.counter("unseal_errors_total", "Unseal operations that failed.").value(read(&self.unseal_errors));
    }
}

impl SealingKey {
    pub fn new(key: &KeyBytes) -> Self {
        Self::counted(key, Arc::default())
    }

    /// The same, of which is counted in `stats` what it seals and opens.
    pub fn counted(key: &KeyBytes, stats: Arc<SealStats>) -> Self {
        Self { cipher: Key::new(key), stats }
    }

    /// Seals `plaintext` (wiped by the caller) and binds it to `associated`: nonce, ciphertext, tag.
    ///
    /// # Errors
    /// If there are no random bytes for the nonce.
    pub fn seal(&self, associated: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, Failure> {
        let nonce = random::<NONCE>()?;
        let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD);
        sealed.extend_from_slice(&nonce[..]);
        sealed.extend_from_slice(plaintext);
        let tag = self
            .cipher
            .encrypt(*nonce, associated, &mut sealed[NONCE..])
            .expect("a record is far shorter than what AES-GCM can seal");
        sealed.extend_from_slice(&tag);
        self.stats.seals.fetch_add(1, Ordering::Relaxed);
        Ok(sealed)
    }

    /// Opens what [`seal`](Self::seal) made with the same key and the same associated data.
    pub fn open(&self, associated: &[u8], sealed: &[u8]) -> Result<Wiped, NotAuthentic> {
        self.stats.unseals.fetch_add(1, Ordering::Relaxed);
        self.try_open(associated, sealed).inspect_err(|NotAuthentic| {
            self.stats.unseal_errors.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn try_open(&self, associated: &[u8], sealed: &[u8]) -> Result<Wiped, NotAuthentic> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>().ok_or(NotAuthentic)?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG>().ok_or(NotAuthentic)?;
        let mut plaintext = Wiped::new(ciphertext.to_vec());
        let is_authentic = self.cipher.decrypt(*nonce, associated, &mut plaintext, *tag);
        if is_authentic { Ok(plaintext) } else { Err(NotAuthentic) }
    }
}

pub fn tag(sealed: &[u8]) -> Tag {
    *sealed.last_chunk().expect("a sealed text ends with its tag")
}

/// A sealed text as it stands in a file: base64, with padding.
pub fn encode(sealed: &[u8]) -> String {
    base64::encode(sealed)
}

/// Appends to `out` what [`encode`] returns.
pub fn encode_to(out: &mut Vec<u8>, sealed: &[u8]) {
    let start = out.len();
    out.resize(start + encoded_length(sealed), 0);
    base64::encode_config_slice(sealed, base64::STANDARD, &mut out[start..]);
}

/// How long the text is that [`encode`] returns.
pub fn encoded_length(sealed: &[u8]) -> usize {
    sealed.len().div_ceil(3) * 4
}

/// Reads what [`encode`] wrote; none if it is anything else. (`base64` takes a text without its padding too.)
pub fn decode(text: &str) -> Option<Box<[u8]>> {
    let text = text.as_bytes();
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    // Of its size from the start: a record's bytes stay in memory.
    let mut bytes = vec![0; text.len() / 4 * 3 - padding].into_boxed_slice();
    let length = base64::decode_config_slice(text, base64::STANDARD, &mut bytes).ok()?;
    (length == bytes.len()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SealingKey {
        SealingKey::new(&KeyBytes::random().unwrap())
    }

    #[test]
    fn each_count_has_its_metric() {
        let stats = SealStats { seals: 6.into(), unseals: 7.into(), unseal_errors: 8.into() };
        crate::metrics::assert_in_example(|page| stats.write(page));
    }

    #[test]
    fn what_was_sealed_opens_with_the_same_key_and_associated_data_only() {
        let key = key();
        let sealed = key.seal(b"here", b"plaintext").unwrap();
        assert_eq!(sealed.len(), 9 + OVERHEAD);
        assert_eq!(**key.open(b"here", &sealed).unwrap(), *b"plaintext");
        assert_eq!(key.open(b"there", &sealed).unwrap_err(), NotAuthentic);
        assert_eq!(self::key().open(b"here", &sealed).unwrap_err(), NotAuthentic);
        assert_eq!(key.stats.unseal_errors.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn every_bit_of_a_sealed_text_counts_and_so_does_its_length() {
        let key = key();
        let sealed = key.seal(b"", b"v").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.open(b"", &changed).unwrap_err(), NotAuthentic);
        }
        for length in 0..sealed.len() {
            assert_eq!(key.open(b"", &sealed[..length]).unwrap_err(), NotAuthentic);
        }
    }

    #[test]
    fn a_sealed_text_is_read_back_from_exactly_one_form() {
        for length in 0..600 {
            let bytes: Vec<u8> = (0..length).map(|n| (n * 7) as u8).collect();
            let text = encode(&bytes);
            assert_eq!(decode(&text).as_deref(), Some(&bytes[..]));
            assert!(decode(&format!("{text}=")).is_none() && decode(&format!("{text}====")).is_none());
            assert!(text.is_empty() || decode(&text[..text.len() - 1]).is_none());
        }
        for other in ["A", "A===", "AA=A", "=AAA", "AB==", "AAB=", "AAAAAA=A", "AAAA====", "AA\nA", "====", "AA--"] {
            assert!(decode(other).is_none(), "{other}");
        }
    }

    #[test]
    fn the_same_plaintext_never_seals_to_the_same_bytes() {
        let key = key();
        assert_ne!(key.seal(b"", b"v").unwrap(), key.seal(b"", b"v").unwrap());
    }
}
