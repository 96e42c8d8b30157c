//! The keys of the log: an Ed25519 key in PKCS #8 (RFC 8410), and its public half, both PEM, as openssl reads them.

use std::io;
use std::path::{Path, PathBuf};

use ed25519_dalek::{SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::base::failure::Failure;
use crate::base::files;
use crate::base::secret::Wiped;

/// The DER before the 32 bytes of an Ed25519 private key in a PKCS #8 version 1 structure.
const PRIVATE_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The DER before the 32 bytes of an Ed25519 public key in a SubjectPublicKeyInfo structure.
const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// No PEM of such a key is longer, whatever its line ends.
const LONGEST_PEM: u64 = 256;

pub fn signing_key_path(log: &Path) -> PathBuf {
    files::parent(log).join("audit.sign.key")
}

pub fn public_key_path(log: &Path) -> PathBuf {
    files::parent(log).join("audit.sign.pub")
}

/// Reads a signing key; none if there is none.
pub fn read_signing_key(path: &Path) -> Result<Option<SigningKey>, Failure> {
    if files::is_missing(path) {
        return Ok(None);
    }
    let pem = files::read_private(path, LONGEST_PEM)?;
    signing_key_from_pem(&pem)
        .map(Some)
        .ok_or_else(|| Failure::configuration(path.display(), "is not an Ed25519 private key in PEM (PKCS #8)"))
}

/// The signing key in `pem`, if there is one and nothing else.
pub fn signing_key_from_pem(pem: &[u8]) -> Option<SigningKey> {
    from_pem("PRIVATE KEY", &PRIVATE_PREFIX, pem).map(|seed| SigningKey::from_bytes(&seed))
}

/// The public key in `pem`, if there is one and nothing else.
pub fn public_key_from_pem(pem: &[u8]) -> Option<VerifyingKey> {
    from_pem("PUBLIC KEY", &PUBLIC_PREFIX, pem).and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok())
}

/// Makes a new signing key at `path`, readable by its owner only.
pub fn create_signing_key(path: &Path) -> Result<SigningKey, Failure> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut seed[..]).map_err(|why| Failure::new("system random number generator", why))?;
    let key = SigningKey::from_bytes(&seed);
    write_signing_key(path, &key).map_err(|why| Failure::new(path.display(), why))?;
    Ok(key)
}

fn write_signing_key(path: &Path, key: &SigningKey) -> io::Result<()> {
    files::create(path, 0o600, to_pem("PRIVATE KEY", &PRIVATE_PREFIX, key.as_bytes()).as_bytes())
}

/// Writes the keys of the log at `log` again where they, and perhaps its whole directory, were deleted.
pub fn put_back(log: &Path, key: &SigningKey) -> io::Result<()> {
    files::create_dir(files::parent(log))?;
    let path = signing_key_path(log);
    if files::is_missing(&path) {
        write_signing_key(&path, key)?;
    }
    let path = public_key_path(log);
    if files::is_missing(&path) {
        write_public_key(&path, &key.verifying_key())?;
    }
    Ok(())
}

/// Reads a public key; none if there is none.
pub fn read_public_key(path: &Path) -> Result<Option<VerifyingKey>, Failure> {
    let pem = match std::fs::read(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|why| Failure::new(path.display(), why))?,
    };
    public_key_from_pem(&pem)
        .map(Some)
        .ok_or_else(|| Failure::new(path.display(), "is not an Ed25519 public key in PEM"))
}

/// Writes a public key to `path`, readable by all.
pub fn create_public_key(path: &Path, key: &VerifyingKey) -> Result<(), Failure> {
    write_public_key(path, key).map_err(|why| Failure::new(path.display(), why))
}

fn write_public_key(path: &Path, key: &VerifyingKey) -> io::Result<()> {
    files::create(path, 0o644, to_pem("PUBLIC KEY", &PUBLIC_PREFIX, key.as_bytes()).as_bytes())
}

fn to_pem(label: &str, prefix: &[u8], key: &[u8; 32]) -> Zeroizing<String> {
    let der = Wiped::new([prefix, &key[..]].concat());
    let base64 = Zeroizing::new(base64::encode(&*der));
    Zeroizing::new(format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", *base64))
}

fn from_pem(label: &str, prefix: &[u8], pem: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let text = std::str::from_utf8(pem).ok()?.trim();
    let base64 = text.strip_prefix(&format!("-----BEGIN {label}-----"))?;
    let base64 = base64.strip_suffix(&format!("-----END {label}-----"))?.trim();
    let der = Wiped::new(base64::decode(base64).ok()?);
    der.strip_prefix(prefix)?.try_into().ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back_from_their_pem() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let private = to_pem("PRIVATE KEY", &PRIVATE_PREFIX, key.as_bytes());
        assert_eq!(*from_pem("PRIVATE KEY", &PRIVATE_PREFIX, private.as_bytes()).unwrap(), [7; 32]);
        let public = to_pem("PUBLIC KEY", &PUBLIC_PREFIX, key.verifying_key().as_bytes());
        let read = from_pem("PUBLIC KEY", &PUBLIC_PREFIX, public.as_bytes()).unwrap();
        assert_eq!(&*read, key.verifying_key().as_bytes());
        assert!(from_pem("PUBLIC KEY", &PUBLIC_PREFIX, private.as_bytes()).is_none());
        assert!(from_pem("PUBLIC KEY", &PUBLIC_PREFIX, b"-----BEGIN PUBLIC KEY-----").is_none());
    }
}
