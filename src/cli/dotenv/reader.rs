//! The lines: names, quotes, escapes and comments.

use std::collections::HashMap;

use super::interpolation::{Char, Environment, Interpolation};
use crate::base::failure::Failure;
use crate::base::name::is_name_byte;
use crate::base::secret::Plaintext;
use crate::base::source::Source;

const NAME: &str = "a name is made of A-Z a-z 0-9 _ . -; write NAME=value, or quote a value of several lines";
const OVERLOOKED: &str = "white space that is easily overlooked; quote the value";

/// What stands for a value that is a mistake, so that who refers to it makes no second one of that.
const PLACEHOLDER: &str = "?";

/// A name and its value.
pub struct Entry {
    /// As it stands in the file: letters, digits, `_`, `.` and `-`.
    pub key: String,
    /// What it means, without quotes, with escapes and variables replaced. It may be empty.
    pub value: Plaintext,
    /// Where the entry begins, in bytes.
    pub offset: usize,
}

/// How the reader treats variables.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// Where a variable is looked up first; then among the entries before it.
    pub environment: Environment<'a>,
    /// Whether a `$` begins a variable; otherwise it stands for itself.
    pub variables: bool,
}

/// The entries of a file, and its mistakes.
pub struct Read {
    /// All entries, in their order. A key may come twice. Where a value is a mistake, another one stands for it.
    pub entries: Vec<Entry>,
    /// All mistakes, in their order, and where the entry begins that each is in, in bytes.
    pub mistakes: Vec<(usize, Failure)>,
}

/// Reads all entries, and finds all mistakes: what compose refuses, or reads in another way than it looks; variables that are
/// not set; values longer than that of a secret may be. Behind a quote that is never closed nothing more is found.
pub fn read(source: &Source, reading: Reading) -> Read {
    Reader::new(source, reading).read()
}

/// Goes through a file from its beginning to its end.
struct Reader<'a> {
    source: &'a Source,
    reading: Reading<'a>,
    next: usize,
}

/// Whether it is white space within a line.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{b}' | '\u{c}' | '\r')
}

impl<'a> Reader<'a> {
    fn new(source: &'a Source, reading: Reading<'a>) -> Self {
        let mut reader = Self { source, reading, next: 0 };
        reader.eat('\u{feff}');
        reader
    }

    fn read(mut self) -> Read {
        let (mut entries, mut mistakes): (Vec<Entry>, _) = (Vec::new(), Vec::new());
        if let Some(offset) = self.source.text().find('\0') {
            mistakes.push((offset, self.source.fail(offset, "a NUL byte, which no value can have")));
            return Read { entries, mistakes };
        }
        let mut newest = HashMap::new();
        while self.find_entry() {
            let offset = self.next;
            let known = |name: &str| {
                let earlier = || newest.get(name).map(|&index: &usize| entries[index].value.expose().into());
                (self.reading.environment)(name).or_else(earlier)
            };
            let interpolation = Interpolation { source: self.source, known: &known };
            let (key, mistake) = match self.entry(interpolation) {
                Ok((key, Ok(value))) => (Some((key, value)), None),
                Ok((key, Err(why))) => (Some((key, Plaintext::new(PLACEHOLDER.to_owned()))), Some(why)),
                Err(why) => (None, Some(why)),
            };
            if let Some((key, value)) = key {
                newest.insert(key.to_owned(), entries.len());
                entries.push(Entry { key: key.to_owned(), value, offset });
            }
            if let Some(why) = mistake {
                mistakes.push((offset, why));
                self.take(|c| c != '\n');
            }
        }
        Read { entries, mistakes }
    }

