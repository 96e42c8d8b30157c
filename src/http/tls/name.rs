//! The names in a certificate by which a client is known.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// A name in a certificate, written `CN=backend`, `DNS:backend.internal` or `URI:spiffe://example.org/backend`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateName {
    /// The subject's common name. It counts only if the subject has exactly one.
    Common(String),
    /// A DNS name among the subject's alternative names, in lower case. A wildcard stands for itself alone.
    Dns(String),
    /// A URI among the subject's alternative names.
    Uri(String),
}

impl CertificateName {
    /// How such a name is written, for messages.
    pub const FORM: &'static str = "`CN=` and a subject's common name, `DNS:` and a DNS name, or `URI:` and a URI";

    /// All such names in `certificate`, which must have been verified. What is malformed is left out.
    pub fn all_in(certificate: &CertificateDer<'_>) -> Vec<Self> {
        let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Vec::new() };
        let common = common_name(certificate.subject()).map(|name| Self::Common(name.to_owned()));
        let dns = certificate.valid_dns_names().map(|name| Self::Dns(name.to_ascii_lowercase()));
        let uris = certificate.valid_uri_names().map(|name| Self::Uri(name.to_owned()));
        common.into_iter().chain(dns).chain(uris).collect()
    }

    fn text(&self) -> &str {
        match self {
            Self::Common(text) | Self::Dns(text) | Self::Uri(text) => text,
        }
    }
}

impl FromStr for CertificateName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let name = if let Some(name) = text.strip_prefix("CN=") {
            Self::Common(name.to_owned())
        } else if let Some(name) = text.strip_prefix("DNS:") {
            Self::Dns(name.to_ascii_lowercase())
        } else if let Some(uri) = text.strip_prefix("URI:") {
            Self::Uri(uri.to_owned())
        } else {
            return Err(());
        };
        if is_printable(name.text()) { Ok(name) } else { Err(()) }
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Common(name) => write!(f, "CN={name}"),
            Self::Dns(name) => write!(f, "DNS:{name}"),
            Self::Uri(uri) => write!(f, "URI:{uri}"),
        }
    }
}

