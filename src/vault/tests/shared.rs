//! Several daemons on one vault, whose changes a log in memory orders.

mod ordered;
mod register;

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::time::Duration;

use super::numbered::numbers;
use super::*;
use crate::vault::log::header::Header;
use crate::vault::others::LastAdditions;
use crate::vault::seal::SealingKey;
use crate::vault::shared_log::{Position, Unavailable};
use ordered::{Content, Fate, Node, Ordered};

/// A daemon's host, and the log that it shares with others.
struct Host {
    site: Site,
    node: Arc<Node>,
}

/// As many hosts as there are names, whose daemons share a vault.
fn hosts<const N: usize>(test: &str, names: [&'static str; N]) -> [Host; N] {
    let first = Site::new(&format!("shared-{test}-{}", names[0]));
    let master = first.master.clone();
    let (header, _) = Header::generate(&SealingKey::new(&master)).unwrap();
    let content = Content {
        end: Position { seq: 0, link: log::record::NO_LINK },
        snapshot: (0, Vec::new()),
        additions: Vec::new(),
        late: None,
        fates: VecDeque::new(),
        unanswered: 0,
        leader: names[0],
        claims: BTreeMap::new(),
    };
    let log = Arc::new(Ordered { header: Mutex::new(header.line()), content: Mutex::new(content) });
    let mut first = Some(first);
    names.map(|name| {
        let mut site = first.take().unwrap_or_else(|| Site::new(&format!("shared-{test}-{name}-other")));
        site.master = master.clone();
        Host { site, node: Arc::new(Node { log: log.clone(), name, claimed: Mutex::default() }) }
    })
}

impl Host {
    fn look(&self) -> Result<Found, Failure> {
        let known = audit::Found::look(&self.site.audit_path()).unwrap().tip().map_or(VaultAt::START, |tip| tip.vault);
        Found::look_shared(&self.site.path(), &self.node.header(), &self.site.master, known, &*self.node, false)
    }

    /// Starts its daemon, which audits first what a crash has left without its line.
    fn start(&self) -> Arc<Vault> {
        let found = self.look().unwrap();
        assert!(matches!(found.history(), History::Continues | History::Beyond), "{:?}", found.history());
        let recovered = found.unaudited().iter().map(|change| change.clone().entry("found at the start"));
        let begun = Entry { vault: Some(found.at()), ..Entry::new(Event::ServerStart) };
        let lines = recovered.chain([begun]).collect();
        let (path, clock) = (self.site.path(), self.site.clock.clone());
        let vault = found.open(&path, self.site.audit(), clock, LIFETIMES).unwrap().sharing(self.node.clone());
        vault.audit.begin(lines).unwrap();
        Arc::new(vault)
    }

    /// Has its daemon put a snapshot in place of the log, as one that leads does while all others are away.
    fn replace_log(&self, vault: &Vault) {
        let Ok(mut snapshot) = vault.snapshot() else { return };
        let (mut lines, through) = (Vec::new(), snapshot.through.seq);
        snapshot.lines.read_to_end(&mut lines).unwrap();
        let (before, additions) = {
            let mut content = lock(&self.node.log.content);
            if through <= content.snapshot.0 {
                return;
            }
            let (before, _) = std::mem::replace(&mut content.snapshot, (through, lines));
            (before, content.additions.clone())
        };
        let replaced = additions.iter().take_while(|(behind, _)| behind.seq < before).count();
        let mut open = LastAdditions::default();
        for (_, lines) in &additions[..replaced] {
            vault.note_addition(&mut open, lines).unwrap();
        }
        let mut behind = open.behind();
        for (_, lines) in &additions[replaced..] {
            vault.note_addition(&mut behind, lines).unwrap();
        }
        open.retain(|node| node != self.node.name);
        if vault.audit_snapshot(through, open.without(&behind)).is_ok() {
            lock(&self.node.log.content).additions.drain(..replaced.saturating_sub(1));
        }
    }

    fn fates(&self, fates: &[Fate]) {
        lock(&self.node.log.content).fates.extend(fates);
    }
}

/// What a client reads at a daemon that has asked first whether it is up to date.
fn confirmed(vault: &Vault, name: &str) -> Option<String> {
    vault.confirm().unwrap();
    read(vault, name).ok()
}

fn put_if(vault: &Arc<Vault>, value: &str, condition: Condition) -> Result<String, Refused> {
    let done = vault.commit(Order { condition, ..order(put_operation("db", value)) })?;
    Ok(done[0].version.as_ref().unwrap().kid.of("db"))
}

fn if_match(kid: &str) -> Condition {
    Condition { if_match: Some(vec![kid.to_owned()]), if_none_match: None }
}

fn if_absent() -> Condition {
    Condition { if_match: None, if_none_match: Some(Vec::new()) }
}

/// Of each change that some log tells of, by how many lines.
fn told<const N: usize>(hosts: [&Host; N]) -> BTreeMap<u64, usize> {
    let mut told = BTreeMap::new();
    for host in hosts {
        let mut before = 0;
        for line in host.site.audit_lines() {
            let seq = line["vault_seq"].as_u64().unwrap();
            let is_change = line["secret_name"].is_string() && line["result"] == "success";
            if is_change && (seq != before || line["event"] == "recovered") {
                *told.entry(seq).or_default() += 1;
            }
            before = seq;
        }
    }
    told
}

fn explained_once<const N: usize>(hosts: [&Host; N], through: u64) {
    assert_eq!(told(hosts), (1..=through).map(|seq| (seq, 1)).collect());
}

#[test]
fn what_one_daemon_has_acknowledged_every_other_serves() {
    let [here, there] = hosts("served", ["a", "b"]);
    let (one, other) = (here.start(), there.start());
    put(&one, "db", "first");
    assert_eq!(confirmed(&other, "db").as_deref(), Some("first"));
    put(&other, "db", "second");
    rotate(&other, "db");
    put(&other, "db", "third");
    assert_eq!(confirmed(&one, "db").as_deref(), Some("third"));
    delete(&one, "db");
    assert_eq!(confirmed(&other, "db"), None);
    assert_eq!(picture(&one), picture(&other));
    explained_once([&here, &there], 5);
}

#[test]
fn versions_have_the_same_numbers_at_all_daemons_also_behind_a_snapshot() {
    let [here, there, later] = hosts("numbers", ["a", "b", "c"]);
    let (one, other) = (here.start(), there.start());
    for round in 0..3 {
        put(&one, "db", &format!("one {round}"));
        put(&other, "db", &format!("other {round}"));
        put(&other, "web", &format!("web {round}"));
    }
    one.confirm().unwrap();
    let names = ["db", "web"];
    let made = numbers(&one, &names);
    assert_eq!(made[0].iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 4, 5, 7, 8]);
    assert_eq!(numbers(&other, &names), made);
    here.replace_log(&one);
    assert_eq!(numbers(&one, &names), made);
    assert_eq!(numbers(&later.start(), &names), made, "which has read the snapshot");
}

