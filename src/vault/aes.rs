//! AES-256-GCM (NIST SP 800-38D) as the vault uses it: nonces of 96 bits, tags of 128, in place.

use std::hint::black_box;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit};
use zeroize::Zeroize;

/// Bytes of a nonce.
pub const NONCE: usize = 12;

/// Bytes of a tag.
pub const TAG: usize = 16;

/// A key, wiped on drop. It is never moved: the round keys begin with the key's own bytes.
pub struct Key(Box<Aes256Gcm>);

impl Key {
    /// A key from its bytes, which the caller wipes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        let key = Self(expanded(bytes));
        wipe_dead_stack();
        key
    }

    /// Encrypts `text` where it is, and binds it to `associated`. Returns the tag; none if the text is longer than AES-GCM
    /// can encrypt (64 GiB), and then it is left as it was.
    ///
    /// No two texts may have the same nonce under the same key.
    pub fn encrypt(&self, nonce: [u8; NONCE], associated: &[u8], text: &mut [u8]) -> Option<[u8; TAG]> {
        self.0.encrypt_inout_detached(&nonce.into(), associated, text.into()).ok().map(Into::into)
    }

    /// Decrypts `text` where it is. Returns whether it is authentic: encrypted by this key, with this nonce and this
    /// associated data, and not changed. If not, what `text` then holds is to be thrown away.
    #[must_use]
    pub fn decrypt(&self, nonce: [u8; NONCE], associated: &[u8], text: &mut [u8], tag: [u8; TAG]) -> bool {
        self.0.decrypt_inout_detached(&nonce.into(), associated, text.into(), &tag.into()).is_ok()
    }
}

/// Not inlined, so that what it leaves on the stack lies below whoever calls it.
#[inline(never)]
fn expanded(bytes: &[u8; 32]) -> Box<Aes256Gcm> {
    Box::new(Aes256Gcm::new(bytes.into()))
}

/// Overwrites what calls that have returned left on the stack: the round keys were put together there.
#[inline(never)]
fn wipe_dead_stack() {
    let mut dead = [0_u8; 16 * 1024];
    dead.zeroize();
    black_box(&dead);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        hex.as_bytes()
            .chunks(2)
            .map(|digits| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap())
            .collect()
    }

    /// Test case 16 of McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B.
    #[test]
    fn a_text_is_encrypted_as_the_specification_says_and_decrypted_only_unchanged() {
        let key = "feffe9928665731c6d6a8f9467308308".repeat(2);
        let key = Key::new(bytes(&key).as_slice().try_into().unwrap());
        let nonce = bytes("cafebabefacedbaddecaf888").try_into().unwrap();
        let associated = bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let plain = bytes(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525\
             b16aedf5aa0de657ba637b39",
        );
        let mut text = plain.clone();
        let tag = key.encrypt(nonce, &associated, &mut text).unwrap();
        let expected = bytes(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838\
             c5f61e6393ba7a0abcc9f662",
        );
        assert_eq!((&text, tag.as_slice()), (&expected, &*bytes("76fc6ece0f4e1768cddf8853bb2d551b")));

        assert!(!key.decrypt(nonce, b"something else", &mut text.clone(), tag));
        text[0] ^= 1;
        assert!(!key.decrypt(nonce, &associated, &mut text.clone(), tag));
        text[0] ^= 1;
        assert!(key.decrypt(nonce, &associated, &mut text, tag));
        assert_eq!(text, plain);
    }
}
