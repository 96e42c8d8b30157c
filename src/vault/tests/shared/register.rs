//! Whatever is lost, each secret is one register, and each change has its line.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Put {
        node: usize,
        name: usize,
    },
    Delete {
        node: usize,
        name: usize,
    },
    Read {
        node: usize,
        name: usize,
    },
    Restart {
        node: usize,
    },
    Compact {
        node: usize,
    },
    Snapshot {
        node: usize,
    },
    Fate(Fate),
    Silence,
    /// The audit log of a daemon refuses so many writes.
    Unaudited {
        node: usize,
        writes: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (node, name) = (0..2_usize, 0..2_usize);
    let fates = [Fate::Unheard, Fate::Lost, Fate::Late, Fate::Refused];
    prop_oneof![
        5 => (node.clone(), name.clone()).prop_map(|(node, name)| Step::Put { node, name }),
        1 => (node.clone(), name.clone()).prop_map(|(node, name)| Step::Delete { node, name }),
        4 => (node.clone(), name).prop_map(|(node, name)| Step::Read { node, name }),
        2 => node.clone().prop_map(|node| Step::Restart { node }),
        1 => node.clone().prop_map(|node| Step::Compact { node }),
        2 => node.clone().prop_map(|node| Step::Snapshot { node }),
        3 => proptest::sample::select(fates.to_vec()).prop_map(Step::Fate),
        1 => Just(Step::Silence),
        1 => (node, 1..3_u64).prop_map(|(node, writes)| Step::Unaudited { node, writes }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Of a change that was not acknowledged, both is right, but one of the two for everybody from the next read on.
    #[test]
    fn two_daemons_are_one_register_whatever_is_lost_between_them_and_the_log(steps in prop::collection::vec(step(), 1..60)) {
        let hosts = hosts("model", ["a", "b"]);
        let mut vaults = [0, 1].map(|node: usize| Some(hosts[node].start()));
        // What each secret may be: one value, or one of those that were not acknowledged.
        let mut model: [BTreeSet<Option<String>>; 2] = [(); 2].map(|()| BTreeSet::from([None]));
        for (number, step) in steps.into_iter().enumerate() {
            let names = ["x", "y"];
            match step {
                Step::Put { node, name } => {
                    let value = format!("value {number}");
                    let answer = vaults[node].as_ref().unwrap().commit(order(put_operation(names[name], &value)));
                    match answer {
                        Err(Refused::Shared(Unavailable::Undecided(_))) => drop(model[name].insert(Some(value))),
                        Err(refused) if !refused.was_applied() => {}
                        _ => model[name] = BTreeSet::from([Some(value)]),
                    }
                }
                Step::Delete { node, name } => {
                    match vaults[node].as_ref().unwrap().commit(order(delete_operation(names[name]))) {
                        Err(Refused::Shared(Unavailable::Undecided(_))) => drop(model[name].insert(None)),
                        Err(Refused::NotFound(_)) => {
                            prop_assert!(model[name].contains(&None));
                            // One that may come late may still come.
                            if lock(&hosts[node].node.log.content).late.is_none() {
                                model[name] = BTreeSet::from([None]);
                            }
                        }
                        Err(refused) if !refused.was_applied() => {}
                        _ => model[name] = BTreeSet::from([None]),
                    }
                }
                Step::Read { node, name } => {
                    let vault = vaults[node].as_ref().unwrap();
                    if vault.confirm().is_ok() {
                        let value = read(vault, names[name]).ok();
                        prop_assert!(model[name].contains(&value), "{value:?} is none of {:?}", model[name]);
                        // One that may come late may still come.
                        if lock(&hosts[node].node.log.content).late.is_none() {
                            model[name] = BTreeSet::from([value]);
                        }
                    }
                }
                Step::Restart { node } => {
                    let vault = vaults[node].take().unwrap();
                    while Arc::strong_count(&vault) > 1 {
                        std::thread::yield_now();
                    }
                    vault.audit.faults().writes.store(0, Ordering::SeqCst);
                    drop(vault);
                    vaults[node] = Some(hosts[node].start());
                }
                Step::Compact { node } => drop(vaults[node].as_ref().unwrap().compact()),
                Step::Snapshot { node } => hosts[node].replace_log(vaults[node].as_ref().unwrap()),
                Step::Fate(fate) => hosts[0].fates(&[fate]),
                Step::Silence => lock(&hosts[0].node.log.content).unanswered += 1,
                Step::Unaudited { node, writes } => {
                    vaults[node].as_ref().unwrap().audit.faults().writes.store(writes, Ordering::SeqCst);
                }
            }
        }
        {
            let mut content = lock(&hosts[0].node.log.content);
            content.fates.clear();
            content.unanswered = 0;
            content.late = None;
        }
        for (host, vault) in hosts.iter().zip(&vaults) {
            let vault = vault.as_ref().unwrap();
            vault.audit.faults().writes.store(0, Ordering::SeqCst);
            vault.confirm().unwrap();
            vault.audit.write(Entry::new(Event::GetSecret)).unwrap();
            prop_assert!(audit::verify(&[host.site.audit_path()], None, None).is_ok());
        }
        let [one, other] = vaults.map(Option::unwrap);
        prop_assert_eq!(picture(&one).compacted().versions, picture(&other).compacted().versions);
        let through = one.seq();
        let told = told([&hosts[0], &hosts[1]]);
        prop_assert_eq!(told.keys().copied().collect::<Vec<_>>(), (1..=through).collect::<Vec<_>>());
        let is_told_elsewhere = |line: &serde_json::Value| line["detail"].to_string().contains("which is away or");
        let elsewhere = hosts.iter().flat_map(|host| host.site.audit_lines()).filter(is_told_elsewhere).count();
        prop_assert!(told.values().map(|times| times - 1).sum::<usize>() <= elsewhere, "{told:?}");
    }
}