#[test]
fn a_change_that_comes_second_is_planned_again_on_what_came_first() {
    let [here, there] = hosts("second", ["a", "b"]);
    let (one, other) = (here.start(), there.start());
    let kid = put_if(&one, "first", if_absent()).unwrap();
    let refused = Refused::PreconditionFailed(vec!["db".to_owned()]);
    assert_eq!(put_if(&other, "late", if_absent()).unwrap_err(), refused);
    assert_eq!(put_if(&other, "second", if_match(&kid)).map(drop), Ok(()));
    assert_eq!(put_if(&one, "late", if_match(&kid)).unwrap_err(), refused);
    // Nobody has asked whether it knew all: a refusal, too, is an answer about what there is.
    delete(&other, "db");
    assert_eq!(one.commit(order(delete_operation("db"))).unwrap_err(), Refused::NotFound("db".to_owned()));
    explained_once([&here, &there], 3);
}

#[test]
fn versions_come_in_the_order_of_their_ids_whatever_the_clocks_of_the_daemons_say() {
    let [here, there] = hosts("clocks", ["a", "b"]);
    here.site.dial.advance(Duration::from_secs(60));
    let (one, other) = (here.start(), there.start());
    let kids: Vec<_> = (0..10).map(|n| put(if n % 2 == 0 { &one } else { &other }, "db", "v")).collect();
    assert!(kids.iter().map(|kid| Kid::parse("db", kid).unwrap()).is_sorted(), "{kids:?}");
}

