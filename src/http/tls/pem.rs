//! Files in PEM, read to the last line (RFC 7468).
//!
//! A reader that passes over what it does not understand loses a CA, or a list of revoked certificates, without a word. Here a
//! file is whole blocks of kinds that are known, with explanatory text between them, or it is refused with the line.

use std::path::Path;

use rustls::pki_types::pem::{PemObject, SectionKind};

use crate::base::failure::Failure;

/// What stands in a block beside its content, and is passed over: parameters that the key has in itself, too.
const HARMLESS: [&str; 2] = ["EC PARAMETERS", "DH PARAMETERS"];

/// Lines of base64 in a block are this long, or, by some writers, longer. Text in which a word is as long is not known.
const LONG_LINE: usize = 60;

/// One PEM block, decoded.
pub struct Block {
    /// The line on which it begins, from 1.
    pub line: usize,
    pub kind: SectionKind,
    /// Its content, in DER.
    pub der: Vec<u8>,
}

/// The blocks in the file at `path` that has this text, in its order. What belongs in the file is `wanted`; certificates and
/// keys may stand in one file.
///
/// # Errors
/// Says what is not understood and on which line, and quotes nothing of a block.
pub fn blocks(path: &Path, text: &[u8]) -> Result<Vec<Block>, Failure> {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let fail = |line: usize, why: &dyn std::fmt::Display| {
        Failure::configuration(format_args!("{}:{line}", path.display()), why)
    };
    if let Some(nul) = text.iter().position(|byte| *byte == 0) {
        let line = 1 + text[..nul].iter().filter(|byte| **byte == b'\n').count();
        return Err(fail(line, &"is not text in ASCII or UTF-8, as PEM is; it may be DER or UTF-16"));
    }
    let mut blocks = Vec::new();
    let mut open: Option<Open> = None;
    let (mut begin, mut end) = (0, 0);
    for (whole, number) in text.split_inclusive(|byte| *byte == b'\n').zip(1..) {
        let line = whole.trim_ascii_end();
        let start = end;
        end += whole.len();
        match &open {
            None => {
                open = outside(line, number).map_err(|why| fail(number, &why))?;
                begin = start;
            }
            Some(block) if line == block.end.as_bytes() => {
                blocks.extend(block.read(&text[begin..end]).map_err(|why| fail(block.line, &why))?);
                open = None;
            }
            Some(block) => block.check(line).map_err(|why| fail(number, &why))?,
        }
    }
    match open {
        Some(block) => Err(fail(
            block.line,
            &format_args!("the block that begins here has no {}; the file was cut off", block.end),
        )),
        None => Ok(blocks),
    }
}

/// A block of which the end was not seen yet.
struct Open {
    line: usize,
    label: &'static str,
    end: String,
}

/// What the labels of RFC 7468 and of OpenSSL stand for. What is not understood is named, as somebody may rely on it.
fn known(label: &str) -> Result<&'static str, String> {
    let known = ["CERTIFICATE", "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];
    if let Some(known) = known.into_iter().chain(HARMLESS).find(|known| *known == label) {
        return Ok(known);
    }
    Err(match label {
        "ENCRYPTED PRIVATE KEY" => "the key is encrypted; decrypt it with: openssl pkey -in FILE -out NEW".to_owned(),
        "TRUSTED CERTIFICATE" | "X509 CERTIFICATE" => {
            format!("a {label} is not supported; convert it with: openssl x509 -in FILE -out NEW")
        }
        "X509 CRL" => "certificate revocation lists are not supported; remove it from the file".to_owned(),
        "OPENSSH PRIVATE KEY" => {
            "this is a key of OpenSSH's own form; convert it with: ssh-keygen -p -m PKCS8 -f FILE".to_owned()
        }
        "PKCS7" | "CMS" => {
            "take the certificates out of it with: openssl pkcs7 -print_certs -in FILE -out NEW".to_owned()
        }
        _ => "a block of this kind is not supported; remove it from the file".to_owned(),
    })
}