    fn rest(&self) -> &'a str {
        &self.source.text()[self.next..]
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.rest().starts_with(wanted);
        self.next += if found { wanted.len_utf8() } else { 0 };
        found
    }

    /// Takes characters as long as `belongs` says yes, which may be never.
    fn take(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.find(|c| !belongs(c)).unwrap_or(rest.len())];
        self.next += taken.len();
        taken
    }

    /// Says what is wrong at the place that was reached, in words that are not from the file.
    fn fail(&self, why: &'static str) -> Failure {
        self.source.fail(self.next, why)
    }

    /// Goes on to where an entry begins. False at the end of the file.
    fn find_entry(&mut self) -> bool {
        loop {
            self.take(|c| is_blank(c) || c == '\n');
            if !self.rest().starts_with('#') {
                return !self.rest().is_empty();
            }
            self.take(|c| c != '\n');
        }
    }

    /// The next key, and its value.
    fn entry(&mut self, interpolation: Interpolation) -> Result<(&'a str, Result<Plaintext, Failure>), Failure> {
        if self.rest().strip_prefix("export").is_some_and(|behind| behind.starts_with([' ', '\t', '\u{c}', '\r', '\n']))
        {
            self.next += "export".len();
            self.take(is_blank);
        }
        let start = self.next;
        let key = self.take(|c| u8::try_from(c).is_ok_and(is_name_byte));
        let blank = !self.take(is_blank).is_empty();
        match self.rest().chars().next() {
            Some('=' | ':') if key.is_empty() => Err(self.fail("a name is missing")),
            Some('=' | ':') => {
                self.next += 1;
                Ok((key, self.value(interpolation)))
            }
            None => Err(self.fail("the last line has neither a value nor a newline; write NAME=value")),
            Some('\n') if key.is_empty() => Err(self.fail("a name is missing")),
            Some('\n') => Ok((key, interpolation.inherited(key, start))),
            Some(_) if blank => Err(self.fail("a name must not have white space in it; write NAME=value")),
            Some(_) => Err(self.fail(NAME)),
        }
    }

    fn value(&mut self, interpolation: Interpolation) -> Result<Plaintext, Failure> {
        let blank = !self.take(is_blank).is_empty();
        let variables = self.reading.variables;
        match self.rest().chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let chars = self.quoted(quote)?;
                self.refuse_what_follows()?;
                interpolation.expand(&chars, variables && quote == '"')
            }
            Some('#') if blank => {
                Err(self.fail("compose takes this comment for the value; quote it, or write '' for none"))
            }
            _ => {
                let chars = self.unquoted()?;
                interpolation.expand(&chars, variables)
            }
        }
    }

    fn unquoted(&mut self) -> Result<Vec<Char>, Failure> {
        let start = self.next;
        let line = self.take(|c| c != '\n');
        let value = line.split(" #").next().unwrap_or_default().trim_end_matches(is_blank);
        let mut before = None;
        for (index, c) in value.char_indices() {
            let wrong = match (before, c) {
                (_, '\r') => Some("a carriage return within a value; quote the value if it is meant"),
                (Some('\t'), '#') => Some("a comment needs a space before it; if this is none, quote the value"),
                (Some('\\'), '$') if self.reading.variables => {
                    Some("a backslash escapes only within double quotes; use single quotes")
                }
                (None, c) if c.is_whitespace() => Some(OVERLOOKED),
                _ => None,
            };
            if let Some(why) = wrong {
                return Err(self.source.fail(start + index, why));
            }
            before = Some(c);
        }
        if before.is_some_and(char::is_whitespace) {
            return Err(self.source.fail(start + value.trim_end().len(), OVERLOOKED));
        }
        Ok(value.char_indices().map(|(index, c)| Char { at: start + index, c, escaped: false }).collect())
    }

    /// What stands between quotes. Within single ones a backslash escapes nothing but the quote.
    fn quoted(&mut self, quote: char) -> Result<Vec<Char>, Failure> {
        let start = self.next;
        let mut chars = Vec::new();
        let mut mistake = None;
        let mut rest = self.rest().char_indices().map(|(index, c)| (start + index, c)).skip(1);
        while let Some((at, c)) = rest.next() {
            if c == quote {
                self.next = at + 1;
                return mistake.map_or(Ok(chars), Err);
            }
            if c != '\\' {
                chars.push(Char { at, c, escaped: false });
                continue;
            }
            let Some((_, escaped)) = rest.next() else { break };
            let meant = match escaped {
                _ if escaped == quote => Some(quote),
                _ if quote == '\'' => None,
                '0' => {
                    let why = "an octal escape; write the character itself";
                    mistake = mistake.or_else(|| Some(self.source.fail(at, why)));
                    None
                }
                '$' | '\\' => Some(escaped),
                'a' => Some('\u{7}'),
                'b' => Some('\u{8}'),
                'f' => Some('\u{c}'),
                'n' => Some('\n'),
                'r' => Some('\r'),
                't' => Some('\t'),
                'v' => Some('\u{b}'),
                _ => None,
            };
            match meant {
                Some(c) => chars.push(Char { at, c, escaped: true }),
                // It is no escape: both stay.
                None => chars.extend([c, escaped].map(|c| Char { at, c, escaped: false })),
            }
        }
        self.next = self.source.text().len();
        Err(self.source.fail(start, "this quote is never closed"))
    }

    /// Behind a closing quote, there may be a comment.
    fn refuse_what_follows(&mut self) -> Result<(), Failure> {
        self.take(is_blank);
        match self.rest().chars().next() {
            None | Some('\n' | '#') => Ok(()),
            Some(_) => {
                Err(self
                    .fail("behind the closing quote, only a comment may follow; escape a quote within a value: \\\""))
            }
        }
    }
}
