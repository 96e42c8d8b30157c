//! An output as it is searched: without what may stand between the parts of a value that is wrapped or spelled out.

use crate::base::secret::Wiped;

/// Some of the bytes of an output, and where each of them stands there.
pub struct View {
    bytes: Wiped,
    places: Vec<u32>,
}

impl View {
    pub fn whole(output: &[u8]) -> Self {
        Self::of(output, |_| true)
    }

    /// Without white space and control characters.
    pub fn without_space(output: &[u8]) -> Self {
        Self::of(output, |place| !is_space(output[place]))
    }

    /// As hexadecimal digits may be read: without white space, control characters, punctuation, `x`, and a `0` before an
    /// `x`; in lower case.
    pub fn of_digits(output: &[u8]) -> Self {
        let is_x = |place: usize| output.get(place).is_some_and(|byte| byte.eq_ignore_ascii_case(&b'x'));
        let is_between = |place: usize| {
            let byte = output[place];
            is_space(byte) || byte.is_ascii_punctuation() || is_x(place) || byte == b'0' && is_x(place + 1)
        };
        let mut view = Self::of(output, |place| !is_between(place));
        view.bytes.make_ascii_lowercase();
        view
    }

    fn of(output: &[u8], is_kept: impl Fn(usize) -> bool) -> Self {
        // Of this size from the start, so that it never moves and leaves a copy behind.
        let mut view = Self { bytes: Wiped::new(Vec::with_capacity(output.len())), places: Vec::new() };
        for (place, byte) in output.iter().enumerate().filter(|(place, _)| is_kept(*place)) {
            view.bytes.push(*byte);
            view.places.push(place as u32);
        }
        view
    }

    /// Sets in `hidden` whatever stands from the beginning to the end of each `needle`, and of the beginning of one that the
    /// output ends with, if that is at least `shortest` long. What ends before the place `from` may be left out.
    ///
    /// It takes time for each byte of the needle and of the output from there on, and no more (Knuth, Morris, Pratt).
    pub fn hide(&self, needle: &[u8], shortest: usize, from: usize, hidden: &mut [bool]) {
        if needle.is_empty() {
            return;
        }
        let shown = self.places.partition_point(|place| (*place as usize) < from);
        let first = shown.saturating_sub(needle.len());
        let borders = borders(needle);
        let (mut matched, mut done) = (0, first);
        for end in first..self.bytes.len() {
            while matched > 0 && (matched == needle.len() || needle[matched] != self.bytes[end]) {
                matched = borders[matched - 1] as usize;
            }
            matched += usize::from(needle[matched] == self.bytes[end]);
            if matched == needle.len() {
                self.hide_range(done.max(end + 1 - matched), end, hidden);
                done = end;
            }
        }
        if matched >= shortest {
            self.hide_range(self.bytes.len() - matched, self.bytes.len() - 1, hidden);
        }
    }

    fn hide_range(&self, first: usize, last: usize, hidden: &mut [bool]) {
        hidden[self.places[first] as usize..=self.places[last] as usize].fill(true);
    }
}

/// For each beginning of `needle`: how long the longest shorter beginning is that it ends with.
fn borders(needle: &[u8]) -> Vec<u32> {
    let mut borders = vec![0; needle.len()];
    let mut matched = 0;
    for end in 1..needle.len() {
        while matched > 0 && needle[matched] != needle[end] {
            matched = borders[matched - 1] as usize;
        }
        matched += usize::from(needle[matched] == needle[end]);
        borders[end] = matched as u32;
    }
    borders
}

fn is_space(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f
}

/// `text` without white space and control characters.
pub fn squeezed(text: &[u8]) -> Wiped {
    let mut squeezed = Wiped::new(Vec::with_capacity(text.len()));
    squeezed.extend(text.iter().filter(|byte| !is_space(**byte)));
    squeezed
}