/// Reads a line outside of a block: none begins, or one does.
fn outside(line: &[u8], number: usize) -> Result<Option<Open>, String> {
    if let Some(label) = line.strip_prefix(b"-----BEGIN ").and_then(|rest| rest.strip_suffix(b"-----")) {
        let label = known(str::from_utf8(label).unwrap_or_default())?;
        return Ok(Some(Open { line: number, label, end: format!("-----END {label}-----") }));
    }
    let has_dashes = line.windows(3).any(|window| window == b"---");
    let names_a_block = line.windows(5).any(|window| window == b"BEGIN") || line.starts_with(b"-----END");
    if has_dashes && names_a_block {
        return Err("this is not the first line of a block: -----BEGIN CERTIFICATE----- or the like, and nothing else"
            .to_owned());
    }
    if line.len() >= LONG_LINE && is_base64(line) {
        return Err("this is the content of a block, without its beginning".to_owned());
    }
    Ok(None)
}

fn is_base64(line: &[u8]) -> bool {
    line.iter().any(u8::is_ascii_alphanumeric)
        && line.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte))
}

impl Open {
    fn check(&self, line: &[u8]) -> Result<(), String> {
        if line.starts_with(b"Proc-Type:") || line.starts_with(b"DEK-Info:") {
            return Err(
                "the key is encrypted, in the old way; decrypt it with: openssl pkey -in FILE -out NEW".to_owned()
            );
        }
        if line.starts_with(b"-----") {
            return Err(format!("the block that begins on line {} has no {} before this", self.line, self.end));
        }
        if !line.is_empty() && !is_base64(line) {
            return Err("this line of a block is not base64".to_owned());
        }
        Ok(())
    }

    /// Decodes the whole block, `text`; none if it is one that is passed over.
    fn read(&self, text: &[u8]) -> Result<Option<Block>, String> {
        if HARMLESS.contains(&self.label) {
            return Ok(None);
        }
        match <(SectionKind, Vec<u8>)>::from_pem_slice(text) {
            Ok((kind, der)) if !der.is_empty() => Ok(Some(Block { line: self.line, kind, der })),
            _ => Err("the content of the block that begins here is not base64".to_owned()),
        }
    }
}

/// What a private key is that cannot be used, as far as it is known.
pub fn what_key(der: &[u8]) -> Option<String> {
    // The curve's object identifier, 1.3.132.0.35, wherever the form of the key has it.
    if der.windows(P521.len()).any(|window| window == P521) {
        return Some("is a P-521 key, which is not supported; use P-256, P-384 or Ed25519".to_owned());
    }
    let bits = rsa_bits(der)?;
    (bits < LEAST_RSA_BITS).then(|| format!("is an RSA key of {bits} bits; it must have at least {LEAST_RSA_BITS}"))
}

const P521: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];
const LEAST_RSA_BITS: usize = 2048;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// The length of the modulus of an RSA key (RFC 8017, appendix A.1.2), which may be wrapped (RFC 5958).
fn rsa_bits(der: &[u8]) -> Option<usize> {
    let (key, _) = element(der, SEQUENCE)?;
    let (_, rest) = element(key, INTEGER)?;
    if let Some((_, wrapped)) = element(rest, SEQUENCE) {
        return rsa_bits(element(wrapped, OCTET_STRING)?.0);
    }
    let (modulus, _) = element(rest, INTEGER)?;
    let significant = modulus.iter().position(|byte| *byte != 0).map(|zeros| &modulus[zeros..])?;
    Some(significant.len() * 8 - significant[0].leading_zeros() as usize)
}

/// The content of the first element of some DER, which has this tag, and what is behind it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [first, length, rest @ ..] = der else { return None };
    if *first != tag {
        return None;
    }
    if *length < 0x80 {
        return rest.split_at_checked(usize::from(*length));
    }
    let (length, rest) = rest.split_at_checked(usize::from(*length & 0x7f))?;
    let length = length.iter().try_fold(0usize, |sum, byte| sum.checked_mul(256)?.checked_add(usize::from(*byte)))?;
    rest.split_at_checked(length)
}
