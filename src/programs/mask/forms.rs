//! How a value may be printed.

use zeroize::Zeroizing;

use super::view::squeezed;
use crate::base::hex::digits;
use crate::base::secret::Wiped;

/// All that `value` may be printed as, but in hexadecimal, without white space.
pub fn forms(value: &str) -> Vec<Wiped> {
    let json = json(value);
    let mut forms =
        vec![Wiped::new(value.as_bytes().to_vec()), Wiped::new(json.as_bytes().to_vec()), ascii_json(&json)];
    // As PHP writes it, and as Python shows a string.
    forms.push(Wiped::new(json.replace('/', "\\/").into_bytes()));
    forms.push(Wiped::new(json.replace("\\\"", "\"").into_bytes()));
    forms.extend(value.lines().map(|line| Wiped::new(line.as_bytes().to_vec())));
    for text in [value, &json] {
        for config in [base64::STANDARD, base64::URL_SAFE] {
            forms.extend((0..3).flat_map(|before| base64_within(text, before, config)));
        }
    }
    for (digits, unreserved) in
        [(b"0123456789ABCDEF", "-._~"), (b"0123456789abcdef", "-._~"), (b"0123456789ABCDEF", "-._~!*'()")]
    {
        forms.push(percent_encoded(value, digits, unreserved));
    }
    forms.iter().map(|form| squeezed(form)).collect()
}

/// `value` in hexadecimal, in lower case: itself, and as JSON writes it.
pub fn in_digits(value: &str) -> [Wiped; 2] {
    [value, &json(value)].map(|text| {
        let mut hex = Wiped::new(Vec::with_capacity(2 * text.len()));
        hex.extend(digits(text.as_bytes()));
        hex
    })
}

/// As it stands in JSON between the quotes.
fn json(value: &str) -> Zeroizing<String> {
    let json = Zeroizing::new(serde_json::to_string(value).expect("a string becomes JSON"));
    Zeroizing::new(json[1..json.len() - 1].to_owned())
}

/// `json` with escapes for all that is not ASCII, as some programs write it.
fn ascii_json(json: &str) -> Wiped {
    let mut ascii = Wiped::new(Vec::with_capacity(6 * json.len()));
    for unit in json.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => ascii.push(byte),
            _ => ascii.extend(format!("\\u{unit:04x}").into_bytes()),
        }
    }
    ascii
}

/// The characters of base64 that are made of `value` alone, where `before` bytes (to a multiple of 3) stand before it; and the
/// same where nothing stands behind it.
fn base64_within(value: &str, before: usize, config: base64::Config) -> [Wiped; 2] {
    let mut within = Wiped::new(vec![0; before]);
    within.extend(value.as_bytes());
    let encoded = Zeroizing::new(base64::encode_config(&*within, config));
    let (first, end) = ((before * 8).div_ceil(6), within.len() * 8 / 6);
    let last = encoded.trim_end_matches('=').len();
    [end, last].map(|end| Wiped::new(encoded.as_bytes().get(first..end).unwrap_or_default().to_vec()))
}

fn percent_encoded(value: &str, digits: &[u8; 16], unreserved: &str) -> Wiped {
    let mut encoded = Wiped::new(Vec::with_capacity(3 * value.len()));
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || unreserved.as_bytes().contains(&byte) {
            encoded.push(byte);
        } else {
            encoded.extend([b'%', digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
        }
    }
    encoded
}
