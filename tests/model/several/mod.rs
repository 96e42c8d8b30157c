//! Clients of several daemons, of which some may be killed or cut off meanwhile: what all of them saw can have happened in one
//! order, as if there were one daemon.
//!
//! The daemons are those of `CLUSTER_DAEMONS`, addresses with commas between, which have the certificate `server` of
//! tests/data/tls, and by whose policy the certificate `client` is that of `admin`. They are asked until there is a file
//! `CLUSTER_END`, when each of them must be well; the request ids of the changes that they have acknowledged are then written
//! to the file `CLUSTER_CHANGES`. No client may have waited longer than `CLUSTER_LONGEST_SECS`, if that is set. Without
//! `CLUSTER_DAEMONS` it is one daemon, which the test starts and asks for a moment.

mod history;
mod load;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::site::Site;
use crate::tls_client::{ServerFiles, data};
use history::{Event, judge, with_a_stale_read};
use load::{Actor, Load};

/// How many ask at a time, and how often all of them together in a second.
const CLIENTS: usize = 12;
const RATE: u32 = 200;

/// A daemon as `CLUSTER_DAEMONS` has to be.
fn site() -> (Site, ServerFiles) {
    let site = Site::new();
    let files = ServerFiles::new(site.path("tls"));
    let tls = format!(
        "[server.tls]\ncert_path = {:?}\nkey_path = {:?}\nclient_ca_path = {:?}\n",
        files.path("tls.pem"),
        files.path("tls.key"),
        data("ca.pem"),
    );
    site.write("config.toml", &(site.read("config.toml") + &tls));
    site.edit("policy.toml", "[clients.admin]\n", "[clients.admin]\ntls_subject = [\"CN=reader\"]\n");
    (site, files)
}

#[test]
fn what_clients_see_of_several_daemons_can_have_happened_in_one_order() {
    let given = env::var("CLUSTER_DAEMONS").ok();
    let own = given.is_none().then(|| {
        let (site, files) = site();
        (site.start(), files)
    });
    let addresses = given.unwrap_or_else(|| own.as_ref().unwrap().0.addr().to_string());
    let load = Load::new(addresses.split(',').map(|address| address.parse().unwrap()).collect());
    let moment = Instant::now() + Duration::from_secs(2);
    let end = env::var("CLUSTER_END");
    let is_over = || end.as_ref().map_or_else(|_| Instant::now() > moment, |file| Path::new(file).exists());

    let pace = Duration::from_secs(1) * CLIENTS as u32 / RATE;
    let witnesses: Vec<_> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|number| Actor::new(&load, number)).collect();
        let clients: Vec<_> = clients.into_iter().map(|client| scope.spawn(|| client.act(pace, &is_over))).collect();
        clients.into_iter().map(|client| client.join().expect("an answer is one of those expected")).collect()
    });

    let mut histories = BTreeMap::<_, Vec<Event>>::new();
    let (mut waits, mut changes) = (Vec::new(), Vec::new());
    for witness in witnesses {
        witness.events.into_iter().for_each(|(name, event)| histories.entry(name).or_default().push(event));
        waits.extend(witness.waits);
        changes.extend(witness.changes);
    }
    let names: Vec<_> = histories.keys().cloned().collect();
    for (name, event) in Actor::new(&load, 0).read_all(&names).events {
        histories.get_mut(&name).unwrap().push(event);
    }
    if let Ok(file) = env::var("CLUSTER_CHANGES") {
        fs::write(file, changes.iter().map(|id| format!("{id}\n")).collect::<String>()).unwrap();
    }

    waits.sort();
    let events = histories.values().map(Vec::len).sum::<usize>();
    let unanswered = histories.values().flatten().filter(|event| event.told.is_none()).count();
    println!(
        "{events} operations on {} secrets, {} changes acknowledged, {unanswered} unanswered; half took {:?}, 99 % {:?}, the \
         longest {:?}",
        histories.len(),
        changes.len(),
        waits[waits.len() / 2],
        waits[waits.len() * 99 / 100],
        waits[waits.len() - 1],
    );
    let wrong: Vec<_> = histories
        .iter()
        .filter_map(|(name, history)| judge(history).err().map(|why| format!("{name}: {why}")))
        .collect();
    assert!(wrong.is_empty(), "{} of {} secrets:\n{}", wrong.len(), histories.len(), wrong.join("\n"));
    assert!(unanswered * 20 < events, "{unanswered} of {events} were not answered");
    if let Ok(longest) = env::var("CLUSTER_LONGEST_SECS") {
        let longest = Duration::from_secs(longest.parse().expect("CLUSTER_LONGEST_SECS is a number"));
        assert!(waits[waits.len() - 1] <= longest, "a client waited longer than {longest:?}");
    }
    let longest = histories.values().max_by_key(|history| history.len()).unwrap();
    assert!(judge(&with_a_stale_read(longest)).is_err(), "a stale read is not found");
}
