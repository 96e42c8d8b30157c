//! What a plan foresees is what the state is afterwards.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::overlay::Overlay;
use super::*;
use crate::audit::{Entry, Event};
use crate::base::secret::Plaintext;
use crate::base::sync::lock;
use crate::vault::log::change::{Change, Metadata};
use crate::vault::log::header::{Header, VaultKey};
use crate::vault::log::record::{NO_LINK, Sealed};
use crate::vault::order::{Condition, Duty, New, Operation, Previous};
use crate::vault::seal::{self, KeyBytes, SealingKey};
use crate::vault::settings::{Patch, Settings};
use crate::vault::state::StoredVersion;
use crate::vault::tests::{LIFETIMES, Random, START};
use crate::vault::version::{Rotation, Version};

const NAMES: [&str; 3] = ["a", "b", "c"];

impl Random {
    fn is_one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn previous(&mut self) -> Previous {
        [Previous::Kept, Previous::Kept, Previous::Ended, Previous::Destroyed][self.below(4) as usize]
    }

    fn patch(&mut self) -> Patch {
        let days =
            |random: &mut Self| random.is_one_in(2).then(|| random.is_one_in(3).then(|| random.below(40) as u32));
        let (rotation_days, grace_days) = (days(self), days(self));
        let rotation =
            self.is_one_in(3).then(|| [Rotation::Auto, Rotation::Manual, Rotation::Off][self.below(3) as usize]);
        Patch { rotation, rotation_days, grace_days, ..Patch::default() }
    }

    /// One that is mostly possible as `state` is.
    fn operation(&mut self, state: &Mutex<State>) -> Operation {
        let name = NAMES[self.below(NAMES.len() as u64) as usize].to_owned();
        let state = lock(state);
        let versions: Vec<Version> = state
            .secret(&name)
            .into_iter()
            .flat_map(|secret| &secret.versions)
            .map(|kept| kept.version.clone())
            .collect();
        let pending =
            state.secret(&name).and_then(|secret| secret.pending()).map(|pending| pending.version.kid.of(&name));
        let kid = |random: &mut Self| match versions.len() {
            0 => String::new(),
            several => versions[random.below(several as u64) as usize].kid.of(&name),
        };
        let value = || Plaintext::new("value".to_owned());
        match self.below(12) {
            0..3 => {
                let patch = if self.is_one_in(3) { self.patch() } else { Patch::default() };
                let previous = self.previous();
                let new = New { name, value: value(), rotation: Rotation::Auto, generator: None, patch, previous };
                Operation::Put { versions: vec![new] }
            }
            3 => Operation::Configure { name, patch: self.patch() },
            4 => Operation::Prepare { name, value: value() },
            5 => Operation::RollBack { kid: kid(self), name: name.clone(), is_prepared: self.is_one_in(2) },
            6 => Operation::Promote { name, kid: pending.unwrap_or_default(), previous: self.previous() },
            7 => Operation::Discard { name, kid: pending.unwrap_or_default() },
            8 => {
                let names = NAMES.map(str::to_owned).to_vec();
                Operation::Rotate { names, only_due: true, previous: self.previous() }
            }
            9 | 10 => {
                Operation::Destroy { versions: versions.into_iter().map(|version| (name.clone(), version)).collect() }
            }
            _ if self.is_one_in(2) => Operation::Delete { name },
            _ => Operation::Retire { name, seen: None },
        }
    }
}

fn carry_out(state: &Mutex<State>, key: &Arc<VaultKey>, changes: Vec<Planned>) {
    let mut state = lock(state);
    for Planned { change, .. } in changes {
        let metadata = Metadata { audited: 0, by: None, more: false, change: &change };
        let record = Sealed::seal(key, (state.seq + 1, NO_LINK), &metadata, "value").unwrap();
        state.apply(change, Arc::new(record));
    }
}

/// All that is known of a secret, but for the ids that it has spent, with the numbers of the records.
type Picture = (Vec<StoredVersion<u64>>, Option<StoredVersion<u64>>, Option<Settings>);

fn pictures(mut overlay: Overlay) -> [Picture; NAMES.len()] {
    NAMES.map(|name| {
        let secret = overlay.with_older(name);
        (secret.versions.iter().cloned().collect(), secret.pending().cloned(), secret.settings().cloned())
    })
}

fn run(seed: u64, key: &Arc<VaultKey>) {
    let (mut random, mut now) = (Random(seed), START);
    let (together, one_by_one) = (Mutex::default(), Mutex::default());
    let (mut kinds, mut outlived) = (BTreeSet::new(), 0);
    for batch in 0..400 {
        now = now.plus_days(random.below(8) as u32);
        let order = |random: &mut Random| {
            let operation = random.operation(&together);
            Order { operation, condition: Condition::default(), duty: Duty::None, entry: Entry::new(Event::Rotate) }
        };
        let orders: Vec<_> = (0..=random.below(6)).map(|_| order(&mut random)).collect();
        let (plan, overlay) = Plan::with_outcome(&together, now, LIFETIMES, &orders);
        let foreseen = pictures(overlay);
        kinds.extend(plan.changes.iter().map(|planned| planned.change.kind()));
        outlived +=
            plan.changes.iter().filter(|planned| matches!(planned.change, Change::DestroyBetween { .. })).count();
        // Of the same orders it can be made again, and is the same.
        let again = Plan::make(&together, now, LIFETIMES, &orders);
        assert_eq!(again.changes.len(), plan.changes.len());
        carry_out(&together, key, again.changes);
        assert_eq!(pictures(Overlay::new(&together)), foreseen, "batch {batch} of seed {seed:#x}");
        for order in &orders {
            let plan = Plan::make(&one_by_one, now, LIFETIMES, std::slice::from_ref(order));
            carry_out(&one_by_one, key, plan.changes);
        }
        assert_eq!(pictures(Overlay::new(&one_by_one)), foreseen, "batch {batch} of seed {seed:#x}, order by order");
    }
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["configure", "delete", "destroy", "prepare", "put"]);
    assert!(outlived > 0, "no version was destroyed that an older one outlives");
}

#[test]
fn a_batch_comes_to_what_was_foreseen_and_to_the_same_as_its_orders_one_by_one() {
    let key = Header::generate(&SealingKey::new(&KeyBytes::random().unwrap())).unwrap().1;
    run(0x9e37_79b9_7f4a_7c15, &key);
    run(u64::from_be_bytes(*seal::random().unwrap()) | 1, &key);
}