#[test]
fn who_waits_for_a_change_is_woken_by_one_that_another_daemon_made() {
    let [here, there] = hosts("woken", ["a", "b"]);
    let (one, other) = (here.start(), there.start());
    let watch = one.watchers().watch("db", "web", 1).unwrap();
    assert!(watch.rearm());
    put(&other, "db", "v");
    one.confirm().unwrap();
    rustix::io::read(&watch, &mut [0; 8]).expect("the bell has rung");
}

#[test]
fn a_daemon_that_cannot_ask_serves_nothing_and_changes_nothing() {
    let [here] = hosts("silence", ["a"]);
    let vault = here.start();
    put(&vault, "db", "v");
    lock(&here.node.log.content).unanswered = 1;
    assert_eq!(vault.confirm().unwrap_err(), Refused::Shared(Unavailable::Unanswered("silence".to_owned())));
    here.fates(&[Fate::Refused]);
    let refused = vault.commit(order(put_operation("db", "w"))).unwrap_err();
    assert_eq!(refused, Refused::Shared(Unavailable::Full("no room".to_owned())));
    assert_eq!(confirmed(&vault, "db").as_deref(), Some("v"));
    put(&vault, "db", "w");
    explained_once([&here], 2);
}

#[test]
fn a_change_whose_answer_was_lost_is_there_once_or_not_at_all_and_has_its_line_if_it_is() {
    for (fate, comes) in [(Fate::Unheard, true), (Fate::Lost, false), (Fate::Late, true)] {
        let [here, there] = hosts("unheard", ["a", "b"]);
        let (one, other) = (here.start(), there.start());
        here.fates(&[fate]);
        let refused = one.commit(order(put_operation("db", "unheard"))).unwrap_err();
        assert!(matches!(refused, Refused::Shared(Unavailable::Undecided(_))), "{refused:?}");
        assert!(read(&one, "db").is_err(), "nothing is served that may not be");
        put(&other, "other", "v");
        let expected = comes.then(|| "unheard".to_owned());
        assert_eq!([confirmed(&one, "db"), confirmed(&other, "db")], [expected.clone(), expected], "{fate:?}");
        put(&one, "db", "next");
        assert_eq!(confirmed(&other, "db").as_deref(), Some("next"));
        explained_once([&here, &there], if comes { 3 } else { 2 });
    }
}

#[test]
fn a_crash_behind_a_change_leaves_its_line_to_the_daemon_that_made_it() {
    let [here, there] = hosts("crash", ["a", "b"]);
    let (one, other) = (here.start(), there.start());
    put(&one, "before", "v");
    here.fates(&[Fate::Unheard]);
    let entry = Entry { client: Some("web".to_owned()), ..Entry::new(Event::CreateSecret) };
    one.commit(Order { entry, ..order(put_operation("db", "v")) }).unwrap_err();
    drop(one);
    put(&other, "after", "v");
    drop(other);
    let other = there.start();
    assert!(there.site.audit_lines().iter().all(|line| line["event"] != "recovered"), "it is not this one's");
    let one = here.start();
    let lines = here.site.audit_lines();
    let recovered: Vec<_> = lines.iter().filter(|line| line["event"] == "recovered").collect();
    assert_eq!(recovered.len(), 1);
    assert_eq!((&recovered[0]["secret_name"], &recovered[0]["client"]), (&"db".into(), &"web".into()));
    assert_eq!(confirmed(&one, "db"), confirmed(&other, "db"));
    explained_once([&here, &there], 3);
}

