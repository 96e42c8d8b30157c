//! What the log tells people of rotations.

/// How many names stand in one line. The audit log has a line for each rotation, and `list` shows what is due.
const NAMED: usize = 20;

/// Says that these were rotated: at the request of `client`, or, without one, by the schedule.
pub fn rotated(names: &[String], client: Option<&str>) {
    if !names.is_empty() {
        log::info!("{}: {}", done_by(client), some_of(names));
    }
}

/// The beginning of a line about what was rotated.
pub(super) fn done_by(client: Option<&str>) -> String {
    match client {
        Some(client) => format!("Rotated at the request of {client}"),
        None => "Rotated as scheduled".to_owned(),
    }
}

/// Says that these wait for a person.
pub(super) fn due(names: &[String]) {
    if !names.is_empty() {
        log::warn!("Rotation is due, and a person has to do it: {}", some_of(names));
    }
}

/// The first of the names, and how many more there are.
fn some_of(names: &[String]) -> String {
    let (shown, others) = names.split_at(names.len().min(NAMED));
    match others.len() {
        0 => shown.join(", "),
        others => format!("{} and {others} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_twenty_secrets_and_counts_the_others() {
        let names = |count: usize| (1..=count).map(|n| format!("s{n}")).collect::<Vec<_>>();
        assert_eq!(some_of(&names(2)), "s1, s2");
        assert!(some_of(&names(20)).ends_with(", s20"));
        assert!(some_of(&names(21)).ends_with(", s20 and 1 more"));
        let longest = "n".repeat(128);
        assert!(some_of(&vec![longest; 100_000]).len() < 4096);
    }
}
