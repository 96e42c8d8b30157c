//! The master key in shares: which sets of lines give it back, and what is said of those that do not.

use super::*;

const VAULT: &str = "00112233445566778899aabbccddeeff";

/// Lines of [`key`] that another program has made, tests/system/shares.py.
const LINES: &str = "\
    jarvis-secretsd share v1 vault=00112233445566778899aabbccddeeff export=da851ea0 share=1/3 threshold=2 \
     part=48fa-4890-87a9-a43d-7be1-2669-4915-2f95-752d-0d36-d865-ff7f-7c32-ba06-c30b-f9c2-be04-0a51-01 check=eb90c34e \n\
    jarvis-secretsd share v1 vault=00112233445566778899aabbccddeeff export=da851ea0 share=3/3 threshold=2 \
     part=d817-dcad-9aea-fb49-9d2a-7ead-c325-6dba-bf55-337c-5b85-36af-b464-e13c-6627-2c63-1f16-9fa1-03 check=a1a8600d \n";

fn key() -> KeyBytes {
    let bytes: Vec<u8> = (0..32).collect();
    KeyBytes::of(&bytes).unwrap()
}

/// The lines of an export of [`key`].
fn lines(shares: u8, threshold: u8) -> Vec<String> {
    split(&key(), VAULT, shares, threshold).unwrap().iter().map(|share| share.line().expose().to_owned()).collect()
}

fn open(text: &str) -> Result<KeyBytes, ShareError> {
    let shares = parse(text)?;
    let (key, vault_id) = combine(&shares)?;
    assert_eq!(vault_id, VAULT);
    Ok(key)
}

fn error(text: &str) -> ShareError {
    open(text).err().unwrap()
}

#[test]
fn any_three_of_five_lines_give_the_key_and_no_two_do() {
    let lines = lines(5, 3);
    for chosen in 0..1_u32 << 5 {
        let numbers: Vec<u8> = (1..=5).filter(|number| chosen >> (number - 1) & 1 == 1).collect();
        let text: String = numbers.iter().rev().map(|number| &lines[usize::from(*number) - 1][..]).collect();
        match numbers.len() {
            0 => assert_eq!(error(&text), ShareError::NoShare { line: 1 }),
            1 | 2 => {
                let here = numbers.iter().rev().copied().collect();
                assert_eq!(error(&text), ShareError::TooFew { here, threshold: 3, shares: 5 });
            }
            _ => assert!(open(&text).unwrap() == key(), "{numbers:?}"),
        }
    }
    for (shares, threshold) in [(2, 2), (5, 5), (9, 2), (255, 255)] {
        assert!(open(&self::lines(shares, threshold).concat()).unwrap() == key(), "{threshold} of {shares}");
    }
}

#[test]
fn a_line_says_which_share_of_which_export_of_which_vaults_key_it_is() {
    let lines = lines(5, 3);
    let words: Vec<&str> = lines[1].split_ascii_whitespace().collect();
    let [title, share, version, vault, export, number, threshold, part, check] = words[..] else { panic!("{words:?}") };
    assert_eq!([title, share, version], ["jarvis-secretsd", "share", "v1"]);
    assert_eq!(vault, format!("vault={VAULT}"));
    assert_eq!([number, threshold], ["share=2/5", "threshold=3"]);
    assert_eq!((export.len(), part.len(), check.len()), ("export=".len() + 8, "part=".len() + 92, "check=".len() + 8));
    assert!(part.ends_with("-02"), "the number is behind the values");
    assert!(lines.iter().all(|line| line.contains(export) && line.lines().count() == 1));
}

#[test]
fn white_space_hyphens_line_ends_and_the_case_of_letters_do_not_count() {
    let whole = lines(2, 2).concat();
    for typed in [
        whole.to_uppercase(),
        whole.replace('\n', " \r\n\r\n"),
        whole.replace('-', ""),
        whole.replace('-', " "),
        whole.replace(' ', "\n\t"),
        whole.replace("share=", "sha\nre = "),
        whole.trim_end().to_owned(),
    ] {
        assert!(open(&typed).unwrap() == key(), "{typed}");
    }
}

#[test]
fn any_character_that_is_changed_swapped_left_out_or_added_is_found() {
    let line = lines(5, 3)[3].trim_end().to_owned();
    let kept = parse(&line).unwrap()[0].line();
    let is_found = |typed: &[u8]| {
        let typed = std::str::from_utf8(typed).unwrap();
        // What does not count may be anywhere, and means the same.
        parse(typed).map_or(true, |shares| shares.len() == 1 && shares[0].line().expose() == kept.expose())
    };
    for at in 0..line.len() {
        for other in b' '..=b'~' {
            let mut typed = line.clone().into_bytes();
            typed[at] = other;
            assert!(is_found(&typed), "{at} {}", char::from(other));
            typed.insert(at, line.as_bytes()[at]);
            assert!(is_found(&typed), "{} before {at}", char::from(other));
        }
        for other in at..line.len() {
            let mut typed = line.clone().into_bytes();
            typed.swap(at, other);
            assert!(is_found(&typed), "{at} and {other} swapped");
        }
        let mut typed = line.clone().into_bytes();
        typed.remove(at);
        assert!(is_found(&typed), "without {at}");
        assert!(at == 0 || is_found(&line.as_bytes()[..at]), "cut off at {at}");
    }
}

