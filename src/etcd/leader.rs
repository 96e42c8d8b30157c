//! Which member of etcd leads. Another one passes on to it what it is asked, and waits for its answer.

use super::answer::Status;

/// Finds it by what the members say of themselves, one after the other.
#[derive(Default)]
pub struct Search {
    /// The leader that is looked for.
    leader: Option<String>,
    /// How many members were asked that only follow it.
    asked: usize,
}

impl Search {
    /// Learns what a member says. Returns whether another one of so many endpoints is to be asked from now on. Each is tried
    /// once for each leader: that one may be out of reach.
    pub fn goes_on(&mut self, said: &Status, endpoints: usize) -> bool {
        if said.leader != self.leader || said.is_leader() {
            *self = Self { leader: said.leader.clone(), asked: 0 };
        }
        if said.leader.is_none() || said.is_leader() {
            return false;
        }
        self.asked += 1;
        self.asked < endpoints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(member: &str, leader: Option<&str>) -> Status {
        Status { member: member.to_owned(), leader: leader.map(str::to_owned), db_size_bytes: 0 }
    }

    #[test]
    fn members_are_asked_until_one_leads() {
        let mut search = Search::default();
        assert!(search.goes_on(&said("a", Some("c")), 3));
        assert!(search.goes_on(&said("b", Some("c")), 3));
        assert!(!search.goes_on(&said("c", Some("c")), 3));
        assert!(search.goes_on(&said("c", Some("a")), 3), "another one has come to lead");
        assert!(!search.goes_on(&said("a", Some("a")), 3));
    }

    #[test]
    fn a_leader_that_cannot_be_reached_is_looked_for_once() {
        let mut search = Search::default();
        let (here, there) = (said("a", Some("c")), said("b", Some("c")));
        assert!(search.goes_on(&here, 3) && search.goes_on(&there, 3));
        assert!(!search.goes_on(&here, 3) && !search.goes_on(&there, 3));
    }

    #[test]
    fn nobody_is_looked_for_where_none_leads_or_there_is_no_choice() {
        let mut search = Search::default();
        assert!(!search.goes_on(&said("a", None), 3));
        assert!(!search.goes_on(&said("a", Some("b")), 1));
    }
}