/// So that what a policy names is what a person sees there.
fn is_printable(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// The only common name in a subject, given as the content of its outer sequence (RFC 5280, section 4.1.2.4).
///
/// None if there are two, for then it is not clear which one the CA vouches for; none if anything is malformed.
fn common_name(subject: &[u8]) -> Option<&str> {
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    let mut found = None;
    let mut sets = subject;
    while !sets.is_empty() {
        let mut attributes = take(&mut sets, SET)?;
        while !attributes.is_empty() {
            let mut attribute = take(&mut attributes, SEQUENCE)?;
            if take(&mut attribute, OBJECT_IDENTIFIER)? != COMMON_NAME {
                continue;
            }
            let kind = *attribute.first()?;
            let text = str::from_utf8(take(&mut attribute, kind)?).ok()?;
            let is_text = kind == UTF8_STRING || matches!(kind, PRINTABLE_STRING | IA5_STRING) && text.is_ascii();
            if !is_text || !attribute.is_empty() || found.replace(text).is_some() {
                return None;
            }
        }
    }
    found
}

/// Takes an element with the tag `tag` off the front of `input`, and returns its content (X.690, section 10.1: the
/// length is definite and as short as possible).
fn take<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (len, rest) = match **input {
        [found, len @ 0..=0x7f, ref rest @ ..] if found == tag => (usize::from(len), rest),
        [found, 0x81, len @ 0x80..=0xff, ref rest @ ..] if found == tag => (usize::from(len), rest),
        [found, 0x82, high @ 1..=0xff, low, ref rest @ ..] if found == tag => {
            (usize::from(high) << 8 | usize::from(low), rest)
        }
        _ => return None,
    };
    let (content, behind) = rest.split_at_checked(len)?;
    *input = behind;
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let len = content.len();
        let length = match len {
            0..=0x7f => vec![len as u8],
            0x80..=0xff => vec![0x81, len as u8],
            _ => vec![0x82, (len >> 8) as u8, len as u8],
        };
        [vec![tag], length, content.to_vec()].concat()
    }

    /// A subject of one attribute a set: its type's last byte (2.5.4.x), the tag of its text, and the text.
    fn subject(attributes: &[(u8, u8, &[u8])]) -> Vec<u8> {
        let set = |&(kind, tag, text): &(u8, u8, &[u8])| {
            let attribute = [der(OBJECT_IDENTIFIER, &[0x55, 0x04, kind]), der(tag, text)].concat();
            der(SET, &der(SEQUENCE, &attribute))
        };
        attributes.iter().flat_map(set).collect()
    }

    #[test]
    fn the_common_name_is_found_among_other_attributes() {
        let long = "n".repeat(300);
        for (tag, name) in [(UTF8_STRING, "bäckend"), (PRINTABLE_STRING, "backend"), (IA5_STRING, &long)] {
            let subject = subject(&[(10, UTF8_STRING, b"Org"), (3, tag, name.as_bytes()), (11, IA5_STRING, b"Unit")]);
            assert_eq!(common_name(&subject), Some(name));
        }
    }

    #[test]
    fn two_common_names_are_none() {
        let twice = [(3, UTF8_STRING, &b"backend"[..]), (3, UTF8_STRING, b"admin")];
        assert_eq!(common_name(&subject(&twice)), None);
    }

    #[test]
    fn a_common_name_in_another_alphabet_or_none_at_all_is_none() {
        const TELETEX: u8 = 0x14;
        assert_eq!(common_name(&subject(&[(3, TELETEX, b"backend")])), None);
        assert_eq!(common_name(&subject(&[(3, PRINTABLE_STRING, "bäckend".as_bytes())])), None);
        assert_eq!(common_name(&subject(&[(3, UTF8_STRING, b"\xff")])), None);
        assert_eq!(common_name(&subject(&[(10, UTF8_STRING, b"Org")])), None);
        assert_eq!(common_name(b""), None);
    }

    #[test]
    fn a_subject_that_was_cut_off_or_changed_anywhere_never_gives_a_name_that_is_not_in_it() {
        let whole = subject(&[(10, UTF8_STRING, b"Org"), (3, UTF8_STRING, b"backend")]);
        for len in 0..whole.len() {
            assert_eq!(common_name(&whole[..len]), None, "{len}");
        }
        for at in 0..whole.len() {
            for byte in 0..=u8::MAX {
                let mut changed = whole.clone();
                changed[at] = byte;
                if let Some(name) = common_name(&changed) {
                    let is_in_it = changed.windows(name.len()).any(|window| window == name.as_bytes());
                    assert!(is_in_it, "{name:?} at {at}, {byte}");
                }
            }
        }
    }

    #[test]
    fn lengths_that_are_not_as_short_as_possible_are_malformed() {
        for input in [&[0x31, 0x81, 0x01, 0x00][..], &[0x31, 0x82, 0x00, 0x01, 0x00], &[0x31, 0x80], &[0x31], &[]] {
            assert_eq!(take(&mut &*input, SET), None, "{input:?}");
        }
    }

    #[test]
    fn a_name_is_written_as_it_is_read() {
        for text in ["CN=backend", "DNS:backend.internal", "URI:spiffe://example.org/backend"] {
            assert_eq!(text.parse::<CertificateName>().unwrap().to_string(), text);
        }
        assert_eq!("DNS:Backend.Internal".parse(), Ok(CertificateName::Dns("backend.internal".to_owned())));
        for text in ["", "backend", "CN=", "cn=backend", "CN =backend", "DNS=backend", "EMAIL:a@b", "CN=a\nb"] {
            assert!(text.parse::<CertificateName>().is_err(), "{text:?}");
        }
    }
}