#[test]
fn a_daemon_that_begins_anew_under_a_name_owns_nothing_that_was_made_under_it_before() {
    let [here] = hosts("anew", ["a"]);
    let vault = here.start();
    put(&vault, "db", "v");
    put(&vault, "db", "w");
    drop(vault);
    for path in [here.site.path(), here.site.audit_path()] {
        std::fs::remove_file(path).unwrap();
    }
    let found = here.look().unwrap();
    assert_eq!((found.unaudited().len(), found.audited(), found.history()), (0, 0, History::Continues));
    put(&here.start(), "db", "x");
    let events: Vec<_> = here.site.audit_lines().into_iter().map(|line| line["event"].clone()).collect();
    assert_eq!(events, ["server_start", "create_secret"]);
}

#[test]
fn what_is_in_force_and_could_not_be_audited_comes_before_the_next_line() {
    let [here, there] = hosts("owed", ["a", "b"]);
    let (one, other) = (here.start(), there.start());
    put(&one, "db", "v");
    one.audit.faults().writes.store(2, Ordering::SeqCst);
    let refused = one.commit(order(put_operation("db", "w"))).unwrap_err();
    assert!(refused.was_applied(), "{refused:?}");
    assert_eq!(confirmed(&other, "db").as_deref(), Some("w"), "it is in force everywhere");
    assert!(one.audit.is_behind());
    one.audit.write(Entry::new(Event::GetSecret)).unwrap_err();
    one.audit.write(Entry::new(Event::GetSecret)).unwrap();
    let events: Vec<_> = here.site.audit_lines().into_iter().map(|line| line["event"].clone()).collect();
    assert_eq!(events, ["server_start", "create_secret", "create_secret", "audit_resumed", "get_secret"]);
    explained_once([&here, &there], 2);
}

#[test]
fn a_copy_that_is_short_torn_damaged_or_gone_is_made_whole_from_the_shared_log() {
    let [here, there] = hosts("copies", ["a", "b"]);
    let (one, other) = (here.start(), there.start());
    for n in 0..5 {
        put(&one, "db", &format!("{n}"));
        put(&other, "db", &format!("{n} there"));
    }
    one.confirm().unwrap();
    let expected = picture(&one);
    drop(one);
    let whole = here.site.bytes();
    for length in (0..whole.len()).step_by(97) {
        here.site.write(&whole[..length]);
        let vault = here.start();
        assert_eq!(picture(&vault), expected, "{length} bytes were left");
        drop(vault);
        assert_eq!(here.site.bytes(), whole);
        let mut damaged = whole.clone();
        damaged[length] ^= 1;
        here.site.write(&damaged);
        match here.look() {
            Ok(copy) => {
                here.site.open_found(copy);
                assert_eq!(here.site.bytes(), whole, "byte {length}");
            }
            // One of its vault's id, or of how its file calls itself.
            Err(why) => assert!(why.to_string().contains("another vault"), "byte {length}: {why}"),
        }
    }
    std::fs::remove_file(here.site.path()).unwrap();
    assert_eq!(picture(&here.start()), expected);
}

#[test]
fn a_log_that_was_set_back_or_went_another_way_is_refused_and_the_copy_left_as_it_is() {
    let [here, there] = hosts("back", ["a", "b"]);
    let (one, other) = (here.start(), there.start());
    put(&one, "db", "v");
    put(&one, "db", "w");
    other.confirm().unwrap();
    let set_back = || {
        let mut content = lock(&here.node.log.content);
        let (behind, _) = content.additions.pop().unwrap();
        content.end = behind;
    };
    set_back();
    // Both are running: each sees it with the next question, and serves nothing from there on.
    for vault in [&one, &other] {
        let refused = vault.confirm().unwrap_err();
        assert!(matches!(refused, Refused::Shared(Unavailable::Mismatch(_))), "{refused:?}");
        assert!(vault.trouble().is_some());
        assert_eq!(vault.commit(order(delete_operation("db"))).unwrap_err(), refused);
    }
    drop((one, other));
    let before = here.site.bytes();
    assert!(here.look().is_err());
    assert_eq!(here.site.bytes(), before);
    // A daemon that has no copy goes another way from there: the change has the number that the others know.
    std::fs::remove_file(there.site.path()).unwrap();
    std::fs::remove_file(there.site.audit_path()).unwrap();
    put(&there.start(), "db", "another");
    let why = here.look().err().unwrap().to_string();
    assert!(why.contains("another change with the number 2") && why.contains("--accept-rollback"), "{why}");
    assert_eq!(here.site.bytes(), before);
    let (path, line, node) = (here.site.path(), here.node.header(), &*here.node);
    let copy = Found::look_shared(&path, &line, &here.site.master, VaultAt::START, node, true).unwrap();
    assert!(copy.other_history().is_some());
    here.site.open_found(copy);
    assert_eq!(here.site.bytes(), there.site.bytes());
}

