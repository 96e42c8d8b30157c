//! Variables in values: `$NAME`, `${NAME}`, `${NAME:-word}` and their kin.

use std::ffi::OsString;

use zeroize::Zeroizing;

use crate::base::failure::Failure;
use crate::base::secret::Plaintext;
use crate::base::source::Source;
use crate::vault::MAX_VALUE;

/// What a variable of the environment holds, if there is one of that name.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// How deep words may lie in words.
const DEEPEST: usize = 8;

/// Letters that are no ASCII ones, and that compose takes for such in a variable's name: a long s, and a kelvin sign.
const ALMOST_ASCII: [char; 2] = ['\u{17f}', '\u{212a}'];

#[derive(Clone, Copy)]
pub struct Char {
    /// Where it stands in the file, in bytes.
    pub at: usize,
    pub c: char,
    /// Whether it was written as an escape, and so stands for itself.
    pub escaped: bool,
}

/// Replaces the variables of one value.
#[derive(Clone, Copy)]
pub struct Interpolation<'a> {
    pub source: &'a Source,
    /// What there is besides the environment counts too.
    pub known: Environment<'a>,
}

impl Interpolation<'_> {
    /// The value that these characters are, with variables replaced unless they stand for themselves.
    pub fn expand(self, chars: &[Char], variables: bool) -> Result<Plaintext, Failure> {
        let mut text = Expansion { interpolation: self, chars, next: 0, variables }.text(0, true)?;
        Ok(Plaintext::new(std::mem::take(&mut *text)))
    }

    /// The value of a name that has none in the file.
    pub fn inherited(self, name: &str, at: usize) -> Result<Plaintext, Failure> {
        let unset = "there is no value here, and no such variable in the environment; write NAME=value, or quote a value of several lines";
        let mut text = self.lookup(name, at)?.ok_or_else(|| self.source.fail(at, unset))?;
        Ok(Plaintext::new(std::mem::take(&mut *text)))
    }

    fn lookup(self, name: &str, at: usize) -> Result<Option<Zeroizing<String>>, Failure> {
        let text = |value: OsString| match value.into_string() {
            Ok(text) => Ok(Zeroizing::new(text)),
            Err(_) => Err(self.source.fail(at, "this variable is not UTF-8")),
        };
        (self.known)(name).map(text).transpose()
    }
}

/// One value, as far as it was read.
struct Expansion<'a> {
    interpolation: Interpolation<'a>,
    chars: &'a [Char],
    next: usize,
    variables: bool,
}

impl Expansion<'_> {
    /// The text up to the end of the value, or, within `${`, up to the brace that closes it. What is not `needed` may
    /// have variables that are not set.
    fn text(&mut self, depth: usize, needed: bool) -> Result<Zeroizing<String>, Failure> {
        let mut text = Zeroizing::new(String::with_capacity(self.chars.len()));
        while let Some(char) = self.take() {
            match char.c {
                '$' if self.variables && !char.escaped => text.push_str(&self.dollar(char.at, depth, needed)?),
                '}' if depth > 0 => return Ok(text),
                '{' if depth > 0 => {
                    return self.fail(char.at, "a brace within ${...}; set a variable of its own before");
                }
                '\n' if depth > 0 => {
                    return self.fail(char.at, "${...} must be closed on its line; write $$ for a dollar sign");
                }
                c => text.push(c),
            }
            if text.len() > MAX_VALUE {
                return self.fail(char.at, "a value has at most 65536 bytes");
            }
        }
        if depth > 0 {
            return self.fail(self.chars[self.chars.len() - 1].at, "${ is not closed; write $$ for a dollar sign");
        }
        Ok(text)
    }

    /// What stands for the dollar sign at `at`, and what belongs to it.
    fn dollar(&mut self, at: usize, depth: usize, needed: bool) -> Result<Zeroizing<String>, Failure> {
        match self.peek() {
            Some(Char { c: '$', escaped: true, .. }) => {
                self.fail(at, "a dollar sign before an escaped one; write \\$ for it too")
            }
            Some(Char { c: '$', .. }) => {
                self.next += 1;
                Ok(Zeroizing::new("$".to_owned()))
            }
            Some(Char { c: '{', .. }) => {
                self.next += 1;
                self.braced(at, depth + 1, needed)
            }
            _ => {
                let name = self.name(at)?;
                if name.is_empty() {
                    return Ok(Zeroizing::new("$".to_owned()));
                }
                self.value_of(&name, at, needed)
            }
        }
    }

    /// What stands for `${...}`, whose name is next.
    fn braced(&mut self, at: usize, depth: usize, needed: bool) -> Result<Zeroizing<String>, Failure> {
        if depth > DEEPEST {
            return self.fail(at, "${...} within ${...} too many times");
        }
        let name = self.name(at)?;
        let mut operator = self.take().map(|char| char.c);
        if operator == Some('}') && !name.is_empty() {
            return self.value_of(&name, at, needed);
        }
        let or_empty = operator == Some(':');
        if or_empty {
            operator = self.take().map(|char| char.c);
        }
        let Some(operator @ ('-' | '+' | '?')) = operator.filter(|_| !name.is_empty()) else {
            return self.fail(at, "this is neither ${NAME} nor ${NAME:-word}; write $$ for a dollar sign");
        };
        let value = self.interpolation.lookup(&name, at)?.filter(|value| !or_empty || !value.is_empty());
        let takes_word = match operator {
            '-' => value.is_none(),
            '+' => value.is_some(),
            _ => false,
        };
        let word = self.text(depth, needed && takes_word)?;
        match (operator, value) {
            ('+', None) => Ok(Zeroizing::default()),
            ('?', None) if needed => self.fail(at, "this variable is required, and not set"),
            ('+', Some(_)) | (_, None) => Ok(word),
            (_, Some(value)) => Ok(value),
        }
    }

    /// The name that is next, which may be none.
    fn name(&mut self, at: usize) -> Result<String, Failure> {
        let mut name = String::new();
        while let Some(Char { c, .. }) = self.peek() {
            match c {
                'A'..='Z' | 'a'..='z' | '_' => name.push(c),
                '0'..='9' if !name.is_empty() => name.push(c),
                c if ALMOST_ASCII.contains(&c) => {
                    return self.fail(at, "a letter in this variable's name is not ASCII");
                }
                _ => break,
            }
            self.next += 1;
        }
        Ok(name)
    }

    fn value_of(&self, name: &str, at: usize, needed: bool) -> Result<Zeroizing<String>, Failure> {
        match self.interpolation.lookup(name, at)? {
            Some(value) => Ok(value),
            None if needed => {
                self.fail(at, "this variable is not set; write $$ for a dollar sign, or ${NAME-} if it may be missing")
            }
            None => Ok(Zeroizing::default()),
        }
    }

    fn peek(&self) -> Option<Char> {
        self.chars.get(self.next).copied()
    }

    fn take(&mut self) -> Option<Char> {
        let char = self.peek()?;
        self.next += 1;
        Some(char)
    }

    /// Says what is wrong, in words that are not from the file.
    fn fail<T>(&self, at: usize, why: &'static str) -> Result<T, Failure> {
        Err(self.interpolation.source.fail(at, why))
    }
}