#[test]
fn a_mistyped_line_is_named_by_its_number_and_that_of_the_share() {
    let lines = lines(5, 3);
    let part = lines[3].split("part=").nth(1).unwrap();
    let digit = if part.starts_with('0') { "1" } else { "0" };
    let mistyped = lines[3].replace(part, &format!("{digit}{}", &part[1..]));
    let text = |line: &str| format!("{}\n{line}{}", lines[0], lines[4]);
    assert_eq!(error(&text(&mistyped)), ShareError::Mistyped { line: 3, number: Some(4) });
    assert_eq!(error(&text(&lines[3].replace("share=4", "share=x"))), ShareError::Mistyped { line: 3, number: None });
    assert_eq!(error(&text(&format!("{}\n", &lines[3][..150]))), ShareError::Mistyped { line: 3, number: Some(4) });
    assert_eq!(error(&text("a note\n")), ShareError::NoShare { line: 3 });
    assert_eq!(error(&text("é\n")), ShareError::NoShare { line: 3 });
}

#[test]
fn a_line_whose_check_sum_fits_and_which_cannot_be_is_of_another_version() {
    for (is, would_be) in
        [("v1", "v2"), ("share=1/2", "share=3/2"), ("threshold=2", "threshold=3"), ("part=", "part=0")]
    {
        let line = lines(2, 2)[0].replace(is, would_be);
        let head = line.split(" check=").next().unwrap();
        let check = hex(&Sha256::digest(head.replace([' ', '-'], ""))[..4]);
        assert_eq!(error(&format!("{head} check={check}")), ShareError::Unknown { line: 1 }, "{would_be}");
    }
}

#[test]
fn a_line_that_was_made_on_purpose_is_taken_or_refused_whatever_is_in_it() {
    let line = lines(2, 2)[0].clone();
    let head = line.split("check=").next().unwrap();
    for (at, character) in head.char_indices() {
        for other in (' '..='~').chain(['\u{7f}', 'é', '\u{2028}', '€']) {
            for replaced in 0..=1 {
                let (before, behind) = (&head[..at], &head[at + replaced * character.len_utf8()..]);
                let made = format!("{before}{other}{behind}").to_ascii_lowercase();
                let check = hex(&Sha256::digest(made.replace(|c: char| c.is_whitespace() || c == '-', ""))[..4]);
                match parse(&format!("{made}check={check}")) {
                    Ok(shares) => assert!((1..=shares[0].export.shares).contains(&shares[0].number), "{made}"),
                    Err(why) => assert!(why.to_string().starts_with("line 1"), "{made}: {why}"),
                }
            }
        }
    }
}

#[test]
fn shares_of_two_exports_or_of_two_vaults_are_not_put_together() {
    let (ours, others) = (lines(5, 3), lines(5, 3));
    let text = [&ours[0][..], &others[1], &ours[2]].concat();
    let told = error(&text).to_string();
    assert!(told.starts_with("share 2 is from another export ("), "{told}");

    let foreign = split(&key(), "ffeeddccbbaa99887766554433221100", 5, 3).unwrap();
    let text = [&ours[0], &ours[1], foreign[3].line().expose()].concat();
    let told = error(&text).to_string();
    assert!(told.starts_with("share 4 is of the key of vault ffeeddcc"), "{told}");

    assert_eq!(error(&[&ours[0][..], &ours[1], &ours[1]].concat()), ShareError::Twice(2));
}

#[test]
fn a_share_that_was_forged_gives_no_key() {
    for forged in 0..4 {
        let mut shares = split(&key(), VAULT, 4, 3).unwrap();
        shares[forged].values[7] ^= 0x10;
        assert_eq!(combine(&shares).err(), Some(ShareError::NotOfOneKey), "one more than are needed must fit too");
        assert_eq!(combine(&shares[1..]).is_ok(), forged == 0);
    }
}

#[test]
fn two_exports_of_one_key_have_nothing_in_common() {
    let [one, other] = [(); 2].map(|()| split(&key(), VAULT, 3, 2).unwrap());
    for (one, other) in one.iter().zip(&other) {
        assert_ne!(one.export.id, other.export.id);
        assert_ne!(*one.values, *other.values);
    }
}

#[test]
fn lines_that_another_program_has_made_give_their_key() {
    assert!(open(LINES).unwrap() == key());
}

#[test]
fn what_is_wrapped_by_a_passphrase_is_not_taken_for_shares() {
    assert!(!are_in(
        "jarvis-secretsd master key, version 1, wrapped by a passphrase\nargon2id m=65536 t=3 p=4 AA==\nAA==\n"
    ));
    let line = lines(2, 2)[0].clone();
    for mistyped in [&line[..], &line.replacen("jarvis", "jarvsi", 1), &line.replace("check", "chekc")] {
        assert!(are_in(mistyped), "{mistyped}");
    }
}