#[test]
fn a_change_that_takes_effect_only_after_its_daemons_next_start_is_audited_by_that_daemon() {
    let [here, there] = hosts("late", ["a", "b"]);
    let (one, other) = (here.start(), there.start());
    here.fates(&[Fate::Late]);
    one.commit(order(put_operation("db", "v"))).unwrap_err();
    drop(one);
    let one = here.start();
    put(&other, "other", "v");
    assert_eq!(confirmed(&one, "db").as_deref(), Some("v"));
    let lines = here.site.audit_lines();
    assert_eq!(lines.last().unwrap()["event"], "recovered");
    explained_once([&here, &there], 2);
}

#[test]
fn a_duty_that_was_lost_refuses_its_own_order_and_no_other() {
    let [_, here] = hosts("duty", ["leader", "a"]);
    let vault = here.start();
    put(&vault, "db", "v");
    let scheduled = Order { duty: Duty::Leader, ..order(rotate_operation(&["db"])) };
    let refused = vault.commit(scheduled).unwrap_err();
    assert_eq!(refused, Refused::Shared(Unavailable::Fenced("fenced".to_owned())));
    assert_eq!(confirmed(&vault, "db").as_deref(), Some("v"));
}

#[test]
fn only_the_daemon_that_leads_destroys_what_is_past_its_grace_and_leaves_it_to_the_next_one() {
    let [here, there] = hosts("leads", ["a", "b"]);
    let (one, other) = (here.start(), there.start());
    put(&one, "db", "v");
    put(&one, "db", "w");
    put(&one, "web", "v");
    put(&one, "web", "w");
    for host in [&here, &there] {
        host.site.dial.advance(DAY * 15);
    }
    other.confirm().unwrap();
    assert!(one.leads() && !other.leads());
    assert_eq!(other.destroy_expired("scheduled", || false), Ok(0));
    assert_eq!(one.expired_versions().len(), 2);
    lock(&here.node.log.content).leader = "b";
    assert_eq!(one.destroy_expired("scheduled", || false), Ok(0));
    assert_eq!(other.destroy_expired("scheduled", || false), Ok(2));
    one.confirm().unwrap();
    assert!(one.expired_versions().is_empty());
}

#[test]
fn a_secret_is_claimed_by_one_daemon_and_what_the_claim_is_for_is_refused_without_it() {
    let [here, there] = hosts("claims", ["a", "b"]);
    let (one, other) = (here.start(), there.start());
    put(&one, "db", "v");
    let claim = one.claim("db").unwrap().unwrap();
    assert!(other.claim("db").unwrap().is_none());
    assert!(other.claim("web").unwrap().is_some());
    let prepare = || Operation::Prepare { name: "db".to_owned(), value: Plaintext::new("w".to_owned()) };
    let claimed = |operation| Order { duty: Duty::Claim, ..order(operation) };
    let fenced = Refused::Shared(Unavailable::Fenced("fenced".to_owned()));
    assert_eq!(other.commit(claimed(prepare())).unwrap_err(), fenced);
    one.commit(claimed(prepare())).unwrap();
    one.still_claims("db").unwrap();
    // Its lease ends, and the other one goes on.
    lock(&here.node.log.content).claims.clear();
    let taken = other.claim("db").unwrap().unwrap();
    let (name, kid) = ("db".to_owned(), other.find_pending("db").expect("claiming has brought it").kid);
    assert!(matches!(one.still_claims("db"), Err(Refused::Shared(Unavailable::Fenced(_)))));
    let promote = || Operation::Promote { name: name.clone(), kid: kid.clone(), previous: Previous::Ended };
    assert_eq!(one.commit(claimed(promote())).unwrap_err(), fenced);
    let replaced = vec![(name.clone(), one.describe("db").unwrap().current)];
    drop(claim);
    other.still_claims("db").expect("who has lost a claim takes it from nobody");
    other.commit(claimed(promote())).unwrap();
    assert_eq!(confirmed(&one, "db").as_deref(), Some("w"));
    let destroy = || Operation::Destroy { versions: replaced.clone() };
    assert_eq!(one.commit(claimed(destroy())).unwrap_err(), fenced);
    assert_eq!(other.commit(claimed(destroy())).unwrap().len(), 1);
    drop(taken);
    assert!(one.claim("db").unwrap().is_some());
}

