//! What may be a name: of a secret, and of a client.

/// Whether `text` is 1 to 128 of the characters `A-Z a-z 0-9 _ . -`.
pub fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(is_name_byte)
}

/// What is wrong with a secret's name for which [`is_name`] does not hold.
pub const NO_SECRETS_NAME: &str = "is not a secret's name, which is 1 to 128 of A-Z a-z 0-9 _ . -";

/// Why a secret that is not there yet is not given such a name. Earlier ones may have it.
pub const NOT_FOR_NEW: &str =
    "a new secret may not be named . or .., which are directories, and its name may not begin with -, like an option";

/// Whether a secret that is not there yet may get the name `name`.
pub fn is_for_new(name: &str) -> bool {
    is_name(name) && !name.starts_with('-') && !matches!(name, "." | "..")
}

/// Whether `byte` is one of the characters that names are made of.
pub(crate) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_bytes_exactly_letters_digits_and_three_signs_make_names() {
        let allowed: String = (0..=127u8).map(char::from).filter(|c| is_name(&c.to_string())).collect();
        assert_eq!(allowed, "-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz");
        assert!(!is_name("ключ") && !is_name("kéy"));
    }

    #[test]
    fn a_new_secret_is_called_neither_as_a_directory_nor_as_an_option() {
        for name in ["-", "-x", "--", ".", ".."] {
            assert!(is_name(name) && !is_for_new(name), "{name}");
        }
        for name in ["x-", "_", "...", ".x", "..x", "x.."] {
            assert!(is_for_new(name), "{name}");
        }
        assert!(!is_for_new(""));
    }

    #[test]
    fn a_name_has_1_to_128_characters() {
        assert!(!is_name(""));
        assert!(is_name(&"n".repeat(128)));
        assert!(!is_name(&"n".repeat(129)));
    }
}
