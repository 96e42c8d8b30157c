//! What a client sends as its bearer credential, and the file that it comes from.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::access::{NoToken, Token, could_be_jwt};
use crate::base::failure::Failure;
use crate::base::files;
use crate::base::secret::Wiped;

/// The longest file that holds a credential, in bytes.
const LONGEST: u64 = 16 * 1024;

/// A token, or a JWT of an issuer that the daemon knows.
pub enum Credential {
    Token(Token),
    Jwt(Zeroizing<String>),
    /// A JWT in a file, which is replaced before it expires.
    JwtFile(PathBuf),
}

impl Credential {
    /// The credential that `text` is.
    ///
    /// # Errors
    /// Says what it must be.
    pub fn parse(text: &str) -> Result<Self, String> {
        match Token::parse(text) {
            Ok(token) => Ok(Self::Token(token)),
            Err(NoToken::Checksum) => Err("must be a whole token: this one was mistyped or cut off".to_owned()),
            Err(NoToken::Form) if could_be_jwt(text) => Ok(Self::Jwt(Zeroizing::new(text.to_owned()))),
            Err(NoToken::Form) => {
                Err("must be a token, as `jarvis-secretsd token CLIENT` prints it, or a JWT".to_owned())
            }
        }
    }

    /// The credential in the file at `path`. One newline may stand behind it, or all that `jarvis-secretsd token` prints with a
    /// token.
    ///
    /// # Errors
    /// If the file cannot be read, or holds something else.
    pub fn in_file(path: &Path) -> Result<Self, Failure> {
        match Self::only_one_in(path, &files::read_credential(path, LONGEST)?)? {
            Self::Jwt(_) => Ok(Self::JwtFile(path.to_owned())),
            credential => Ok(credential),
        }
    }

    /// What is to be sent now, as `Authorization` has it.
    ///
    /// # Errors
    /// As [`in_file`](Self::in_file).
    pub fn bearer(&self) -> Result<Zeroizing<String>, Failure> {
        let credential = match self {
            Self::Token(token) => token.expose(),
            Self::Jwt(jwt) => jwt,
            Self::JwtFile(path) => return Self::only_one_in(path, &files::read(path, LONGEST)?)?.bearer(),
        };
        Ok(Zeroizing::new(["Bearer ", credential].concat()))
    }

    fn only_one_in(path: &Path, bytes: &Wiped) -> Result<Self, Failure> {
        let fail = |why: String| Failure::new(path.display(), why);
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        let credential = Self::parse(first).map_err(fail)?;
        let policy_line = match &credential {
            Self::Token(token) => token.policy_line(),
            _ => String::new(),
        };
        match rest.trim_end() {
            "" => Ok(credential),
            rest if rest == policy_line => Ok(credential),
            _ => Err(fail("must hold one token and nothing else".to_owned())),
        }
    }
}