#[test]
fn a_copy_is_compacted_by_itself_and_stays_a_copy() {
    let [here, there] = hosts("compacted", ["a", "b"]);
    let (one, other) = (here.start(), there.start());
    for n in 0..20 {
        put(&other, "db", &format!("{n}"));
    }
    one.confirm().unwrap();
    here.site.dial.advance(DAY * 15);
    one.compact().unwrap();
    put(&other, "db", "behind");
    one.confirm().unwrap();
    let before = picture(&one);
    drop(one);
    let one = here.start();
    assert_eq!(picture(&one), before);
    put(&one, "db", "next");
    assert_eq!(confirmed(&other, "db").as_deref(), Some("next"));
    explained_once([&here, &there], 22);
}

#[test]
fn another_master_key_is_in_force_also_where_the_copy_of_the_daemon_that_has_put_it_there_cannot_be_written() {
    let [mut here] = hosts("rekeyed", ["a"]);
    let vault = here.start();
    put(&vault, "db", "v");
    let next = KeyBytes::random().unwrap();
    lock(&vault.log).store.faults.replacements.store(1, Ordering::SeqCst);
    let refused = vault.rekey(&here.site.master, &next, DataKey::New, Entry::new(Event::Rekey));
    assert_eq!(refused, Err(Refused::SharedDataKey));
    assert_eq!(vault.rekey(&here.site.master, &next, DataKey::Kept, Entry::new(Event::Rekey)), Ok(true));
    assert!(is_under(&here.site.path(), &here.site.master), "the copy has the header from before");
    put(&vault, "db", "w");
    let header = here.node.header();
    assert!(vault.take_header(&header).unwrap());
    assert!(!vault.take_header(&header).unwrap(), "there is nothing more to do");
    assert!(is_under(&here.site.path(), &next));
    put(&vault, "db", "x");
    drop(vault);
    here.site.master = next;
    assert_eq!(confirmed(&here.start(), "db").as_deref(), Some("x"));
    assert_eq!(here.site.audit_lines().iter().filter(|line| line["event"] == "rekey").count(), 1);
}

#[test]
fn many_writers_on_two_daemons_lose_nothing_and_agree_in_the_end() {
    let [here, there] = hosts("many", ["a", "b"]);
    let vaults = [here.start(), there.start()];
    let threads: Vec<_> = (0..8)
        .map(|writer| {
            let vault = vaults[writer % 2].clone();
            std::thread::spawn(move || {
                let name = format!("db-{}", writer / 2);
                (0..50).map(|n| put(&vault, &name, &format!("{writer}-{n}"))).collect::<Vec<_>>()
            })
        })
        .collect();
    let acknowledged: BTreeSet<String> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert_eq!(acknowledged.len(), 400, "no kid came twice");
    for vault in &vaults {
        vault.confirm().unwrap();
    }
    let [one, other] = vaults.map(|vault| picture(&vault));
    assert_eq!(one, other);
    assert_eq!(one.versions.len(), 400);
    explained_once([&here, &there], 400);
}
